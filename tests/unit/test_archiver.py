"""From a topic to the archive, when the archive is away or partitions move."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mastostream.archiver import Archiver
from mastostream.exceptions import FatalError, RetriableError
from mastostream.log.sqlite import SqliteLogReader, SqliteLogWriter
from mastostream.ports.clock import SystemClock
from mastostream.ports.filesystem import NewFile
from mastostream.ports.log import NewRecord, Positions, Record
from mastostream.runner import run_until_idle
from mastostream.sinks.archive import FileArchive, LocalFiles, list_archive, topic_place, values

VALUES = [b'{"n":%d}' % number for number in range(20)]


class Shared:
    """A reader whose partitions come with the first read, and records with them, as on Kafka."""

    def __init__(self, reader: SqliteLogReader) -> None:
        self._reader = reader
        self.generation = 0
        self.lost = 0

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        if not max_records:
            return ()
        if not self.generation:
            self.generation = 1
            return self._reader.read(7, timeout_s)
        return self._reader.read(max_records, timeout_s)

    def seek(self, positions: Positions) -> None:
        self._reader.seek(positions)

    def commit(self, positions: Positions) -> None:
        self._reader.commit(positions)

    def close(self) -> None:
        self._reader.close()


class Failing(LocalFiles):
    """Files of this machine that cannot be begun at first."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def create(self, path: str) -> NewFile:
        if self.times:
            self.times -= 1
            raise RetriableError("the DataNodes are away")
        return super().create(path)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.sqlite3"
    writer = SqliteLogWriter(path, partitions=2)
    writer.append([NewRecord("t", str(number), value) for number, value in enumerate(VALUES)])
    writer.close()
    return path


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[], list[bytes]]:
    def found() -> list[bytes]:
        place = topic_place(LocalFiles(), str(tmp_path / "archive"), "t")
        files = list_archive(place).files
        return sorted(value for file in files for value, _ in values(place.filesystem, file))

    return found


def archiver(log: Path, reader: object = None, files: LocalFiles | None = None) -> Archiver:
    sink = FileArchive(
        str(log.parent / "archive"), "t", clock=SystemClock(), filesystem=files, rotate_records=4
    )
    return Archiver(reader or SqliteLogReader(log, topic="t", group="a"), sink)  # type: ignore[arg-type]


def test_partitions_that_come_with_their_first_records_lose_none(
    log: Path, kept: Callable[[], list[bytes]]
) -> None:
    shared = Shared(SqliteLogReader(log, topic="t", group="a"))
    assert run_until_idle([archiver(log, shared)]) == {"archive": len(VALUES)}
    assert kept() == sorted(VALUES)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_archive_that_is_away_at_the_first_file_misses_nothing(
    log: Path, kept: Callable[[], list[bytes]], times: int
) -> None:
    stage = archiver(log, files=Failing(times))
    for _ in range(times):
        with pytest.raises(RetriableError, match="DataNodes"):
            stage.step(0.0)
    run_until_idle([stage])
    assert kept() == sorted(VALUES)
    assert run_until_idle([archiver(log)]) == {"archive": 0}


def test_an_archive_of_another_log_is_refused(log: Path) -> None:
    run_until_idle([archiver(log)])
    log.unlink()
    SqliteLogWriter(log).close()

    def check(positions: Positions) -> None:
        if positions:
            raise FatalError("another log's")

    sink = FileArchive(str(log.parent / "archive"), "t", clock=SystemClock())
    stage = Archiver(SqliteLogReader(log, topic="t", group="a"), sink, check=check)
    with pytest.raises(FatalError, match="another log"):
        stage.step(0.0)
    stage.close()
