"""From a topic to the archive, where readers share the partitions, and where records are lost."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mastostream.archiver import Archiver
from mastostream.exceptions import FatalError, RetriableError
from mastostream.log.sqlite import Retention, SqliteLogReader, SqliteLogWriter, apply_retention
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import LogReader, NewRecord, Positions, Record
from mastostream.ports.sink import ArchiveSink
from mastostream.runner import run_until_idle
from mastostream.sinks.archive import FileArchive, LocalFiles, list_archive, topic_place, values
from mastostream.testing.fakes import FakeArchive, FakeClock, FakeLog


class SharedLog:
    """A topic whose partitions two readers of one group share; each notices at his next read."""

    def __init__(self, partitions: int, count: int) -> None:
        clock = FakeClock()
        self._log = FakeLog(partitions=partitions, clock=clock)
        for offset in range(count):
            values = [b"%d-%d" % (partition, offset) for partition in range(partitions)]
            self._log.append("t", *values)  # one to each
            clock.advance(1.0)
        self._owner = dict.fromkeys(range(partitions), 0)
        self.readers = [self._log.reader("t", "archive") for _ in range(2)]
        self.give(0, *range(partitions))

    def give(self, who: int, *partitions: int) -> None:
        self._owner |= dict.fromkeys(partitions, who)
        for one, reader in enumerate(self.readers):
            reader.assign(*(each for each, owner in self._owner.items() if owner == one))

    def owner(self, partition: int) -> int:
        return self._owner[partition]

    @property
    def records(self) -> dict[int, list[Record]]:
        found: dict[int, list[Record]] = {}
        for record in self._log.records("t"):
            found.setdefault(record.partition, []).append(record)
        return found

    @property
    def committed(self) -> dict[int, int]:
        return self._log.committed("t", "archive")

    def forget_commits(self) -> None:
        self._log.store_positions("t", "archive", dict.fromkeys(self._owner, 0))


def archiver_of(reader: LogReader, sink: ArchiveSink, **options: Any) -> Archiver:
    return Archiver(reader, sink, batch_records=3, **options)


def sink_of(folder: Path) -> FileArchive:
    return FileArchive(str(folder), "t", clock=SystemClock(), rotate_records=4)


def archived(folder: Path) -> dict[int, list[bytes]]:
    place = topic_place(LocalFiles(), str(folder), "t")
    found: dict[int, list[bytes]] = {}
    for file in list_archive(place).files:
        read = (value for value, _ in values(place.filesystem, file))
        found.setdefault(file.partition, []).extend(read)
    return found


def test_partitions_that_come_and_go_are_archived_once(tmp_path: Path) -> None:
    log = SharedLog(partitions=3, count=60)
    archivers = [archiver_of(reader, sink_of(tmp_path)) for reader in log.readers]
    for round_ in range(120):
        if round_ % 7 == 0:
            log.give(1 - log.owner(round_ % 3), round_ % 3)
        with suppress(RetriableError):
            archivers[(round_ // 2) % 2].step(0.0)
    for who in (0, 1):
        log.give(who, 0, 1, 2)
        run_until_idle([archivers[who]])
    assert archived(tmp_path) == {
        partition: [record.value for record in records]
        for partition, records in log.records.items()
    }
    assert log.committed == {0: 60, 1: 60, 2: 60}


def test_a_batch_that_was_read_while_partitions_moved_is_dropped(tmp_path: Path) -> None:
    log = SharedLog(partitions=1, count=10)
    archiver = archiver_of(log.readers[0], sink_of(tmp_path))
    archiver.step(0.0)
    other = archiver_of(log.readers[1], sink_of(tmp_path))
    log.give(1, 0)
    assert archiver.step(0.0) == 0
    run_until_idle([other])
    log.give(0, 0)
    log.forget_commits()
    assert archiver.step(0.0) == 0
    archiver.close()
    assert archived(tmp_path) == {0: [record.value for record in log.records[0]]}


def test_the_reader_keeps_its_place_while_the_archive_is_away() -> None:
    reader = SharedLog(partitions=1, count=10).readers[0]
    archive = FakeArchive(rotate_records=4)
    sink = archive.sink()
    sink.failures.add("reload", *[RetriableError("away")] * 5)
    archiver = archiver_of(reader, sink)
    for _ in range(5):
        with pytest.raises(RetriableError, match="away"):
            archiver.step(0.0)
    assert reader.asked.count((0, 0.0)) == 5
    run_until_idle([archiver])
    assert len(archive.kept()[0]) == 10


def test_what_is_finished_is_committed_and_not_more(tmp_path: Path) -> None:
    log = SharedLog(partitions=1, count=6)
    archiver = archiver_of(log.readers[0], sink_of(tmp_path))
    archiver.step(0.0)
    archiver.step(0.0)
    assert log.committed == {0: 4}
    archiver.finish()
    assert log.committed == {0: 6}
    archiver.close()


def test_records_that_the_log_has_deleted_are_told(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    writer = SqliteLogWriter(path)

    def archiver(folder: str) -> Archiver:
        reader = SqliteLogReader(path, topic="t", group=f"archive-{folder}")
        return archiver_of(reader, sink_of(tmp_path / folder))

    writer.append([NewRecord("t", None, b"0")])
    run_until_idle([archiver("a")])
    writer.append([NewRecord("t", None, b"%d" % number) for number in range(1, 10)])
    apply_retention(path, Retention(size_bytes=5), 0)
    for _ in range(2):  # a restart makes no difference
        with pytest.raises(FatalError, match="has deleted 4 records"):
            run_until_idle([archiver("a")])
    assert archived(tmp_path / "a") == {0: [b"0"]}
    run_until_idle([archiver("b")])
    assert archived(tmp_path / "b") == {0: [b"5", b"6", b"7", b"8", b"9"]}
    writer.close()


def test_where_the_archive_ends_is_checked_whenever_it_is_read_back(tmp_path: Path) -> None:
    log = SharedLog(partitions=2, count=6)
    seen: list[Positions] = []
    archiver = archiver_of(log.readers[0], sink_of(tmp_path), check=seen.append)
    run_until_idle([archiver])
    log.give(1, 0)
    archiver.step(0.0)
    assert seen[-1] == {0: 6, 1: 6}
    assert len(seen) >= 2
    archiver.close()
