"""From a topic to the archive, where readers share the partitions, and where records are lost."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from mastostream.archiver import Archiver
from mastostream.exceptions import FatalError, RetriableError
from mastostream.log.sqlite import Retention, SqliteLogReader, SqliteLogWriter, apply_retention
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import NewRecord, Positions, Record
from mastostream.runner import run_until_idle
from mastostream.sinks.archive import FileArchive, LocalFiles, list_archive, topic_place, values


class SharedLog:
    """Partitions that two readers share; each may get them at any read."""

    def __init__(self, partitions: int, count: int) -> None:
        self.records = {
            partition: [
                Record("t", partition, offset, 0, None, b"%d-%d" % (partition, offset))
                for offset in range(count)
            ]
            for partition in range(partitions)
        }
        self.owner = dict.fromkeys(self.records, 0)
        self.committed: dict[int, int] = {}


class SharedReader:
    """A :class:`ports.log.LogReader` of one group."""

    def __init__(self, log: SharedLog, who: int) -> None:
        self.lost = 0
        self.generation = 0
        self.kept_place = 0
        self._log = log
        self._who = who
        self._positions: dict[int, int] = {}

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        mine = {partition for partition, owner in self._log.owner.items() if owner == self._who}
        if mine != set(self._positions):
            self.generation += 1
            for partition in mine - set(self._positions):
                self._positions[partition] = self._log.committed.get(partition, 0)
            for partition in set(self._positions) - mine:
                del self._positions[partition]
        if not max_records:
            self.kept_place += 1
            return ()
        found: list[Record] = []
        for partition, position in self._positions.items():
            records = self._log.records[partition][position : position + 3]
            self._positions[partition] += len(records)
            found += records
        return found

    def seek(self, positions: Positions) -> None:
        self._positions.update(
            {each: at for each, at in positions.items() if each in self._positions}
        )

    def commit(self, positions: Positions) -> None:
        self._log.committed.update(
            {each: at for each, at in positions.items() if each in self._positions}
        )

    def close(self) -> None:
        pass


class AwayFor:
    """An archive that is away when it is read back so many times."""

    def __init__(self, sink: FileArchive, times: int) -> None:
        self._sink = sink
        self._times = times

    def reload(self) -> None:
        self._times -= 1
        if self._times >= 0:
            raise RetriableError("away")
        self._sink.reload()

    def __getattr__(self, name: str) -> object:
        return getattr(self._sink, name)


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
    archivers = [Archiver(SharedReader(log, who), sink_of(tmp_path)) for who in (0, 1)]
    for round_ in range(120):
        if round_ % 7 == 0:
            log.owner[round_ % 3] = 1 - log.owner[round_ % 3]
        with suppress(RetriableError):
            archivers[(round_ // 2) % 2].step(0.0)
    for who in (0, 1):
        log.owner = dict.fromkeys(log.owner, who)
        run_until_idle([archivers[who]])
    assert archived(tmp_path) == {
        partition: [record.value for record in records]
        for partition, records in log.records.items()
    }
    assert log.committed == {0: 60, 1: 60, 2: 60}


def test_a_batch_that_was_read_while_partitions_moved_is_dropped(tmp_path: Path) -> None:
    log = SharedLog(partitions=1, count=10)
    archiver = Archiver(SharedReader(log, 0), sink_of(tmp_path))
    archiver.step(0.0)
    other = Archiver(SharedReader(log, 1), sink_of(tmp_path))
    log.owner[0] = 1
    assert archiver.step(0.0) == 0
    run_until_idle([other])
    log.owner[0] = 0
    log.committed[0] = 0
    assert archiver.step(0.0) == 0
    archiver.close()
    assert archived(tmp_path) == {0: [record.value for record in log.records[0]]}


def test_the_reader_keeps_its_place_while_the_archive_is_away(tmp_path: Path) -> None:
    reader = SharedReader(SharedLog(partitions=1, count=10), 0)
    archiver = Archiver(reader, AwayFor(sink_of(tmp_path), 5))  # type: ignore[arg-type]  # a sink
    for _ in range(5):
        with pytest.raises(RetriableError, match="away"):
            archiver.step(0.0)
    assert reader.kept_place == 5
    run_until_idle([archiver])
    assert len(archived(tmp_path)[0]) == 10


def test_what_is_finished_is_committed_and_not_more(tmp_path: Path) -> None:
    log = SharedLog(partitions=1, count=6)
    archiver = Archiver(SharedReader(log, 0), sink_of(tmp_path))
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
        return Archiver(reader, sink_of(tmp_path / folder))

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
    archiver = Archiver(SharedReader(log, 0), sink_of(tmp_path), check=seen.append)
    run_until_idle([archiver])
    log.owner[0] = 1
    archiver.step(0.0)
    assert seen[-1] == {0: 6, 1: 6}
    assert len(seen) >= 2
    archiver.close()
