"""Windows within a Flink job: their newest records equal a naive recount, whatever happens."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.engines.window_recount import late_posts, newest, newest_records

from mastostream import Account, Aggregate, Analysis, Deletion, Post, Stamp, encode
from mastostream.core.models import Event
from mastostream.core.topic_names import DEAD_LETTERS, LATE, STREAM
from mastostream.core.window_records import Window
from mastostream.engines.flink.batches import unpacked
from mastostream.engines.flink.ddl import Topics, source, timed_source
from mastostream.engines.flink.window_messages import WindowMessages, decode_message
from mastostream.engines.flink.window_steps import (
    END_MS,
    KnownPosts,
    KnownWindows,
    beat,
    check_beat,
    keep_ms,
)
from mastostream.engines.local.windowed_analysis import FORGET_MARGIN_MS, WindowTiming
from mastostream.exceptions import FatalError
from mastostream.ports.log import NewRecord, Record

START = datetime(2024, 1, 1, tzinfo=UTC)
START_MS = 1_704_067_200_000
HORIZON_MS = 100_000
LIVE = WindowTiming(delay_s=5.0, correct_every_s=10.0)
NEVER = attrs.evolve(LIVE, correct_every_s=float("inf"))
ONCE = attrs.evolve(LIVE, at_end=True)


def key_and_likes(post: Post) -> tuple[str, int]:
    if post.favourites_count == 9:
        raise ValueError("not nine")
    return post.key, post.favourites_count


def all_of_them(window: Window, values: Sequence[object]) -> dict[str, object]:
    if window.start.second == 30:
        raise ValueError("not this one")
    return {"key": window.key, "observed_at": window.observed_at, "values": values}


TENS = Analysis(
    name="tens",
    topic="tens",
    aggregate=Aggregate(value=key_and_likes, result=all_of_them, size_s=10),
)
HOPPING = Analysis(
    name="hopping",
    topic="hopping",
    aggregate=Aggregate(value=key_and_likes, result=all_of_them, size_s=20, slide_s=5),
)
BOTH = (TENS, HOPPING)


@attrs.define
class State:
    """Flink's keyed state and its timers, which a checkpoint has, and the current key."""

    key: str = ""
    posts: dict[str, bytes] = attrs.field(factory=dict)
    entries: dict[str, dict[str, bytes]] = attrs.field(factory=dict)
    schedules: dict[str, bytes] = attrs.field(factory=dict)
    timers: set[tuple[int, str]] = attrs.field(factory=set)
    written_bytes: int = 0

    def register_processing_time_timer(self, t: int) -> None:
        self.timers.add((t, self.key))

    def register_event_time_timer(self, t: int) -> None:
        self.timers.add((t, self.key))

    def delete_event_time_timer(self, t: int) -> None:
        self.timers.discard((t, self.key))


@attrs.frozen
class ValueOf:
    """Flink's state of one value; ``name`` is an attribute of :class:`State`."""

    job: "Job"
    name: str

    def value(self) -> bytes | None:
        values: dict[str, bytes] = getattr(self.job.state, self.name)
        return values.get(self.job.state.key)

    def update(self, value: bytes) -> None:
        getattr(self.job.state, self.name)[self.job.state.key] = value
        self.job.state.written_bytes += len(value)


@attrs.frozen
class EntriesOf:
    """Flink's state of a map, whose items come in any order."""

    job: "Job"

    def put(self, key: str, value: bytes) -> None:
        self.job.state.entries.setdefault(self.job.state.key, {})[key] = value
        self.job.state.written_bytes += len(value)

    def items(self) -> Iterable[tuple[str, bytes]]:
        return reversed(self.job.state.entries.get(self.job.state.key, {}).items())


