"""The log on SQLite keeps what every log keeps."""

from pathlib import Path

import pytest

from mastostream.log.sqlite import SqliteEngineLog, SqliteLogReader, SqliteLogWriter
from mastostream.testing.conformance.log import LogConformance, LogUnderTest


class TestSqliteLog(LogConformance):
    @pytest.fixture(params=[1, 3])
    def log(self, tmp_path: Path, request: pytest.FixtureRequest) -> LogUnderTest:
        path = tmp_path / "log.sqlite3"
        partitions: int = request.param
        return LogUnderTest(
            writer=lambda: SqliteLogWriter(path, partitions=partitions),
            reader=lambda topic, group: SqliteLogReader(path, topic=topic, group=group),
            engine=lambda topic, _: SqliteEngineLog(path, topic=topic, partitions=partitions),
        )
