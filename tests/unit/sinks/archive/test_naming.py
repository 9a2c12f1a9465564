"""The names of files."""

import os
from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.sinks.archive import naming
from mastostream.sinks.archive.naming import (
    DAY_MS,
    ArchiveFile,
    breaks,
    day_folder,
    day_of_folder,
    file_name,
    new_writer_name,
    parse_name,
    parse_temporary,
    placed,
    suffix_of,
)

TOPICS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True)
PARTITIONS = st.integers(0, 2**31)
OFFSETS = st.integers(0, 2**63)


def file(first: int, last: int, partition: int = 0) -> ArchiveFile:
    parsed = parse_name(file_name("t", partition, first, last, ".jsonl"))
    assert parsed is not None
    return parsed


@given(TOPICS, PARTITIONS, OFFSETS, OFFSETS, st.sampled_from(["jsonl", "parquet"]))
def test_a_name_says_what_is_inside(
    topic: str, partition: int, one: int, other: int, form: naming.Format
) -> None:
    first, last = sorted((one, other))
    for compression in ("none", "gzip", "zstd"):
        suffix = suffix_of(form, compression)
        parsed = parse_name("/a/b/" + file_name(topic, partition, first, last, suffix))
        assert parsed is not None
        assert (parsed.topic, parsed.partition, parsed.first, parsed.last) == (
            topic,
            partition,
            first,
            last,
        )
        assert parsed.format == form
        assert parsed.folder == "/a/b"
        assert form == "parquet" or parsed.compression == compression


@given(TOPICS, PARTITIONS, OFFSETS, st.booleans())
def test_a_file_that_is_being_written_says_whose_it_is(
    topic: str, partition: int, first: int, compacting: bool
) -> None:
    name = new_writer_name(topic, partition, first, compacting=compacting)
    assert name.startswith("_")
    assert parse_name(name) is None
    parsed = parse_temporary(name)
    assert parsed is not None
    assert (parsed.topic, parsed.partition, parsed.compacting) == (topic, partition, compacting)
    assert parsed.pid == os.getpid()
    assert not parsed.is_dead()
    assert name != new_writer_name(topic, partition, first, compacting=compacting)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "t+00000+00000000000000000000-00000000000000000001.jsonl.tmp",
        "_t+00000+00000000000000000000-00000000000000000001.jsonl",
        "t+00000+00000000000000000002-00000000000000000001.jsonl",
        "t+0+0-1.jsonl",
        "t+00000+00000000000000000000-00000000000000000001.json",
        "a/t+00000+00000000000000000000-00000000000000000001.jsonl\n",
    ],
)
def test_other_names_are_no_files_of_an_archive(name: str) -> None:
    assert parse_name(name) is None
    assert parse_temporary(name) is None


def test_only_a_process_of_this_machine_is_known_to_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = parse_temporary(new_writer_name("t", 0, 0))
    assert mine is not None
    gone = attrs.evolve(mine, pid=2**22 + 1)  # beyond the highest that Linux gives
    assert gone.is_dead()
    assert not attrs.evolve(gone, host="elsewhere").is_dead()
    assert not attrs.evolve(mine, pid=2**80).is_dead()


@given(st.integers(-100_000, 2_000_000))
def test_a_day_comes_back_from_its_folder(day: int) -> None:
    assert day_of_folder(day_folder(day)) == day


def test_days_are_those_of_utc() -> None:
    assert day_folder(1_769_900_399_999 // DAY_MS) == "date=2026-01-31"
    assert day_folder(1_769_904_000_000 // DAY_MS) == "date=2026-02-01"
    for name in ("date=2026-02-30", "date=", "2026-01-01", "date=2026-01-01x"):
        assert day_of_folder(name) is None


@given(st.lists(st.integers(1, 5), min_size=1, max_size=10), st.data())
def test_what_compaction_has_merged_is_replaced_and_nothing_else(
    lengths: list[int], data: st.DataObject
) -> None:
    ends = [0]
    for length in lengths:
        ends.append(ends[-1] + length)
    small = [file(first, end - 1) for first, end in pairwise(ends)]
    low = data.draw(st.integers(0, len(small) - 1))
    high = data.draw(st.integers(low, len(small) - 1))
    merged = [file(small[low].first, small[high].last)] if high > low else []
    gone = data.draw(st.integers(0, high - low + 1)) if merged else 0
    left = [part for order, part in enumerate(small) if not low <= order < low + gone]
    kept, replaced = placed([*left, *merged])
    assert not breaks(kept)
    assert kept[0].first == 0
    assert kept[-1].last == ends[-1] - 1
    assert len(kept) + len(replaced) == len(left) + len(merged)


def test_gaps_overlaps_and_twins_are_told() -> None:
    assert "gap" in breaks(placed([file(0, 1), file(5, 6)])[0])[0]
    assert "overlap" in breaks(placed([file(0, 3), file(3, 6)])[0])[0]
    twins = [file(0, 3), attrs.evolve(file(0, 3), path="other")]
    assert "overlap" in breaks(placed(twins)[0])[0]
    assert not breaks(placed([file(0, 3), file(9, 9, partition=1)])[0])
