"""Windows within a Flink job: batches, restarts and partitions do not change their results."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import attrs
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Account, Aggregate, Analysis, Post, Stamp, encode
from mastostream.core.codec import decode
from mastostream.core.topic_names import DEAD_LETTERS, STREAM
from mastostream.core.window_records import Window
from mastostream.core.windows import Arrival, WindowSpec, WindowState, advance, close_all
from mastostream.engines.flink.ddl import Topics, source, timed_source
from mastostream.engines.flink.event_time_merge import Merge, Waiting
from mastostream.engines.flink.window_messages import (
    WindowMessages,
    decode_arrivals,
    decode_message,
)
from mastostream.engines.flink.window_operator import Stored, WindowOperator
from mastostream.engines.window_outputs import arrivals_of, records_of
from mastostream.ports.log import NewRecord, Record

START = datetime(2024, 1, 1, tzinfo=UTC)
START_MS = 1_704_067_200_000
NOW_MS = 1_800_000_000_000
"""The wall clock, later than the timestamps of all records."""

NOTHING = -(2**63)
SPEC = WindowSpec(size_ms=10_000, delay_ms=5_000, idle_timeout_ms=20_000, ahead_ms=100_000)


def key_and_language(post: Post) -> tuple[str, str]:
    if post.favourites_count == 9:
        raise ValueError("not nine")
    return post.key, post.language or ""


def all_of_them(window: Window, values: Sequence[object]) -> dict[str, object]:
    return {"key": window.key, "values": list(values)}


OWN = Analysis(
    name="own",
    topic="own",
    aggregate=Aggregate(value=key_and_language, result=all_of_them, size_s=10),
)


class Kept:
    """Stands for Flink's keyed state, as a checkpoint has it."""

    def __init__(self) -> None:
        self.clock: bytes | None = None
        self.posts: dict[str, bytes] = {}
        self.batches: dict[int, bytes] = {}

    def keep(self, host: WindowOperator) -> None:
        changes = host.changes()
        self.clock = changes.clock or self.clock
        _change(self.posts, changes.posts)
        _change(self.batches, changes.batches)

    def stored(self) -> Stored:
        # Flink returns the entries of a map in any order.
        return Stored(
            clock=self.clock,
            posts=dict(reversed(self.posts.items())),
            batches=dict(reversed(self.batches.items())),
        )

    def restored(self) -> WindowOperator:
        return WindowOperator(OWN, SPEC, self.stored(), NOW_MS)


def _change(kept: dict[Any, bytes], changes: Mapping[Any, bytes | None]) -> None:
    for name, data in changes.items():
        if data is None:
            del kept[name]
        else:
            kept[name] = data


def message(records: Sequence[Record]) -> bytes:
    (packed,) = WindowMessages([OWN], STREAM, lambda: NOW_MS, tells_rejected=True).messages(
        [record.value for record in records],
        [record.partition for record in records],
        [record.offset for record in records],
        [record.key for record in records],
        [record.timestamp_ms for record in records],
    )
    return packed or encode(([], []))


def record(
    offset: int,
    key: str,
    seconds: float,
    *,
    partition: int = 0,
    arrived_s: float = 0,
    **members: int,
) -> Record:
    """Return the record of a post; its time and its timestamp are in seconds after ``START``."""
    status = Post(
        id=key,
        created_at=START + timedelta(seconds=seconds),
        account=Account(acct="a"),
        mastostream=Stamp(key=key, observed_at=START),
        **members,  # type: ignore[arg-type]
    )
    arrived_ms = round((START.timestamp() + arrived_s) * 1000)
    return Record(STREAM, partition, offset, arrived_ms, key, encode(status), ())


POSTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(-5, 60), st.integers(0, 9)),
    max_size=40,
)