class Job:
    """Stands for Flink: brings messages to the steps, keeps their state, and fires timers."""

    def __init__(self, timing: WindowTiming, analyses: Sequence[Analysis] = BOTH) -> None:
        self.state = State()
        self.now_ms = START_MS
        self.outputs: list[NewRecord] = []
        self._analyses = analyses
        self._messages = WindowMessages(
            analyses, STREAM, lambda: self.now_ms, horizon_ms=HORIZON_MS, tells_rejected=True
        )
        self._posts = KnownPosts(analyses, HORIZON_MS, ValueOf(self, "posts"))
        self._windows = KnownWindows(
            analyses, HORIZON_MS, timing, EntriesOf(self), ValueOf(self, "schedules")
        )

    def take(self, records: Sequence[Record]) -> None:
        """Read a batch of records."""
        *columns, rest = columns_of(self._messages, records)
        for analysis, keys, messages in zip(
            self._analyses, columns[::2], columns[1::2], strict=True
        ):
            for key, message in zip(keys, messages, strict=True):
                if message is not None:
                    self._take_message(analysis.name, str(key), message)
        for data in rest:
            self.outputs += [
                NewRecord(topic, key, value, tuple(headers.items()))
                for topic, key, value, headers in (unpacked(data) if data else ())
            ]

    def wait(self, ms: int) -> None:
        """Let the clock go on; timers in processing time fire."""
        until_ms = self.now_ms + ms
        while (timer := min(self.state.timers, default=(END_MS, "")))[0] <= until_ms:
            self.now_ms = max(self.now_ms, timer[0])
            self._fire(timer)
        self.now_ms = until_ms

    def end(self) -> None:
        """The input has ended: timers in event time fire."""
        for timer in sorted(self.state.timers):
            if timer[0] == END_MS:
                self._fire(timer)

    def of(self, *topics: str) -> list[NewRecord]:
        return [output for output in self.outputs if output.topic in topics]

    def _take_message(self, analysis: str, post: str, message: bytes) -> None:
        self.state.key = f"{analysis}|{post}"
        for window, key, entry in self._posts.take(analysis, post, message):
            self.state.key = window
            self._windows.take(window, key, entry, self.state, self.now_ms)

    def _fire(self, timer: tuple[int, str]) -> None:
        self.state.timers.discard(timer)
        time_ms, self.state.key = timer
        self.outputs += self._windows.fire(self.state.key, time_ms, self.state, self.now_ms)


def columns_of(messages: WindowMessages, records: Sequence[Record]) -> list[list[bytes | None]]:
    return messages.columns(  # type: ignore[return-value]  # the columns of keys are text
        [record.value for record in records],
        [record.partition for record in records],
        [record.offset for record in records],
        [record.key for record in records],
        [record.timestamp_ms for record in records],
    )


def post(
    key: str,
    created_s: float,
    observed_s: float | None = None,
    *,
    event: Event = "new",
    likes: int = 0,
    logged_s: float = 0,
) -> Record:
    """Return the record of a post; times are seconds after ``START``.

    Without ``observed_s`` it has no stamp.
    """
    stamp = None
    if observed_s is not None:
        stamp = Stamp(key=key, event=event, observed_at=START + timedelta(seconds=observed_s))
    status = Post(
        id=key,
        created_at=START + timedelta(seconds=created_s),
        account=Account(acct="a"),
        favourites_count=likes,
        mastostream=stamp,
    )
    return Record(STREAM, 0, 0, START_MS + round(logged_s * 1000), key, encode(status), ())


def deletion(key: str, observed_s: float) -> Record:
    observed_at = START + timedelta(seconds=observed_s)
    stamp = Stamp(key=key, event="delete", observed_at=observed_at)
    return Record(STREAM, 0, 0, START_MS, key, encode(Deletion(id=key, mastostream=stamp)), ())


KEYS = st.sampled_from("abcd")
CREATED_S = st.integers(0, 5).map(lambda number: number * 7)
AFTER_S = st.sampled_from([-3_601, -3_600, -1, 0, 1, 5, 30, 99, 100, 101, 200])
"""How long after its creation a post is observed: on both sides of each bound."""

POSTS = st.builds(
    lambda key, created_s, after_s, event, likes: post(
        key, created_s, created_s + after_s, event=event, likes=likes
    ),
    KEYS,
    CREATED_S,
    AFTER_S,
    st.sampled_from(["new", "edit", "refresh"]),
    st.integers(0, 9),
)
UNSTAMPED = st.builds(
    lambda key, created_s, after_s, likes: post(
        key, created_s, likes=likes, logged_s=created_s + after_s
    ),
    KEYS,
    CREATED_S,
    AFTER_S,
    st.integers(0, 9),
)
DELETIONS = st.builds(deletion, KEYS, st.integers(0, 130))
GARBAGE = st.just(Record(STREAM, 0, 0, START_MS, None, b"garbage", ()))
RECORDS = st.lists(POSTS | UNSTAMPED | DELETIONS | GARBAGE, max_size=30)


