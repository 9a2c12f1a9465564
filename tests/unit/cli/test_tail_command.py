"""``tail``: what is in a topic, from which place on, and for how long."""

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.cli.tail_command import Start, shown_records
from mastostream.log.sqlite import SqliteLogWriter
from mastostream.ports.log import NewRecord, Record, TopicFacts
from mastostream.testing.fakes import FakeClock, FakeLog

Command = Callable[..., Any]


def fill(path: Path, count: int, partitions: int = 1) -> None:
    times = iter(range(0, count * 60_000, 60_000))
    with closing(SqliteLogWriter(path, partitions=partitions, now_ms=lambda: next(times))) as log:
        for number in range(count):
            log.append([NewRecord("results", f"k{number % 3}", b'{"n":%d}' % number)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mastostream-data").mkdir()
    fill(tmp_path / "mastostream-data" / "mastostream.sqlite3", 30, partitions=2)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (["--once"], range(20, 30)),
        (["--count", "3"], [27, 28, 29]),
        (["--count", "99"], range(30)),
        (["--key", "k1", "--once"], range(1, 30, 3)),
        (["--key", "k1", "--count", "2"], [25, 28]),
        (["--key", "none", "--once"], []),
        (["--from", "beginning", "--once"], range(30)),
        (["--from", "beginning", "--count", "4", "--key", "k2"], [2, 5, 8, 11]),
        (["--from", "1970-01-01T00:27", "--once"], [27, 28, 29]),
        (["--from", "1970-01-01T01:27:30+01:00", "--once"], [28, 29]),
        (["--from", "2099-01-01", "--once"], []),
    ],
)
def test_records_from_a_place_on(
    command: Command, folder: Path, arguments: list[str], numbers: Sequence[int]
) -> None:
    done = command(folder, "tail", "results", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [json.loads(record["value"])["n"] for record in records] == list(numbers)
    assert all(record["kind"] == "record" for record in records)
    plain = command(folder, "tail", "results", *arguments)
    assert [line.rpartition(" ")[2] for line in plain.stdout.splitlines()] == [
        str(number) for number in numbers
    ]


def test_from_an_offset_of_each_partition_on(command: Command, folder: Path) -> None:
    def places(start: str) -> set[tuple[int, int]]:
        done = command(folder, "tail", "results", "--from", start, "--once", "--json")
        records = map(json.loads, done.stdout.splitlines())
        return {(record["partition"], record["offset"]) for record in records}

    assert places("8") == {(partition, offset) for partition, offset in places("0") if offset >= 8}
    assert len(places("0")) == 30
    assert places("99") == set()


def test_a_record_of_any_bytes_is_given_raw(command: Command, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    headers = (("stage", b"analyze"), ("reason", b"bad\xff"))
    with closing(SqliteLogWriter(tmp_path / "d" / "mastostream.sqlite3")) as log:
        log.append([NewRecord("t", None, b"\xff\x00", headers), NewRecord("t", "k", b"{ }")])
    done = command(tmp_path, "tail", "t", "--once", "--json", "--data", "d")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["value_base64"] == "/wA="
    assert first["headers"] == {"stage": "analyze", "reason": "bad\ufffd"}
    assert (second["key"], second["value"]) == ("k", "{ }")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resluts"], "there is no topic resluts in"),
        (["resluts"], "known are results"),
        (["\x1b[2J"], "there is no topic [2J in"),
        (["results", "--from", "yesterday"], "expected 'beginning', an offset, or a time"),
        (["results", "--count", "0"], "--count"),
    ],
)
def test_a_mistake_is_told(
    command: Command, folder: Path, arguments: list[str], message: str
) -> None:
    done = command(folder, "tail", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "\x1b" not in done.stderr


def test_without_any_topic_that_is_told(command: Command, tmp_path: Path) -> None:
    assert "it has none yet" in command(tmp_path, "tail", "results").stderr


def facts_of(log: FakeLog, partitions: int) -> list[TopicFacts]:
    records = log.records("t")
    counts = [sum(each.partition == number for each in records) for number in range(partitions)]
    return [
        TopicFacts(topic="t", partition=number, first_offset=0, next_offset=count)
        for number, count in enumerate(counts)
    ]


@pytest.mark.parametrize("start", [None, Start(offset=590)])
def test_it_waits_for_new_records_until_it_is_stopped(start: Start | None) -> None:
    log, stop = FakeLog(), threading.Event()
    log.append("t", *(b"%d" % number for number in range(600)))
    facts = facts_of(log, 1)
    log.append("t", b"605", b"606")  # between the look at the ends and the first read
    records = shown_records(
        log.reader("t", "tail"),
        facts,
        start=start,
        wanted=lambda record: record.offset >= 591 and not record.value.endswith(b"5"),
        count=None,
        follows=True,
        stop=stop,
    )
    first = [each.value for each in islice(records, 8)]
    assert first[-2:] == [b"598", b"599"]
    assert next(records).value == b"606"
    log.append("t", b"615", b"616")
    assert next(records).value == b"616"
    stop.set()
    assert list(records) == []


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=40),
    st.none() | st.sampled_from("abc"),
    st.integers(1, 12),
)
def test_the_newest_are_those_of_a_sorted_list(
    partitions: int, keys: list[tuple[str, int]], key: str | None, count: int
) -> None:
    clock = FakeClock()
    log = FakeLog(partitions=partitions, clock=clock)
    for name, pause_s in keys:
        log.append("t", b"v", key=name)
        clock.wait(threading.Event(), pause_s)
    for start in (None, Start()):
        shown = list(
            shown_records(
                log.reader("t", "tail"),
                facts_of(log, partitions),
                start=start,
                wanted=lambda record: key in {None, record.key},
                count=count,
                follows=False,
                stop=threading.Event(),
            )
        )
        all_wanted = sorted((each for each in log.records("t") if key in {None, each.key}), key=age)
        if start is None:
            assert shown == all_wanted[-count:]
        else:
            assert sorted(shown, key=age) == all_wanted[:count]


def age(record: Record) -> tuple[int, int, int]:
    return record.timestamp_ms, record.partition, record.offset