@given(POSTS, st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.integers(0, 50))))
def test_batches_and_restarts_change_nothing(
    drawn: list[tuple[int, int, int, int]], cuts: list[tuple[int, bool, int]]
) -> None:
    """Records come in any batches, and the job restarts from its state at any time.

    One record comes each second, and Flink's watermark is some seconds behind.
    """
    records = [
        record(number, f"k{key}", at, partition=partition, arrived_s=number, favourites_count=likes)
        for number, (partition, key, at, likes) in enumerate(drawn)
    ]
    kept, host = Kept(), WindowOperator(OWN, SPEC, Stored(), NOW_MS)
    outputs: list[NewRecord] = []
    edges = [(0, False, 0), *sorted(cuts), (len(records), True, 0)]
    for (start, *_), (end, restarts, behind_s) in pairwise(edges):
        batch = records[start:end]
        watermark_ms = batch[-1].timestamp_ms - behind_s * 1000 if batch else NOTHING
        outputs += host.take(message(batch), watermark_ms, NOW_MS)
        kept.keep(host)
        if restarts:
            host = kept.restored()
    outputs += host.end(NOW_MS)
    kept.keep(host)
    expected = at_once(records)
    assert events_of(outputs) == events_of(expected)
    assert sorted(outputs) == sorted(expected)
    assert (kept.posts, kept.batches) == ({}, {})


def test_of_a_batch_only_what_still_waits_comes_again_after_a_restart() -> None:
    kept, host = Kept(), WindowOperator(OWN, SPEC, Stored(), NOW_MS)
    batch = [
        record(number, f"k{number}", at, arrived_s=100 + number)
        for number, at in enumerate((0, 60, 90))
    ]
    assert len(host.take(message(batch), START_MS + 101_000, NOW_MS)) == 1
    kept.keep(host)
    results = kept.restored().end(NOW_MS)
    values = [msgspec.json.decode(result.value)["values"] for result in results]
    assert values == [[["k1", ""]], [["k2", ""]]]


def at_once(records: Sequence[Record]) -> list[NewRecord]:
    batch = [(record, decode(record.value)) for record in records]
    arrivals, letters = arrivals_of(OWN, batch, NOW_MS)
    state, events = advance(SPEC, WindowState(), [arrival for _, arrival in arrivals])
    _, rest = close_all(SPEC, state)
    return letters + records_of(OWN, (*events, *rest), NOW_MS).records


def events_of(outputs: Sequence[NewRecord]) -> list[NewRecord]:
    return [output for output in outputs if output.topic != DEAD_LETTERS]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=30), st.data())
