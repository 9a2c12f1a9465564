"""The log on SQLite."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.exceptions import DamagedError, FatalError, RetriableError
from mastostream.log.sqlite import (
    Retention,
    SqliteLogReader,
    SqliteLogWriter,
    apply_retention,
    topic_facts,
)
from mastostream.ports.log import NewRecord

BATCHES = st.lists(
    st.lists(st.tuples(st.none() | st.text(max_size=3), st.binary(max_size=20)), max_size=6),
    max_size=6,
)


def read_all(path: Path, topic: str = "t", group: str = "g") -> list[tuple[int, int, bytes]]:
    reader = SqliteLogReader(path, topic=topic, group=group)
    found = []
    while records := reader.read(3, 0.0):
        found += [(record.partition, record.offset, record.value) for record in records]
    reader.close()
    return found


@given(BATCHES, st.integers(1, 4))
def test_what_was_appended_is_read_in_order_with_offsets_without_a_gap(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str | None, bytes]]], n: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.sqlite3"
    writer = SqliteLogWriter(path, partitions=n)
    for batch in batches:
        writer.append([NewRecord("t", key, value, (("h", b"\x00"),)) for key, value in batch])
    writer.close()
    found = read_all(path)
    assert sorted(value for _, _, value in found) == sorted(v for b in batches for _, v in b)
    for partition in range(n):
        offsets = [offset for p, offset, _ in found if p == partition]
        assert offsets == list(range(len(offsets)))


def test_a_reader_goes_on_where_its_group_committed(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    writer = SqliteLogWriter(path)
    writer.append([NewRecord("t", None, b"%d" % number) for number in range(5)])
    reader = SqliteLogReader(path, topic="t", group="g")
    assert [record.value for record in reader.read(2, 0)] == [b"0", b"1"]
    reader.commit({0: 2})
    assert [record.value for record in reader.read(9, 0)] == [b"2", b"3", b"4"]
    again = SqliteLogReader(path, topic="t", group="g")
    assert [record.value for record in again.read(1, 0)] == [b"2"]
    for part in (writer, reader, again):
        part.close()


def test_a_reader_waits_for_another_writers_record(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    reader = SqliteLogReader(path, topic="t", group="g")
    assert reader.read(1, 0.05) == []
    writer = SqliteLogWriter(path)
    writer.append([NewRecord("t", "k", b"v", (("a", b"\xff"),))])
    (record,) = reader.read(1, 5.0)
    assert (record.key, record.value, record.headers) == ("k", b"v", (("a", b"\xff"),))
    reader.close()
    writer.close()


def test_retention_deletes_the_oldest_by_size_and_by_age(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    now = [1_000]
    writer = SqliteLogWriter(path, now_ms=lambda: now[0])
    writer.append([NewRecord("t", None, b"x" * 10) for _ in range(10)])
    now[0] = 100_000
    writer.append([NewRecord("t", None, b"y" * 10) for _ in range(10)])
    assert apply_retention(path, Retention(size_bytes=150), now_ms=100_000) == 5
    assert apply_retention(path, Retention(age_s=10), now_ms=100_000) == 5
    (facts,) = topic_facts(path)
    assert (facts.first_offset, facts.next_offset, facts.size_bytes) == (10, 20, 100)
    assert [offset for _, offset, _ in read_all(path)] == list(range(10, 20))
    assert apply_retention(path, Retention(age_s=0), now_ms=10**9) == 10
    writer.append([NewRecord("t", None, b"z")])
    assert read_all(path) == [(0, 20, b"z")]
    writer.close()


def test_a_file_that_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    path.write_bytes(b"half a file" * 1000)
    with pytest.raises(DamagedError, match="move it away"):
        SqliteLogWriter(path)
    assert path.read_bytes().startswith(b"half a file")


def test_a_half_written_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    writer = SqliteLogWriter(path)
    writer.append([NewRecord("t", None, b"x" * 4000) for _ in range(200)])
    writer.close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises((DamagedError, FatalError)):
        read_all(path)


def test_a_file_of_a_newer_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(FatalError, match="layout 99"):
        SqliteLogWriter(path)


def test_a_full_disk_is_retriable_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    writer = SqliteLogWriter(path)
    writer.append([NewRecord("t", None, b"first")])
    pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
    writer._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    batch = [NewRecord("t", None, b"x" * 3000) for _ in range(20)]
    with pytest.raises(RetriableError, match="disk is full"):
        writer.append(batch)
    assert len(read_all(path)) == 1
    writer._connection.execute("PRAGMA max_page_count = 1000000")
    writer.append(batch)
    assert len(read_all(path)) == 21
    writer.close()


WRITER = """
import sys
from pathlib import Path
from mastostream.log.sqlite import SqliteLogWriter
from mastostream.ports.log import NewRecord
writer = SqliteLogWriter(Path(sys.argv[1]))
number = 0
while True:
    writer.append([NewRecord("t", None, b"%d" % (number + each)) for each in range(7)])
    number += 7
    print(number, flush=True)
"""


def test_kill_9_leaves_whole_batches_and_all_that_were_confirmed(tmp_path: Path) -> None:
    for attempt in range(5):
        path = tmp_path / f"{attempt}.sqlite3"
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        confirmed = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        found = read_all(path)
        assert [value for _, _, value in found] == [b"%d" % n for n in range(len(found))]
        assert len(found) % 7 == 0
        assert len(found) >= int(confirmed[-1] if confirmed else 7)
