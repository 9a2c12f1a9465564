"""The archive's writer."""

import os
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream.exceptions import (
    ConfigurationError,
    DamagedError,
    FatalError,
    MissingExtraError,
    RetriableError,
)
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import Record
from mastostream.sinks.archive import FileArchive, LocalFiles, list_archive, look
from mastostream.sinks.archive.naming import DAY_MS, new_writer_name
from mastostream.sinks.archive.publishing import TakenOverError
from mastostream.testing.conformance.archive import (
    ArchiveConformance,
    ArchiveUnderTest,
    records_of,
)
from mastostream.testing.fakes import FakeClock, WatchedFiles

from .reading import kept, names, place_of
from .test_lines import VALUES

KINDS: list[dict[str, Any]] = [
    {"compression": "none"},
    {"compression": "gzip"},
    {"compression": "zstd"},
    {"form": "parquet"},
    {"compression": "none", "by_date": True},
]


def sink_of(folder: Path, **options: Any) -> FileArchive:
    return FileArchive(str(folder), "t", **({"clock": SystemClock()} | options))


def archive(folder: Path, **options: Any) -> FileArchive:
    sink = sink_of(folder, **options)
    sink.reload()
    return sink


class TestFileArchive(ArchiveConformance):
    @pytest.fixture(params=KINDS, ids=str)
    def archive(self, request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveUnderTest:
        return ArchiveUnderTest(
            sink=lambda: sink_of(tmp_path, **request.param),
            kept=lambda: kept(place_of(tmp_path)),
        )


@settings(max_examples=40)
@given(
    st.lists(st.lists(VALUES, max_size=8), min_size=1, max_size=6),
    st.integers(1, 120),
    st.sampled_from(KINDS),
    st.lists(st.sampled_from(["go on", "restart", "crash", "reload"]), min_size=6, max_size=6),
)
def test_no_gap_and_no_repeat_whatever_the_rotation_restarts_and_crashes(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[bytes]],
    rotate_bytes: int,
    kind: dict[str, Any],
    lives: list[str],
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    values = [value for batch in batches for value in batch]
    everything = records_of(values)
    options = {"rotate_bytes": rotate_bytes} | kind
    sink = archive(folder, **options)
    for batch, life in zip(batches, lives, strict=False):
        position = sink.positions().get(0, 0)
        sink.write(everything[position : position + len(batch)])
        if life == "restart":
            sink.close()
            sink = archive(folder, **options)
        elif life == "crash":
            for file in sink._open.values():
                file.writer.give_up()
                file.file.close()
            sink = archive(folder, **options)
        elif life == "reload":
            sink.reload()
    sink.write(everything[sink.positions().get(0, 0) :])
    sink.close()
    assert kept(place_of(folder)) == ({0: values} if values else {})
    assert not [name for name in names(folder) if name.endswith(".tmp")]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", KINDS[:3], ids=str)
def test_no_gap_and_no_repeat_whatever_fails_and_whoever_else_writes(
    tmp_path: Path, seed: int, kind: dict[str, Any]
) -> None:
    folder, rng = tmp_path, random.Random(seed)
    values = [b"%d" % number for number in range(60)]
    failing = True

    def watch(_: str, __: str) -> None:
        if failing and rng.random() < 0.08:
            raise RetriableError("the file system is away")

    sinks = [
        sink_of(
            folder,
            filesystem=WatchedFiles(LocalFiles(), watch),
            rotate_records=rng.randrange(1, 9),
            **kind,
        )
        for _ in range(2)
    ]
    for _ in range(80):
        sink = rng.choice(sinks)
        with suppress(RetriableError):
            if rng.random() < 0.1:
                sink.reload()
            position = sink.positions().get(0, 0)
            sink.write(records_of(values[position : position + 5], first=position))
            sink.flush(force=rng.random() < 0.2)
    failing = False
    for sink in sinks:
        sink.reload()
        position = sink.positions().get(0, 0)
        sink.write(records_of(values[position:], first=position))
        sink.close()
    assert kept(place_of(folder)) == {0: values}
    assert not [name for name in names(folder) if name.endswith(".tmp")]


def test_a_file_is_finished_by_age_without_traffic(tmp_path: Path) -> None:
    clock = FakeClock()
    sink = archive(tmp_path, clock=clock, rotate_s=60)
    sink.write(records_of([b"{}"]))
    assert sink.flush() == {}
    assert list_archive(place_of(tmp_path)).files == []
    clock.advance(61)
    assert sink.flush() == {0: 1}
    (file,) = list_archive(place_of(tmp_path)).files
    assert (file.first, file.last) == (0, 0)
    sink.close()


def test_a_file_is_finished_by_count(tmp_path: Path) -> None:
    sink = archive(tmp_path, rotate_records=3)
    sink.write(records_of([b"%d" % number for number in range(8)]))
    assert [(file.first, file.last) for file in list_archive(place_of(tmp_path)).files] == [
        (0, 2),
        (3, 5),
    ]
    assert sink.flush() == {0: 6}
    sink.close()


def test_names_have_no_gap_where_offsets_have_one(tmp_path: Path) -> None:
    sink = archive(tmp_path, rotate_records=2)
    sink.write(records_of([b"%d" % number for number in range(6)], first=7, step=10))
    assert [(file.first, file.last) for file in list_archive(place_of(tmp_path)).files] == [
        (7, 17),
        (18, 37),
        (38, 57),
    ]
    sink.close()


def test_a_day_has_a_folder_also_when_the_clock_went_back(tmp_path: Path) -> None:
    sink = archive(tmp_path, by_date=True)
    days = [20_000, 20_000, 20_001, 20_000, 20_000, 20_001]
    sink.write(
        [
            Record("t", 0, offset, day * DAY_MS + offset, None, b"%d" % offset)
            for offset, day in enumerate(days)
        ]
    )
    sink.close()
    files = list_archive(place_of(tmp_path)).files
    assert [(file.first, file.last, file.folder.rpartition("/")[2]) for file in files] == [
        (0, 1, "date=2024-10-04"),
        (2, 2, "date=2024-10-05"),
        (3, 4, "date=2024-10-04"),
        (5, 5, "date=2024-10-05"),
    ]
    assert archive(tmp_path, by_date=True).positions() == {0: 6}
    assert archive(tmp_path).positions() == {0: 6}


def test_a_full_disk_is_retriable_and_leaves_no_gap(tmp_path: Path) -> None:
    full = False

    def watch(_: str, what: str) -> None:
        if full and what == "write":
            raise RetriableError("No space left")

    sink = archive(tmp_path, filesystem=WatchedFiles(LocalFiles(), watch), compression="none")
    sink.write(records_of([b"1"]))
    full = True
    with pytest.raises(RetriableError, match="No space left"):
        sink.write(records_of([b"2" * 2**20], first=1))
    full = False
    assert sink.positions() == {}
    sink.write(records_of([b"1", b"2"]))
    sink.close()
    assert kept(place_of(tmp_path)) == {0: [b"1", b"2"]}


def test_a_rename_whose_answer_was_lost_is_found_again(tmp_path: Path) -> None:
    def watch(when: str, what: str) -> None:
        if (when, what) == ("after", "rename"):
            raise RetriableError("the answer was lost")

    sink = archive(tmp_path, filesystem=WatchedFiles(LocalFiles(), watch))
    sink.write(records_of([b"1", b"2"]))
    with pytest.raises(RetriableError, match="the answer was lost"):
        sink.flush(force=True)
    assert sink.positions() == {0: 2}
    assert kept(place_of(tmp_path)) == {0: [b"1", b"2"]}


def test_one_partition_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    sink = archive(tmp_path, compression="none")
    for partition in (0, 1):
        sink.write(records_of([b"1"], partition=partition))
    sink._fs.remove(sink._open[0].temporary)
    with pytest.raises(TakenOverError):
        sink.flush(force=True)
    assert sink.positions() == {1: 1}
    sink.write(records_of([b"1"]))
    sink.close()
    assert kept(place_of(tmp_path)) == {0: [b"1"], 1: [b"1"]}


def test_files_with_a_gap_are_told(tmp_path: Path) -> None:
    for first in (0, 5):
        name = f"t+00000+{first:020}-{first + 1:020}.jsonl"
        (tmp_path / "t").mkdir(exist_ok=True)
        (tmp_path / "t" / name).write_bytes(b"1\n2\n")
    with pytest.raises(DamagedError, match="gap"):
        archive(tmp_path)


def test_a_topic_whose_files_would_be_hidden_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be archived"):
        FileArchive(str(tmp_path), "_internal", clock=SystemClock())


def test_a_folder_that_cannot_be_made_is_fatal(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FatalError, match="cannot use"):
        archive(tmp_path / "file")


def test_what_dead_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    mine, other = (folder / new_writer_name(topic, 5, 0) for topic in ("t", "u"))
    dead = folder / mine.name.replace(f"+{os.getpid()}+", f"+{2**22 + 1}+")
    old = folder / mine.name.replace("+0000", "+0001", 1)
    foreign = folder / "_SUCCESS"
    for path in (mine, other, dead, old, foreign):
        path.touch()
    os.utime(old, (0, 0))
    archive(tmp_path).close()
    assert set(folder.iterdir()) == {mine, other, foreign}


def test_a_writer_that_was_overtaken_goes_on_after_the_other(tmp_path: Path) -> None:
    slow, fast = archive(tmp_path), archive(tmp_path)
    slow.write(records_of([b"0", b"1", b"2", b"3"]))
    fast.write(records_of([b"0", b"1"]))
    assert fast.flush(force=True) == {0: 2}
    with pytest.raises(TakenOverError, match="another process has gone on with partition 0"):
        slow.flush(force=True)
    assert slow.positions() == {0: 2}
    slow.write(records_of([b"2", b"3"], first=2))
    assert slow.flush(force=True) == {0: 4}
    assert kept(place_of(tmp_path)) == {0: [b"0", b"1", b"2", b"3"]}
    for sink in (slow, fast):
        sink.close()


def test_plain_lines_get_a_checksum_that_sha256sum_reads(tmp_path: Path) -> None:
    import subprocess

    sink = archive(tmp_path, compression="none")
    sink.write(records_of([b"{}", b"\xff"]))
    sink.close()
    listing = look(place_of(tmp_path))
    (beside,) = listing.checksums
    assert listing.checksum_of(listing.files[0]) == beside
    done = subprocess.run(
        ["sha256sum", "-c", beside], check=False, capture_output=True, cwd=tmp_path / "t"
    )
    assert done.returncode == 0, done.stderr


def test_parquet_without_its_extra_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    # What Python's import system takes for a module that is not there.
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "mastostream.sinks.archive.parquet", raising=False)
    sink = archive(tmp_path, form="parquet")
    with pytest.raises(MissingExtraError, match=r"mastostream\[hdfs\]"):
        sink.write(records_of([b"{}"]))
    sink.close()
    assert names(tmp_path) == []
