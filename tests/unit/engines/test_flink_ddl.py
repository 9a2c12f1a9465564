"""The SQL of a job's tables, and the configuration of a job."""

import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.config import FlinkSettings
from mastostream.engines.flink import FlinkJob, Topics
from mastostream.engines.flink.ddl import literal, sink, source, timed_source
from mastostream.engines.flink.environment import table_of
from mastostream.engines.flink.job import job_settings
from mastostream.exceptions import ConfigurationError

TOPICS = Topics(servers="localhost:9092", group="g")


def nothing(_: Any) -> Any:
    """Declare no job."""


JOB = FlinkJob(name="it", declare=nothing, delivery="at-least-once")


def settings_of(job: FlinkJob = JOB, **chosen: Any) -> dict[str, str]:
    archives = {"own": Path("/o.zip")} if job.folder else None
    return job_settings(FlinkSettings(**chosen), Path("/a b.jar"), job, archives)


def test_a_text_cannot_end_its_quotes() -> None:
    assert literal("it's") == "'it''s'"
    statement = source("posts", "t", Topics(servers="a', 'topic' = 'other", group="g"))
    assert "'properties.bootstrap.servers' = 'a'', ''topic'' = ''other'" in statement


@given(st.sampled_from(["", "a-", "team.a."]), st.text("ab-._", min_size=1))
def test_a_table_stands_for_the_topic_with_the_prefix(prefix: str, topic: str) -> None:
    topics = attrs.evolve(TOPICS, prefix=prefix)
    assert f"'topic' = '{prefix}{topic}'" in source("posts", topic, topics)
    assert f"'topic' = '{prefix}{topic}'" in timed_source("posts", topic, topics)
    assert f"'topic' = '{prefix}{topic};{prefix}b'" in sink("out", [topic, "b"], topics)
    assert topics.full_name(topic) == prefix + topic


def test_a_row_that_names_its_topic_gets_the_prefix_and_without_one_the_plan_stays() -> None:
    """With the same plan, a job can continue from a savepoint."""
    assert attrs.evolve(TOPICS, prefix="a-").full_names("u.t") == "'a-' || u.t"
    assert TOPICS.full_names("u.t") == "u.t"


def test_a_users_setting_wins() -> None:
    topics = Topics(servers="s", group="g", settings={"linger.ms": "50"})
    assert "'properties.linger.ms' = '50'" in sink("out", ["t"], topics)
    assert settings_of(settings={"python.executable": "x"})["python.executable"] == "x"


def test_flink_run_says_which_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of()["python.executable"] == sys.executable
    monkeypatch.setenv("PYFLINK_GATEWAY_PORT", "1")
    assert "python.executable" not in settings_of()


def test_only_a_job_that_is_to_end_is_bounded() -> None:
    assert "bounded" not in source("posts", "t", TOPICS)
    once = Topics(servers="s", group="g", bounded=True)
    assert "'scan.bounded.mode' = 'latest-offset'" in source("posts", "t", once)


def test_exactly_once_has_transactions_of_its_own_for_each_output() -> None:
    topics = Topics(servers="s", group="g", delivery="exactly-once")
    assert "'sink.transactional-id-prefix' = 'g-out0'" in sink("out0", ["t"], topics)
    assert "transactional" not in sink("out0", ["t"], TOPICS)
    assert settings_of()["execution.checkpointing.mode"] == "AT_LEAST_ONCE"


@pytest.mark.parametrize("target", ["cluster", "cluster:x", ":8081"])
def test_a_target_that_is_none_is_told(target: str) -> None:
    with pytest.raises(ConfigurationError, match=r"flink\.target"):
        settings_of(target=target)


def test_a_cluster_is_reached_by_its_address() -> None:
    settings = settings_of(target="jobs.example.org:8081", parallelism=4)
    assert (settings["rest.address"], settings["rest.port"]) == ("jobs.example.org", "8081")
    assert settings["parallelism.default"] == "4"
    assert settings["pipeline.jars"] == "file:///a%20b.jar"


def test_a_job_begins_with_the_state_that_it_is_given() -> None:
    option = "execution.state-recovery.path"
    assert option not in settings_of()
    assert settings_of(attrs.evolve(JOB, savepoint="file:/s"))[option] == "file:/s"


def test_archives_come_before_those_of_the_settings() -> None:
    job = attrs.evolve(JOB, folder=Path())
    assert settings_of(job)["python.archives"] == "/o.zip#own"
    assert settings_of(job)["python.pythonpath"] == "own"
    mine = {"python.archives": "/m.zip", "python.pythonpath": "/lib"}
    chosen = settings_of(job, settings=mine)
    assert chosen["python.archives"] == "/o.zip#own,/m.zip"
    assert chosen["python.pythonpath"] == "own:/lib"


def test_with_an_archive_the_python_is_that_of_the_taskmanager() -> None:
    assert settings_of()["python.executable"]
    assert "python.executable" not in settings_of(attrs.evolve(JOB, archive=Path("/a.zip")))


def test_a_table_may_have_the_name_of_any_analysis() -> None:
    assert sink("out-my.own", ["t"], TOPICS).startswith("CREATE TEMPORARY TABLE `out-my.own` (")


@pytest.mark.parametrize(
    ("description", "table"),
    [
        ("[1]:TableSourceScan(table=[[default_catalog, default_database, posts]])", "posts"),
        ("[4]:Sink(table=[default_catalog.default_database.out-own], fields=[a])", "out-own"),
        ("[7]:Sink(table=[default_catalog.sql_count.late], fields=[a])", "sql_count.late"),
        ("[9]:ChangeToDefaultParallel", ""),
    ],
)
def test_what_keeps_state_is_named_after_its_table(description: str, table: str) -> None:
    assert table_of(description) == table
