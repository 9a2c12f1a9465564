"""What a Flink job is called, and which topics its statements name."""

import re
from pathlib import Path
from typing import Any, Self

import pytest

from mastostream.config import FlinkSettings, KafkaSettings, Settings
from mastostream.engines.flink import FlinkEngine, Topics, read_sql
from mastostream.engines.flink.sql_job import add_sql
from mastostream.wiring import Mode, flink, flink_engine
from mastostream.wiring.flink import sql_literals

TOPIC = re.compile(r"'topic' = '([^']*)'")
GROUP = re.compile(r"'properties\.group\.id' = '([^']*)'")
TRANSACTIONS = re.compile(r"'sink\.transactional-id-prefix' = '([^']*)'")


class Environment:
    """Takes statements, and does nothing with them: whatever is asked of it returns itself."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, _: str) -> Any:
        def take(*arguments: object, **__: object) -> Self:
            self.told += [each for each in arguments if isinstance(each, str)]
            return self

        return take


@pytest.fixture(params=["", "team-a."])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Of a job that needs neither Java nor Kafka to be declared."""
    monkeypatch.setattr(flink, "_check_installed", lambda: None)
    monkeypatch.setattr("mastostream.log.kafka.ensure_topics", lambda *_: ())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kafka.jar").touch()
    return Settings(
        log="kafka",
        kafka=KafkaSettings(topic_prefix=request.param),
        flink=FlinkSettings(jar=str(tmp_path / "kafka.jar")),
    )


def job(settings: Settings, mode: Mode, *names: str) -> FlinkEngine:
    return flink_engine(settings, mode, names, lambda *_: None, once=True)


def test_sql_names_everything_with_the_prefix(settings: Settings) -> None:
    prefix = settings.kafka.topic_prefix
    engine = job(settings, "sql", "count")
    assert engine.job_name == f"{prefix}mastostream-flink-sql-count"
    topics = Topics(servers="s", group=engine.job_name, prefix=prefix, delivery="exactly-once")
    environment: Any = Environment()
    add_sql(
        environment, environment, "count", read_sql("count", sql_literals(settings, topics)), topics
    )
    told = "\n".join(environment.told)
    assert set(TOPIC.findall(told)) == {
        f"{prefix}{topic}" for topic in ("Mastodon_stream", "mastodon-counts", "mastodon-late")
    }
    assert GROUP.findall(told) == [engine.job_name]
    assert set(TRANSACTIONS.findall(told)) == {
        f"{engine.job_name}-count-{table}" for table in ("counts", "late")
    }


def test_functions_run_under_a_name_with_the_prefix(settings: Settings) -> None:
    engine = job(settings, "stream", "full")
    assert engine.job_name == f"{settings.kafka.topic_prefix}mastostream-flink-engagement+hashtags"


def test_a_job_that_is_shown_has_a_name_of_its_own(settings: Settings) -> None:
    engine = flink_engine(settings, "sql", ["users"], lambda *_: None, once=True, on_results=print)
    assert engine.job_name == f"{settings.kafka.topic_prefix}mastostream-flink-sql-users-shown"
