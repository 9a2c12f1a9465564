"""What a Flink job is called, and which topics its statements name."""

import math
import os
import re
import time
from pathlib import Path
from typing import Any, Self

import attrs
import pytest

from mastostream.config import KafkaSettings, Settings, WindowSettings
from mastostream.engines.flink import FlinkJob, Topics, read_sql
from mastostream.engines.flink.sql_job import add_sql
from mastostream.engines.local.local_engine import OnResults
from mastostream.exceptions import ConfigurationError
from mastostream.wiring import Mode
from mastostream.wiring.flink_stage import (
    chosen_analyses,
    flink_engine,
    flink_job,
    sql_literals,
)

TOPIC = re.compile(r"'topic' = '([^']*)'")
GROUP = re.compile(r"'properties\.group\.id' = '([^']*)'")
TRANSACTIONS = re.compile(r"'sink\.transactional-id-prefix' = '([^']*)'")


class Environment:
    """Takes statements, and does nothing with them: whatever is asked of it returns itself."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __getattr__(self, _: str) -> Any:
        def take(*arguments: object, **__: object) -> Self:
            self.statements += [argument for argument in arguments if isinstance(argument, str)]
            return self

        return take


@pytest.fixture(params=["", "team-a."])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.chdir(tmp_path)  # no .env with secrets
    return Settings(log="kafka", kafka=KafkaSettings(topic_prefix=request.param))


def job(
    settings: Settings, mode: Mode, *names: str, on_results: OnResults | None = None
) -> FlinkJob:
    chosen = chosen_analyses(settings, mode, names, shown=on_results is not None)
    return flink_job(settings, *chosen, once=True, on_results=on_results)


def test_sql_names_everything_with_the_prefix(settings: Settings) -> None:
    prefix = settings.kafka.topic_prefix
    name = job(settings, "sql", "count").name
    assert name == f"{prefix}mastostream-flink-sql-count"
    topics = Topics(servers="s", group=name, prefix=prefix, delivery="exactly-once")
    environment: Any = Environment()
    add_sql(
        environment, environment, "count", read_sql("count", sql_literals(settings, topics)), topics
    )
    text = "\n".join(environment.statements)
    assert set(TOPIC.findall(text)) == {
        f"{prefix}{topic}" for topic in ("Mastodon_stream", "mastodon-counts", "mastodon-late")
    }
    assert GROUP.findall(text) == [name]
    assert set(TRANSACTIONS.findall(text)) == {
        f"{name}-count-{table}" for table in ("counts", "late")
    }


def test_windows_in_sql_are_corrected_unless_the_job_ends(settings: Settings) -> None:
    never = attrs.evolve(settings, windows=WindowSettings(correct_every_s=math.inf))
    with pytest.raises(ConfigurationError, match="correct_every_s"):
        flink_job(never, ["count"], [], once=False)
    assert flink_job(never, ["count"], [], once=True).settings


def test_functions_run_under_a_name_with_the_prefix(settings: Settings) -> None:
    name = job(settings, "stream", "full").name
    assert name == f"{settings.kafka.topic_prefix}mastostream-flink-engagement+hashtags"


def test_a_job_that_is_shown_has_a_name_of_its_own(settings: Settings) -> None:
    name = job(settings, "sql", "users", on_results=print).name
    assert name == f"{settings.kafka.topic_prefix}mastostream-flink-sql-users-shown"


@pytest.mark.parametrize("beginning", ["", "file:", "file://"])
def test_windows_do_not_go_on_from_a_savepoint_that_is_too_old(
    settings: Settings, tmp_path: Path, beginning: str
) -> None:
    metadata = tmp_path / "_metadata"
    metadata.touch()
    os.utime(metadata, times=(0, time.time() - 3 * 86_400))
    with pytest.raises(ConfigurationError, match=r"is 3\.0 days old"):
        flink_engine(
            settings, "sql", ["count"], print, once=False, savepoint=f"{beginning}{tmp_path}"
        )
