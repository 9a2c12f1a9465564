"""How a job's tables and settings are written."""

from pathlib import Path
from typing import Any

import pytest

from mastostream.engines.flink import FlinkPlace, Topics
from mastostream.engines.flink.running import flink_settings
from mastostream.engines.flink.tables import literal, sink, source
from mastostream.exceptions import ConfigurationError

TOPICS = Topics(servers="localhost:9092", group="g")


def place(**chosen: Any) -> FlinkPlace:
    usual: dict[str, Any] = {
        "target": "local",
        "jar": Path("/a b.jar"),
        "parallelism": 0,
        "checkpoint_s": 1.5,
        "delivery": "at-least-once",
        "bundle_records": 1_000,
        "bundle_ms": 10,
    }
    return FlinkPlace(**usual | chosen)


def test_a_text_cannot_end_its_quotes() -> None:
    assert literal("it's") == "'it''s'"
    told = source("posts", "t", Topics(servers="a', 'topic' = 'other", group="g"))
    assert "'properties.bootstrap.servers' = 'a'', ''topic'' = ''other'" in told


def test_a_users_setting_wins() -> None:
    topics = Topics(servers="s", group="g", settings={"linger.ms": "50"})
    assert "'properties.linger.ms' = '50'" in sink("out", ["t"], topics)
    assert flink_settings(place(settings={"python.executable": "x"}))["python.executable"] == "x"


def test_only_a_job_that_is_to_end_is_bounded() -> None:
    assert "bounded" not in source("posts", "t", TOPICS)
    once = Topics(servers="s", group="g", bounded=True)
    assert "'scan.bounded.mode' = 'latest-offset'" in source("posts", "t", once)


def test_exactly_once_has_transactions_of_its_own_for_each_output() -> None:
    topics = Topics(servers="s", group="g", delivery="exactly-once")
    assert "'sink.transactional-id-prefix' = 'g-out0'" in sink("out0", ["t"], topics)
    assert "transactional" not in sink("out0", ["t"], TOPICS)
    assert flink_settings(place())["execution.checkpointing.mode"] == "AT_LEAST_ONCE"


@pytest.mark.parametrize("target", ["cluster", "cluster:x", ":8081"])
def test_a_target_that_is_none_is_told(target: str) -> None:
    with pytest.raises(ConfigurationError, match=r"flink\.target"):
        flink_settings(place(target=target))


def test_a_cluster_is_reached_by_its_address() -> None:
    found = flink_settings(place(target="jobs.example.org:8081", parallelism=4))
    assert (found["rest.address"], found["rest.port"]) == ("jobs.example.org", "8081")
    assert found["parallelism.default"] == "4"
    assert found["pipeline.jars"] == "file:///a%20b.jar"