def test_partitions_are_merged_by_the_times_of_the_log(
    steps: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Whatever partition is read first, the posts up to the watermark come out in one order."""
    waiting: list[Waiting] = []
    at_ms = 0
    for offset, (partition, step_ms) in enumerate(steps):
        at_ms += step_ms
        arrival = Arrival(partition=partition, key="k", event_ms=0, arrived_ms=at_ms)
        waiting.append(Waiting(at_ms, offset, 0, arrival))
    queues = [[post for post in waiting if post.arrival.partition == number] for number in range(3)]
    merge, released = Merge(), []
    while any(queues):
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        taken = data.draw(st.integers(1, len(queue)))
        merge.add(queue[:taken])
        del queue[:taken]
        until_ms = min((queue[0].order_ms - 1 for queue in queues if queue), default=None)
        released += merge.release(until_ms)
    assert released == sorted(waiting, key=lambda post: (post.order_ms, post.arrival.partition))


def test_within_a_partition_the_order_is_that_of_its_offsets() -> None:
    merge = Merge()
    arrival = Arrival(partition=0, key="k", event_ms=0, arrived_ms=0)
    merge.add([Waiting(5, 0, 0, arrival), Waiting(3, 1, 0, arrival), Waiting(9, 2, 0, arrival)])
    assert [post.offset for post in merge.release(4)] == []
    assert [post.offset for post in merge.release(5)] == [0, 1]
    assert [post.offset for post in merge.release(None)] == [2]


def test_silence_closes_windows_and_what_waits_has_its_turn_before() -> None:
    taken_ms = START_MS + 100
    host = WindowOperator(OWN, SPEC, Stored(), START_MS)
    assert host.take(message([record(0, "k", 0)]), NOTHING, taken_ms) == []
    assert host.tick(NOTHING, taken_ms + SPEC.idle_timeout_ms - 1) == []
    (result,) = host.tick(NOTHING, taken_ms + SPEC.idle_timeout_ms)
    assert msgspec.json.decode(result.value)["values"] == [["k", ""]]


def test_a_job_that_has_just_started_takes_no_silence_for_an_end() -> None:
    """Its windows are old, but the records since then have not been read yet."""
    kept, host = Kept(), WindowOperator(OWN, SPEC, Stored(), START_MS)
    host.take(message([record(0, "k", 0)]), START_MS, START_MS)
    kept.keep(host)
    restored = kept.restored()
    assert restored.tick(START_MS, NOW_MS + SPEC.idle_timeout_ms - 1) == []
    assert restored.take(message([record(1, "l", 1, arrived_s=100)]), NOTHING, NOW_MS) == []
    (result,) = restored.end(NOW_MS)
    assert msgspec.json.decode(result.value)["values"] == [["k", ""], ["l", ""]]


def test_however_short_the_idle_time_out_a_job_has_ten_seconds_to_start() -> None:
    kept, host = Kept(), WindowOperator(OWN, SPEC, Stored(), START_MS)
    host.take(message([record(0, "k", 0)]), START_MS, START_MS)
    kept.keep(host)
    hasty = attrs.evolve(SPEC, idle_timeout_ms=1)
    restored = WindowOperator(OWN, hasty, kept.stored(), NOW_MS)
    assert restored.tick(START_MS, NOW_MS + 9_999) == []
    assert len(restored.tick(START_MS, NOW_MS + 10_000)) == 1


def test_a_producer_whose_clock_goes_ahead_holds_up_nobody() -> None:
    host = WindowOperator(OWN, SPEC, Stored(), START_MS)
    first = [record(0, "k", 0, arrived_s=3600), record(1, "l", 30, arrived_s=100)]
    assert host.take(message(first), START_MS + 99_999, START_MS + 100_000) == []
    last = [record(2, "m", 90, arrived_s=102)]
    results = host.take(message(last), START_MS + 101_000, START_MS + 102_000)
    results += host.take(message([]), START_MS + 102_000, START_MS + 103_000)
    values = [msgspec.json.decode(result.value)["values"] for result in results]
    assert values == [[["k", ""]], [["l", ""]]]


def test_what_is_no_post_is_told_once_and_only_where_nobody_else_does() -> None:
    other = Analysis(name="other", topic="other", aggregate=OWN.aggregate)

    def letters(*, tells_rejected: bool) -> list[list[str]]:
        maker = WindowMessages([OWN, other], STREAM, lambda: NOW_MS, tells_rejected=tells_rejected)
        messages = maker.messages([b"garbage", None], [0, 0], [7, 8], ["k", None], [5, 5])
        return [
            [str(letter.key) for letter in decode_message(message).letters] if message else []
            for message in messages
        ]

    assert letters(tells_rejected=True) == [[f"{STREAM}/0/7", f"{STREAM}/0/8"], []]
    assert letters(tells_rejected=False) == [[], []]


def test_windows_begin_with_the_oldest_record_whatever_a_group_has_committed() -> None:
    topics = Topics(servers="s", group="g")
    statement = timed_source("posts", STREAM, topics, 5_000)
    assert "'scan.startup.mode' = 'earliest-offset'" in statement
    assert "'scan.watermark.idle-timeout' = '5000 ms'" in statement
    assert "'scan.startup.mode' = 'group-offsets'" in source("posts", STREAM, topics)


def test_a_message_brings_what_a_window_keeps_and_where_it_stood() -> None:
    decoded = decode_message(message([record(7, "k", 1.5, partition=2, arrived_s=4)]))
    assert decoded.letters == []
    assert decode_arrivals(decoded.arrivals) == [
        (
            7,
            Arrival(
                partition=2,
                key="k",
                event_ms=START_MS + 1500,
                arrived_ms=START_MS + 4000,
                value=["k", ""],
            ),
        )
    ]
