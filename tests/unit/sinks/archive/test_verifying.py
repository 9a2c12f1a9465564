"""Whether an archive is what it should be."""

import random
from pathlib import Path
from typing import Any

import pytest

from mastostream.ports.log import Record
from mastostream.sinks.archive import Verified, list_archive, verify_archive
from mastostream.sinks.archive.naming import DAY_MS
from mastostream.testing.conformance.archive import records_of

from .reading import kept, names, place_of
from .test_sink import KINDS, archive


def filled(folder: Path, count: int = 300, **options: Any) -> list[Path]:
    """Two files of one partition, and one of another."""
    rng = random.Random(1)
    values = [b'{"n":"%s"}' % rng.randbytes(20).hex().encode() for _ in range(count)]
    for partition, rotate_records in ((0, count // 2), (3, count)):
        sink = archive(folder, rotate_records=rotate_records, **options)
        sink.write(records_of(values, partition=partition))
        sink.close()
    return [Path(file.path) for file in list_archive(place_of(folder)).files]


def verify(folder: Path) -> Verified:
    return verify_archive(place_of(folder))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_good_archive_is_counted(tmp_path: Path, kind: dict[str, Any]) -> None:
    paths = filled(tmp_path, **kind)
    progress: list[int] = []
    verified = verify_archive(place_of(tmp_path), progress.append)
    assert (verified.problems, verified.replaced, verified.unfinished) == ([], 0, 0)
    assert [
        (facts.partition, facts.files, facts.records, facts.first, facts.last)
        for facts in verified.partitions
    ] == [(0, 2, 300, 0, 299), (3, 1, 300, 0, 299)]
    assert sum(progress) == sum(path.stat().st_size for path in paths)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_any_byte_that_changes_is_noticed(tmp_path: Path, kind: dict[str, Any]) -> None:
    """One that changes no record may pass: the time in the head of a gzip file, such as it is."""
    path = filled(tmp_path, **kind)[0]
    before = kept(place_of(tmp_path))
    good = path.read_bytes()
    rng = random.Random(2)
    for position in [0, 3, len(good) - 1, *(rng.randrange(len(good)) for _ in range(25))]:
        bad = bytearray(good)
        bad[position] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        problems = verify(tmp_path).problems
        if problems or position > 9:
            assert [path.name in problem for problem in problems] == [True], position
        else:
            assert kept(place_of(tmp_path)) == before, position
    for cut in (1, 10, len(good) // 2, len(good)):
        path.write_bytes(good[:-cut])
        (problem,) = verify(tmp_path).problems
        assert path.name in problem, cut
    path.write_bytes(good)
    assert not verify(tmp_path).problems


def test_gaps_overlaps_and_strangers_are_told(tmp_path: Path) -> None:
    first, second, _ = filled(tmp_path)
    data = second.read_bytes()
    (tmp_path / "t" / "notes.txt").touch()
    second.rename(second.with_name(second.name.replace("150-", "149-")))
    problems = verify(tmp_path).problems
    assert "overlap" in problems[0]
    assert "notes.txt is no file of an archive" in problems[1]
    assert len(problems) == 2
    second.with_name(second.name.replace("150-", "149-")).unlink()
    second.write_bytes(data)
    first.unlink()
    second.rename(second.with_name(second.name.replace("150-", "151-")))
    assert "holds 150 records, but its name says 149" in verify(tmp_path).problems[1]


@pytest.mark.parametrize("content", [b"", b"{}\nno json\n", b"{}", b"{}\n\n"])
def test_lines_that_are_none_are_told(tmp_path: Path, content: bytes) -> None:
    paths = filled(tmp_path, compression="none")
    for beside in tmp_path.rglob("*.sha256"):
        beside.unlink()
    paths[0].write_bytes(content)
    (problem,) = verify(tmp_path).problems
    assert paths[0].name in problem


def test_a_checksum_that_is_none_is_told(tmp_path: Path) -> None:
    filled(tmp_path, compression="none")
    for beside in tmp_path.rglob("*.sha256"):
        beside.write_bytes(b"\xff")
    assert ["holds no checksum" in problem for problem in verify(tmp_path).problems] == [True] * 3


def test_parquet_that_is_in_the_wrong_place_is_told(tmp_path: Path) -> None:
    sink = archive(tmp_path, form="parquet", by_date=True)
    sink.write([Record("t", 0, offset, DAY_MS, None, b"{}") for offset in (0, 1)])
    sink.close()
    (file,) = (Path(file.path) for file in list_archive(place_of(tmp_path)).files)
    day = file.parent.rename(file.parent.with_name("date=1970-01-03"))
    (problem,) = verify(tmp_path).problems
    assert "of another day" in problem
    day = day.rename(day.with_name("date=1970-01-02"))
    assert not verify(tmp_path).problems
    (day / file.name).rename(day / file.name.replace("0-000", "1-000"))
    (problem,) = verify(tmp_path).problems
    assert "offset 0 is not where it should be" in problem


def test_a_file_that_only_looks_like_parquet_is_told(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "t"
    folder.mkdir()
    name = "t+00000+00000000000000000000-00000000000000000001.parquet"
    pq.write_table(pa.table({"offset": [0, 1]}), folder / name)
    (problem,) = verify(tmp_path).problems
    assert "has not the columns of an archive" in problem


def test_what_is_unfinished_is_no_problem(tmp_path: Path) -> None:
    filled(tmp_path)
    sink = archive(tmp_path)
    sink.write(records_of([b"{}"], first=300))
    verified = verify(tmp_path)
    assert (verified.problems, verified.unfinished) == ([], 1)
    assert [facts.last for facts in verified.partitions] == [299, 299]
    sink.close()
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]


def test_no_archive_is_no_problem(tmp_path: Path) -> None:
    verified = verify(tmp_path / "nowhere")
    assert (list(verified.partitions), verified.problems) == ([], [])
