"""Few large files of many small ones."""

import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mastostream.exceptions import DamagedError, RetriableError
from mastostream.ports.clock import SystemClock
from mastostream.sinks.archive import (
    FileArchive,
    LocalFiles,
    compact_archive,
    list_archive,
    look,
    verify_archive,
)
from mastostream.sinks.archive.compacting import groups_of
from mastostream.sinks.archive.naming import new_writer_name, parse_name
from mastostream.testing.conformance.archive import records_of
from mastostream.testing.fakes import FakeClock, Killed, WatchedFiles

from .reading import kept, names, place_of
from .test_sink import KINDS, archive

VALUES = [b"%d" % number for number in range(40)]


def later() -> FakeClock:
    """Hours from now, by which files get old."""
    return FakeClock(time.time_ns() // 1_000_000 + 10 * 3_600_000)


def small_files(folder: Path, values: Sequence[bytes] = VALUES, **options: Any) -> None:
    for partition in (0, 1):
        sink = archive(folder, rotate_records=3, **options)
        sink.write(records_of(values, partition=partition))
        sink.close()


def has_checksums(kind: dict[str, Any]) -> bool:
    """Whether the format leaves that to a file beside it."""
    return kind.get("compression") == "none" or "form" in kind


def compact(folder: Path, **options: Any) -> Any:
    return compact_archive(place_of(folder), **({"clock": SystemClock()} | options))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_few_files_keep_the_same_records(tmp_path: Path, kind: dict[str, Any]) -> None:
    small_files(tmp_path, **kind)
    before = kept(place_of(tmp_path))
    progress: list[tuple[int, int]] = []
    done = compact(tmp_path, on_progress=lambda *step: progress.append(step))
    assert (done.merged, done.made, done.files) == (28, 2, 2)
    assert sum(size for size, _ in progress) == progress[0][1]
    assert len(list_archive(place_of(tmp_path)).files) == 2
    assert kept(place_of(tmp_path)) == before == {0: VALUES, 1: VALUES}
    checked = verify_archive(place_of(tmp_path))
    assert not checked.problems
    assert [facts.records for facts in checked.partitions] == [40, 40]
    again = compact(tmp_path)
    assert (again.merged, again.made, again.files, again.removed) == (0, 0, 2, 0)
    assert len(names(tmp_path)) == (4 if has_checksums(kind) else 2)


def test_an_archiver_goes_on_meanwhile(tmp_path: Path) -> None:
    sink = archive(tmp_path, rotate_records=3)
    sink.write(records_of(VALUES[:20]))
    compact(tmp_path)
    sink.write(records_of(VALUES[20:], first=20))
    sink.close()
    compact(tmp_path)
    assert kept(place_of(tmp_path)) == {0: VALUES}


def test_only_neighbours_of_one_kind_become_one() -> None:
    def file(folder: str, partition: int, first: int, suffix: str, size_bytes: int) -> Any:
        name = f"/{folder}/t+{partition:05}+{first:020}-{first:020}{suffix}"
        return parse_name(name, size_bytes)

    files = [
        file("a", 0, 0, ".jsonl", 10),
        file("a", 0, 1, ".jsonl", 10),
        file("a", 0, 2, ".jsonl.gz", 10),
        file("a", 0, 3, ".jsonl.gz", 10),
        file("a/date=2024-01-01", 0, 4, ".jsonl.gz", 10),
        file("a", 1, 0, ".jsonl", 40),
        file("a", 1, 1, ".jsonl", 50),
        file("a", 1, 2, ".jsonl", 20),
        file("a", 1, 3, ".jsonl", 200),
    ]
    groups = groups_of(files, 90)
    merged = [[(small.partition, small.first) for small in group] for group in groups]
    assert merged == [[(0, 0), (0, 1)], [(0, 2), (0, 3)], [(1, 0), (1, 1)]]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_crash_at_any_moment_loses_and_repeats_nothing(
    tmp_path: Path, kind: dict[str, Any]
) -> None:
    for step in range(0, 1_000, 7 if "form" in kind else 1):
        folder = tmp_path / str(step)
        sink = archive(folder, rotate_records=2, **kind)
        sink.write(records_of(VALUES[:6]))
        sink.close()
        left = step

        def watch(_: str, __: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed  # and nothing else does anything any more

        try:
            place = place_of(folder, WatchedFiles(LocalFiles(), watch))
            compact_archive(place, clock=SystemClock())
        except Killed:
            killed = True
        else:
            killed = False
        assert kept(place_of(folder)) == {0: VALUES[:6]}, step
        assert not verify_archive(place_of(folder)).problems, step
        again = archive(folder, **kind)
        assert again.positions() == {0: 6}
        again.write(records_of(VALUES[6:8], first=6))
        again.close()
        compact(folder, clock=later())
        assert kept(place_of(folder)) == {0: VALUES[:8]}, step
        listing = look(place_of(folder))
        assert (len(listing.files), listing.replaced, listing.temporaries) == (1, [], []), step
        assert len(listing.checksums) == (1 if has_checksums(kind) else 0), step
        if not killed:
            break
    assert step > 10


@pytest.mark.parametrize("seed", range(5))
def test_two_at_once_with_an_archiver_lose_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    """The second begins at any step of the first."""
    rng = random.Random(seed)
    for number in range(30):
        folder = tmp_path / str(number)
        small_files(folder, VALUES[:10])
        left = rng.randrange(1, 60)
        target_bytes = rng.choice([100, 150, 2**20])

        def watch(_: str, __: str, folder: Path = folder, target: int = target_bytes) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                compact(folder, target_bytes=target)
                sink = archive(folder)
                sink.write(records_of(VALUES[10:12], first=10))
                sink.close()

        with suppress(RetriableError):
            compact_archive(
                place_of(folder, WatchedFiles(LocalFiles(), watch)), clock=SystemClock()
            )
        expected = VALUES[:12] if left <= 0 else VALUES[:10]
        assert kept(place_of(folder)) == {0: expected, 1: VALUES[:10]}
        compact(folder)
        assert kept(place_of(folder)) == {0: expected, 1: VALUES[:10]}


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_damaged_file_is_not_merged(tmp_path: Path, kind: dict[str, Any]) -> None:
    values = [os.urandom(500).hex().encode() for _ in range(6)]
    sink = archive(tmp_path, rotate_records=2, **kind)
    sink.write(records_of(values))
    sink.close()
    path = Path(list_archive(place_of(tmp_path)).files[1].path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x01
    path.write_bytes(data)
    before = names(tmp_path)
    with pytest.raises(DamagedError, match=path.name[:40].replace("+", r"\+")):
        compact(tmp_path)
    assert names(tmp_path) == before


def test_what_changes_while_it_is_written_is_noticed_before_anything_is_removed(
    tmp_path: Path,
) -> None:
    small_files(tmp_path, VALUES[:6], compression="none")
    before = kept(place_of(tmp_path))

    def watch(when: str, what: str) -> None:
        if (when, what) == ("after", "seal"):
            for path in tmp_path.rglob("_compact*"):
                os.truncate(path, 0)

    with pytest.raises(DamagedError, match="nothing was removed"):
        compact_archive(place_of(tmp_path, WatchedFiles(LocalFiles(), watch)), clock=SystemClock())
    assert kept(place_of(tmp_path)) == before


def test_leftovers_go_when_nobody_can_need_them(tmp_path: Path) -> None:
    small_files(tmp_path, VALUES[:2], compression="none")
    folder = tmp_path / "t"
    mine = new_writer_name("t", 0, 7, compacting=True)
    dead = mine.replace(f"+{os.getpid()}+", f"+{2**22 + 1}+")
    orphan = "_t+00000+00000000000000000007-00000000000000000008.jsonl.sha256"
    an_archivers = new_writer_name("t", 0, 7)
    for name in (mine, an_archivers, dead, orphan, "_SUCCESS"):
        (folder / name).touch()
    assert compact(tmp_path).removed == 1
    assert {mine, orphan, "_SUCCESS"} < set(names(tmp_path))
    assert compact(tmp_path, clock=later()).removed == 2
    assert mine not in names(tmp_path)
    assert an_archivers in names(tmp_path)
    assert isinstance(archive(tmp_path), FileArchive)
