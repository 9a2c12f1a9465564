"""The archive."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream.exceptions import DamagedError, FatalError, RetriableError
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import Record
from mastostream.sinks.archive import FileArchive, line_of, list_archive, value_of
from mastostream.sources.replay import _lines, replay_files

VALUES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b'{"a":1}',
            b'{\n"a":1}',
            b'{"mastostream_archive":{"base64":"eA=="}}',
            b"",
            b"\xff",
            b"[1]",
        ]
    ),
)


class Clock(SystemClock):
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s


def records(values: list[bytes], first: int = 0, partition: int = 0) -> list[Record]:
    return [
        Record("t", partition, first + order, 0, None, value) for order, value in enumerate(values)
    ]


def archive(folder: Path, **options: Any) -> FileArchive:
    return FileArchive(str(folder), "t", **({"clock": SystemClock()} | options))


def kept(folder: Path) -> list[bytes]:
    return [value_of(line) for line, _ in _lines(replay_files(folder))]


@given(VALUES)
def test_every_value_comes_back_from_its_line(value: bytes) -> None:
    line = line_of(value)
    assert b"\n" not in line
    assert value_of(line) == value


@settings(max_examples=40)
@given(
    st.lists(st.lists(VALUES, max_size=8), min_size=1, max_size=6),
    st.integers(1, 120),
    st.sampled_from(["none", "gzip", "zstd"]),
    st.lists(st.sampled_from(["go on", "restart", "crash"]), min_size=6, max_size=6),
)
def test_no_gap_and_no_repeat_whatever_the_rotation_restarts_and_crashes(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[bytes]],
    rotate_bytes: int,
    compression: str,
    lives: list[str],
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    values = [value for batch in batches for value in batch]
    everything = records(values)
    options = {"rotate_bytes": rotate_bytes, "compression": compression}
    sink = archive(folder, **options)
    for batch, life in zip(batches, lives, strict=False):
        position = sink.positions().get(0, 0)
        sink.write(everything[position : position + len(batch)])
        if life == "restart":
            sink.close()
            sink = archive(folder, **options)
        elif life == "crash":
            for file in sink._open.values():
                file.raw.close()
            sink = archive(folder, **options)
    sink.write(everything[sink.positions().get(0, 0) :])
    sink.close()
    assert (kept(folder) if values else []) == values
    assert not list(folder.rglob("_*"))


def test_a_file_is_finished_by_age_without_traffic(tmp_path: Path) -> None:
    clock = Clock()
    sink = archive(tmp_path, clock=clock, rotate_s=60)
    sink.write(records([b"{}"]))
    sink.flush()
    assert list_archive(fsspec.filesystem("file"), str(tmp_path / "t"), "t") == []
    clock.now_s = 61
    sink.flush()
    (file,) = list_archive(fsspec.filesystem("file"), str(tmp_path / "t"), "t")
    assert (file.first, file.last) == (0, 0)
    sink.close()


def test_a_full_disk_is_retriable_and_leaves_no_gap(tmp_path: Path) -> None:
    sink = archive(tmp_path, compression="none")
    sink.write(records([b"1"]))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = sink._open[0]
    file.stream = type("Full", (), {"write": full, "close": full})()
    with pytest.raises(RetriableError, match="No space left"):
        sink.write(records([b"2"], first=1))
    assert sink.positions() == {}
    sink.write(records([b"1", b"2"]))
    sink.close()
    assert kept(tmp_path) == [b"1", b"2"]


def test_files_with_a_gap_are_told(tmp_path: Path) -> None:
    for first in (0, 5):
        name = f"t+00000+{first:020}-{first + 1:020}.jsonl"
        (tmp_path / "t").mkdir(exist_ok=True)
        (tmp_path / "t" / name).write_bytes(b"1\n2\n")
    with pytest.raises(DamagedError, match="gap"):
        archive(tmp_path)


def test_records_that_the_log_has_deleted_are_told(tmp_path: Path) -> None:
    sink = archive(tmp_path)
    sink.write(records([b"1"]))
    with pytest.raises(FatalError, match="no offsets 1 to 4"):
        sink.write(records([b"5"], first=5))
    sink.close()
    again = archive(tmp_path)
    with pytest.raises(FatalError, match="no offsets 1 to 4"):
        again.write(records([b"5"], first=5))
    again.close()
    assert archive(tmp_path).positions() == {0: 1}


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_damaged_file_gives_what_is_readable_and_then_says_so(
    tmp_path: Path, compression: str, damage: str
) -> None:
    sink = archive(tmp_path, compression=compression)
    sink.write(records([b'{"n":"%s"}' % os.urandom(20).hex().encode() for _ in range(20_000)]))
    sink.close()
    (path,) = replay_files(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:-200] + (b"" if damage == "cut" else b"\xaa" * 200))
    found: list[bytes] = []
    with pytest.raises(DamagedError, match="damaged after line"):
        found.extend(line for line, _ in _lines((path,)))
    found = list(readable(path))
    assert 0 < len(found) < 20_000


def readable(path: Path) -> Iterator[bytes]:
    with suppress(DamagedError):
        for line, _ in _lines((path,)):
            yield line