@given(RECORDS, st.lists(st.tuples(st.integers(1, 4), st.integers(0, 30_000))))
def test_the_newest_records_of_a_running_job_equal_the_recount(
    records: list[Record], steps: list[tuple[int, int]]
) -> None:
    """Records come in any batches, at any time."""
    job, rest = Job(LIVE), records
    for size, wait_ms in steps:
        job.take(rest[:size])
        rest = rest[size:]
        job.wait(wait_ms)
    job.take(rest)
    job.wait(10_000_000)
    check(job, records)


@given(RECORDS)
def test_a_job_with_an_end_writes_each_window_once_and_at_the_end(records: list[Record]) -> None:
    job = Job(ONCE)
    for record in records:
        job.take([record])
        job.wait(1_000_000)
    assert job.of("tens", "hopping") == []
    job.end()
    check(job, records)
    for analysis in BOTH:
        keys = [output.key for output in job.of(analysis.name)]
        assert len(keys) == len(set(keys))


@given(
    RECORDS,
    st.lists(
        st.tuples(st.integers(1, 8), st.integers(0, 5), st.booleans(), st.integers(0, 20_000))
    ),
)
def test_restarts_change_nothing(
    records: list[Record], steps: list[tuple[int, int, bool, int]]
) -> None:
    """Flink reads again what came after a checkpoint, and some of what came before it."""
    job, position = Job(LIVE), 0
    checkpoint = (copy.deepcopy(job.state), 0)
    for size, repeated, dies, wait_ms in steps:
        job.take(records[position : position + size])
        position += size
        job.wait(wait_ms)
        if dies:
            job.state, position = copy.deepcopy(checkpoint[0]), checkpoint[1]
        else:
            checkpoint = (copy.deepcopy(job.state), max(0, position - repeated))
    job.take(records[position:])
    job.wait(10_000_000)
    check(job, records)


def check(job: Job, records: Sequence[Record]) -> None:
    """Compare the newest records, the late ones and the dead letters with those of a recount."""
    for analysis in BOTH:
        assert newest(job.of(analysis.name)) == newest_records(analysis, records, HORIZON_MS)
    late = [msgspec.json.decode(output.value) for output in job.of(LATE)]
    assert {(each["key"], each["reason"]) for each in late} == late_posts(records, HORIZON_MS)
    assert {each["analysis"] for each in late} <= {"tens", "hopping"}
    stages = {dict(output.headers)["stage"] for output in job.of(DEAD_LETTERS)}
    assert (b"analyze" in stages) == any(record.value == b"garbage" for record in records)
    assert not job.state.timers


@given(RECORDS, st.lists(st.integers(0, 30_000)))
def test_a_window_that_is_never_corrected_is_written_once(
    records: list[Record], waits: list[int]
) -> None:
    job, rest = Job(NEVER), records
    for wait_ms in waits:
        job.take(rest[:1])
        rest = rest[1:]
        job.wait(wait_ms)
    job.take(rest)
    job.wait(10_000_000)
    for analysis in BOTH:
        keys = [output.key for output in job.of(analysis.name)]
        assert len(keys) == len(set(keys))
        assert set(keys) == newest_records(analysis, records, HORIZON_MS).keys()


def times_of(job: Job, until_s: int, arrivals: Iterable[tuple[float, Record]]) -> Iterator[float]:
    """Yield when the job writes, in seconds after ``START``, looking once a second."""
    waiting = list(arrivals)
    for second in range(until_s):
        while waiting and waiting[0][0] <= second:
            job.take([waiting.pop(0)[1]])
        before = len(job.outputs)
        job.wait(1_000)
        if len(job.outputs) > before:
            yield second + 1


def test_a_window_is_written_when_it_is_over_by_the_delay_and_then_now_and_then() -> None:
    job = Job(LIVE, (TENS,))
    arrivals = [
        (1, post("a", 1, 1)),
        (9, post("b", 9, 9)),
        (14, post("c", 9, 14)),
        *((second, post("a", 1, second, event="refresh")) for second in range(20, 40)),
    ]
    assert list(times_of(job, 100, arrivals)) == [15, 25, 35, 45]


def test_a_window_is_over_by_the_clock_of_the_posts() -> None:
    """Here theirs goes 30 times as fast as that of the job.

    The timer of the first post, for 15 s, does not write the window again.
    """
    job = Job(LIVE, (TENS,))
    arrivals = [(second, post(f"p{second}", second, second * 30)) for second in range(3)]
    arrivals.append((8, post("q", 5, 90)))
    assert list(times_of(job, 100, arrivals)) == [6, 16]


