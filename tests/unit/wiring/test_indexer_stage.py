"""Which index is chosen, and what happens when it is not there."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from mastostream import Account, Post, encode
from mastostream.config import ElasticsearchSettings, Settings
from mastostream.core.engagement import engagement_record
from mastostream.core.topic_names import ENGAGEMENT
from mastostream.exceptions import ConfigurationError, RetriableError
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import NewRecord
from mastostream.runner import Runner, run_until_idle
from mastostream.services import free_port
from mastostream.sinks.elasticsearch import ElasticsearchIndexReader
from mastostream.sinks.sqlite import SqliteIndexReader
from mastostream.wiring import index_place, index_reader, indexer, log_writer, set_up_index


def elasticsearch(folder: Path, host: str = "") -> Settings:
    hosts = (host or f"http://127.0.0.1:{free_port()}",)
    return Settings(
        data=str(folder),
        index="elasticsearch",
        elasticsearch=ElasticsearchSettings(hosts=hosts),
    )


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def test_the_setting_chooses_the_index(tmp_path: Path) -> None:
    file = Settings(data=str(tmp_path))
    assert not set_up_index(file)
    assert index_place(file) == str(tmp_path / "mastostream.sqlite3")
    server = elasticsearch(tmp_path)
    assert index_place(server).startswith(server.elasticsearch.hosts[0])
    prefixed = attrs.evolve(server.elasticsearch, index_prefix="a-")
    place = index_place(attrs.evolve(server, elasticsearch=prefixed))
    assert place.endswith(": a-mastodon-engagement, a-mastodon-hashtags")
    for settings, kind in ((file, SqliteIndexReader), (server, ElasticsearchIndexReader)):
        reader = index_reader(settings)
        assert isinstance(reader, kind)
        reader.close()


def test_a_server_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    settings = elasticsearch(tmp_path)
    with Runner([indexer(settings, SystemClock())], clock=SystemClock()) as runner:
        until(lambda: runner.health()[0].state == "retrying")
        assert settings.elasticsearch.hosts[0] in (runner.health()[0].error or "")
        assert runner.alive()
    with pytest.raises(RetriableError, match="cannot reach"):
        set_up_index(settings)


def test_settings_that_cannot_be_used_are_told_at_the_start(tmp_path: Path) -> None:
    settings = elasticsearch(tmp_path, "localhost:9200")
    for attempt in (
        lambda: indexer(settings, SystemClock()),
        lambda: index_reader(settings),
        lambda: index_place(settings),
        lambda: set_up_index(settings),
    ):
        with pytest.raises(ConfigurationError, match=r"elasticsearch\.hosts"):
            attempt()


def test_an_index_that_is_made_anew_gets_all_that_the_log_keeps(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path))
    post = Post(id="1", created_at=datetime(2026, 1, 1, tzinfo=UTC), account=Account(acct="a"))
    with closing(log_writer(settings)) as writer:
        writer.append([NewRecord(ENGAGEMENT, "1", encode(engagement_record(post)))])

    def index() -> int:
        return run_until_idle([indexer(settings, SystemClock())])["index"]

    assert (index(), index()) == (1, 0)
    with closing(sqlite3.connect(tmp_path / "mastostream.sqlite3")) as connection:
        connection.execute("DROP TABLE documents")
        connection.execute("DROP TABLE identities")
    assert (index(), index()) == (1, 0)
