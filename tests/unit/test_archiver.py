"""From a topic to the archive, when the archive is away or partitions move."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mastostream.archiver import Archiver
from mastostream.exceptions import FatalError, RetriableError
from mastostream.log.sqlite import SqliteLogReader, SqliteLogWriter
from mastostream.ports.clock import SystemClock
from mastostream.ports.filesystem import FileSystem
from mastostream.ports.log import NewRecord, Positions, Record
from mastostream.runner import run_until_idle
from mastostream.sinks.archive import FileArchive, LocalFiles, list_archive, topic_place, values
from mastostream.testing.fakes import Failures, FakeLog, FakeLogReader, WatchedFiles

VALUES = [b'{"n":%d}' % number for number in range(20)]


class Shared(FakeLogReader):
    """A reader whose partitions come with the first records, as on Kafka."""

    def __init__(self, log: FakeLog) -> None:
        super().__init__(log, "t", "a")
        self.assign()

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        if not max_records:
            return ()
        self.assign(*self._log.partitions())
        return super().read(max_records if self.generation else 7, timeout_s)


def files_that_fail(times: int) -> WatchedFiles:
    """Files of this machine that cannot be begun at first."""
    failures = Failures("create")
    failures.add("create", *[RetriableError("the DataNodes are away")] * times)

    def watch(when: str, step: str) -> None:
        if (when, step) == ("before", "create"):
            with failures.around("create"):
                pass

    return WatchedFiles(LocalFiles(), watch)


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


def archiver(log: Path, reader: object = None, files: FileSystem | None = None) -> Archiver:
    sink = FileArchive(
        str(log.parent / "archive"), "t", clock=SystemClock(), filesystem=files, rotate_records=4
    )
    return Archiver(reader or SqliteLogReader(log, topic="t", group="a"), sink)  # type: ignore[arg-type]


def test_partitions_that_come_with_their_first_records_lose_none(
    log: Path, kept: Callable[[], list[bytes]]
) -> None:
    shared = FakeLog(partitions=2)
    shared.append("t", *VALUES)
    assert run_until_idle([archiver(log, Shared(shared))]) == {"archive": len(VALUES)}
    assert kept() == sorted(VALUES)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_archive_that_is_away_at_the_first_file_misses_nothing(
    log: Path, kept: Callable[[], list[bytes]], times: int
) -> None:
    stage = archiver(log, files=files_that_fail(times))
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