def test_posts_of_long_ago_wait_for_each_other() -> None:
    job = Job(LIVE, (TENS,))
    arrivals = [(second, post(f"p{second}", second, 80)) for second in range(4)]
    assert list(times_of(job, 100, arrivals)) == [5]
    (record,) = job.of("tens")
    assert len(msgspec.json.decode(record.value)["values"]) == 4


@pytest.mark.parametrize("others", [0, 300])
def test_a_change_writes_nothing_of_other_posts(others: int) -> None:
    job = Job(LIVE, (TENS,))
    job.take([post(f"p{number:03}", 1, 1) for number in range(others)])
    job.take([post("one", 1, 1)])
    before = job.state.written_bytes
    job.take([post("one", 1, 2, event="refresh", likes=3)])
    assert job.state.written_bytes - before < 100


def test_what_says_nothing_new_writes_nothing() -> None:
    job = Job(LIVE)
    job.take([post("a", 1, 5, likes=1), deletion("b", 3)])
    before = copy.deepcopy(job.state)
    job.take([post("a", 1, 4, likes=2), deletion("b", 3), deletion("a", 4)])
    assert attrs.evolve(job.state, key="") == attrs.evolve(before, key="")


def test_windows_of_an_analysis_that_was_left_out_are_not_written() -> None:
    job = Job(LIVE)
    job.take([post("a", 1, 1)])
    fewer = Job(LIVE, (HOPPING,))
    fewer.state = job.state
    fewer.wait(10_000_000)
    assert fewer.of("tens") == []
    assert len(fewer.of("hopping")) == 4


def test_state_is_kept_for_as_long_as_a_window_may_change() -> None:
    assert keep_ms(BOTH, HORIZON_MS) == HORIZON_MS + 20_000 + FORGET_MARGIN_MS


def test_a_job_that_was_down_for_too_long_says_so() -> None:
    state = State(key="heartbeat")
    beat(state, START_MS + 1)
    ((next_ms, _),) = state.timers
    check_beat(next_ms, next_ms + FORGET_MARGIN_MS)
    with pytest.raises(FatalError, match=r"down for 2\.0 days"):
        check_beat(next_ms, next_ms + 2 * FORGET_MARGIN_MS)


def test_a_job_has_one_heartbeat_however_often_it_starts() -> None:
    state = State(key="heartbeat")
    for second in range(50):
        beat(state, START_MS + second * 1000)
    assert len(state.timers) == 1


def test_what_is_no_post_is_told_once_and_only_where_nobody_else_does() -> None:
    def letters(*, tells_rejected: bool) -> list[list[str]]:
        maker = WindowMessages(
            BOTH, STREAM, lambda: START_MS, horizon_ms=HORIZON_MS, tells_rejected=tells_rejected
        )
        columns = maker.columns([b"garbage", None], [0, 0], [7, 8], ["k", None], [5, 5])
        assert columns[:-1] == [[None, None]] * 4
        return [[str(key) for _, key, *_ in unpacked(rest)] for rest in columns[-1] if rest]  # type: ignore[arg-type]  # bytes

    assert letters(tells_rejected=True) == [[f"{STREAM}/0/7"], [f"{STREAM}/0/8"]]
    assert letters(tells_rejected=False) == []


def test_a_message_brings_what_a_window_keeps_of_a_post() -> None:
    maker = WindowMessages(
        [TENS], STREAM, lambda: START_MS, horizon_ms=HORIZON_MS, tells_rejected=True
    )
    keys, messages, rest = columns_of(maker, [deletion("a", 2), post("b", 1.5, 4, likes=3)])
    assert (keys, rest) == (["a", "b"], [None, None])
    assert [decode_message(message) for message in messages if message] == [
        (START_MS + 2_000, None, b""),
        (START_MS + 4_000, START_MS + 1_500, b'["b",3]'),
    ]


def test_windows_begin_with_the_oldest_record_whatever_a_group_has_committed() -> None:
    topics = Topics(servers="s", group="g")
    assert "'scan.startup.mode' = 'earliest-offset'" in timed_source("posts", STREAM, topics)
    assert "'scan.startup.mode' = 'group-offsets'" in source("posts", STREAM, topics)
