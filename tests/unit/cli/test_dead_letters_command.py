"""``dead-letters``: which of them are listed, and that each record is sent again once."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.cli.data import send_again
from mastostream.core.dead_letters import DeadLetter, dead_letter_headers, dead_letter_matches
from mastostream.core.topic_names import DEAD_LETTERS, REPLAYED, STREAM
from mastostream.exceptions import RetriableError
from mastostream.log.sqlite import SqliteLogReader, SqliteLogWriter
from mastostream.ports.log import NewRecord
from mastostream.testing.fakes import FakeLog

Command = Callable[..., Any]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def letter(offset: int, stage: str = "analyze:full", *reasons: str, minute: int = 0) -> NewRecord:
    each = DeadLetter(
        topic=STREAM,
        partition=0,
        offset=offset,
        key=None,
        stage=stage,
        reasons=reasons,
        time=NOON + timedelta(minutes=minute),
        raw=b"bad %d" % offset,
    )
    return NewRecord(DEAD_LETTERS, each.origin, each.raw, dead_letter_headers(each))


LETTERS: Sequence[NewRecord] = [
    letter(0, "analyze:full", "$.id: missing", minute=0),
    letter(1, "analyze:full", "$: not JSON: bad at character 7", minute=1),
    letter(1, "analyze:count", "$: not JSON: bad at character 8", minute=2),
    letter(2, "index", "mapper [Language] is 'long'", minute=3),
    NewRecord(DEAD_LETTERS, None, b"of nobody"),
    letter(3, "analyze:full", "$: not JSON: bad at character 99", minute=5),
]


def write(folder: Path, records: Sequence[NewRecord]) -> None:
    (folder / "mastostream-data").mkdir(exist_ok=True)
    path = folder / "mastostream-data" / "mastostream.sqlite3"
    with closing(SqliteLogWriter(path, partitions=2)) as log:
        for record in records:
            log.append([record])


def values(folder: Path, topic: str) -> list[bytes]:
    path = folder / "mastostream-data" / "mastostream.sqlite3"
    with closing(SqliteLogReader(path, topic=topic, group="look")) as reader:
        return sorted(record.value for record in reader.read(10_000, 0.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, LETTERS)
    return tmp_path


CHOICES: Sequence[tuple[list[str], list[int]]] = [
    ([], [0, 1, 1, 2, -1, 3]),
    (["--stage", "analyze"], [0, 1, 1, 3]),
    (["--stage", "analyze:count"], [1]),
    (["--stage", "ana"], []),
    (["--reason", "NOT json"], [1, 1, 3]),
    (["--reason", "language"], [2]),
    (["--since", "2026-01-01T12:03"], [2, 3]),
    (["--since", "2026-01-01T13:05+01:00"], [3]),
    (["--stage", "analyze", "--reason", "missing"], [0]),
    (["--limit", "2"], [0, 1]),
    (["--stage", "index", "--limit", "9"], [2]),
]


@pytest.mark.parametrize(("arguments", "offsets"), CHOICES)
def test_those_that_are_asked_for_are_listed(
    command: Command, folder: Path, arguments: list[str], offsets: list[int]
) -> None:
    done = command(folder, "dead-letters", "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    letters = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(each["offset"] for each in letters) == sorted(offsets)
    assert not any(each["replayed"] for each in letters)


@pytest.mark.parametrize(("arguments", "offsets"), CHOICES)
def test_a_record_is_sent_again_once_whatever_is_chosen_next(
    command: Command, folder: Path, arguments: list[str], offsets: list[int]
) -> None:
    chosen = {offset for offset in offsets if offset >= 0}
    for expected in (len(chosen), 0 if "--limit" not in arguments else None):
        done = command(folder, "dead-letters", "replay", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        if expected is not None:
            assert json.loads(done.stdout)["replayed"] == expected
    listed = command(folder, "dead-letters", "list", "--json")
    told = {
        each["offset"] for each in map(json.loads, listed.stdout.splitlines()) if each["replayed"]
    }
    assert chosen <= told
    command(folder, "dead-letters", "replay")
    assert values(folder, STREAM) == [b"bad %d" % offset for offset in range(4)]
    assert len(values(folder, REPLAYED)) == 4


@pytest.mark.parametrize(("name", "of_count"), [("list", 1), ("replay", 0)])
def test_a_summary_counts_by_stage_and_kind_of_reason(
    command: Command, folder: Path, name: str, of_count: int
) -> None:
    """Record 1 has two letters: it is sent again for the first of them."""
    done = command(folder, "dead-letters", name, "--summary", "--json", "--stage", "analyze")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    counts = {
        (each["stage"], each["reason"]): each["count"] for each in told if each["kind"] == "summary"
    }
    assert counts.pop(("analyze:count", "$: not JSON: bad at character N"), 0) == of_count
    assert counts == {
        ("analyze:full", "$.id: missing"): 1,
        ("analyze:full", "$: not JSON: bad at character N"): 2,
    }


def test_a_summary_for_people(command: Command, folder: Path) -> None:
    assert "[Language] is '...'" in command(folder, "dead-letters", "list", "--summary").stdout
    done = command(folder, "dead-letters", "list", "--summary", "--stage", "none")
    assert "There are no dead letters" in done.stdout


@pytest.mark.parametrize("arguments", [["--since", "yesterday"], ["--limit", "0"]])
def test_a_choice_that_cannot_be_is_told(
    command: Command, folder: Path, arguments: list[str]
) -> None:
    for name in ("list", "replay"):
        done = command(folder, "dead-letters", name, *arguments)
        assert done.returncode == 2
        assert arguments[0] in done.stderr


def test_what_fails_again_while_dead_letters_are_replayed_is_left_for_the_next_time() -> None:
    """An engine that refuses all at once has made new ones before the old ones are read."""
    log = FakeLog()
    log.take([letter(offset) for offset in (0, 1, 2, 1_000, 1_001, 1_002)])
    done = send_again(log.reader(DEAD_LETTERS, "replay"), log.writer(), {0: 3})
    assert (done.sent, done.skipped) == (3, 0)
    assert log.committed(DEAD_LETTERS, "replay") == {0: 3}
    done = send_again(log.reader(DEAD_LETTERS, "replay"), log.writer(), {0: 6})
    assert done.sent == 3


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["index", "analyze:a"])), max_size=20),
    st.lists(
        st.tuples(
            st.sampled_from([None, "index", "analyze"]),
            st.none() | st.integers(1, 5),
            st.booleans(),
        ),
        max_size=5,
    ),
    st.integers(1, 3),
)
def test_no_choice_no_limit_and_no_crash_sends_a_record_twice_or_loses_it(
    letters: list[tuple[int, str]],
    replays: list[tuple[str | None, int | None, bool]],
    partitions: int,
) -> None:
    log = FakeLog(partitions=partitions)
    log.take([letter(offset, stage) for offset, stage in letters])
    ends = dict.fromkeys(range(partitions), 100)
    for stage, limit, loses_commit in [*replays, (None, None, False)]:
        reader = log.reader(DEAD_LETTERS, "replay")
        if loses_commit:
            reader.failures.add("commit", RetriableError("away"))
        try:
            send_again(
                reader,
                log.writer(),
                ends,
                replayed={record.key or "" for record in log.records(REPLAYED)},
                wanted=lambda each, stage=stage: dead_letter_matches(each, stage=stage),  # type: ignore[misc]  # bound as a default
                limit=limit,
            )
        except RetriableError:
            assert loses_commit
    sent = sorted(record.value for record in log.records(STREAM))
    assert sent == sorted({b"bad %d" % offset for offset, _ in letters})
