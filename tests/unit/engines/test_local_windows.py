"""Windows of the local engine: their newest records equal a naive recount of the posts."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream import Account, Aggregate, Analysis, Deletion, Post, Stamp, Window, decode, encode
from mastostream.core.analyses import COUNT, window_engagement_analysis
from mastostream.core.time import to_ms
from mastostream.core.window_records import window_of
from mastostream.engines.local import LocalEngine
from mastostream.engines.local.local_engine import WINDOWS
from mastostream.engines.local.windowed_analysis import FORGET_MARGIN_MS, WindowTiming
from mastostream.log.sqlite import SqliteEngineLog, SqliteLogReader, SqliteLogWriter
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import NewRecord, Record
from mastostream.testing.fakes import FakeClock, FakeLog

START = datetime(2026, 1, 1, tzinfo=UTC)
HORIZON_S = 100
HOUR_S = 3_600
ENGAGEMENT = attrs.evolve(window_engagement_analysis(), topic="engagement")


def ids(window: Window, values: Sequence[str]) -> dict[str, object]:
    return {"key": window.key, "observed_at": window.observed_at, "ids": list(values)}


def id_of(post: Post) -> str:
    return f"{post.id} {post.favourites_count}"


HOPPING = Analysis(
    name="hopping",
    topic="hopping",
    aggregate=Aggregate(value=id_of, result=ids, size_s=60, slide_s=20),
)
ALL = (COUNT, ENGAGEMENT, HOPPING)
EVENTS = ("new", "edit", "refresh", "delete")


@attrs.frozen
class Event:
    """Something that is observed of a post; seconds after START."""

    number: int
    kind: str
    created_s: int
    observed_s: int
    stamped: bool = True

    def record(self) -> NewRecord:
        key = f"k{self.number}"
        observed_at = START + timedelta(seconds=self.observed_s)
        if self.kind == "delete":
            gone = Stamp(key=key, event="delete", observed_at=observed_at)
            return NewRecord("Mastodon_stream", key, encode(Deletion(id=key, mastostream=gone)))
        created_at = START + timedelta(seconds=self.created_s)
        stamp = Stamp(key=key, event=self.kind, observed_at=observed_at)  # type: ignore[arg-type]  # drawn from the four
        post = Post(
            id=key,
            created_at=created_at,
            edited_at=None if self.stamped else observed_at,
            account=Account(acct="a"),
            favourites_count=max(0, self.observed_s),
            mastostream=stamp if self.stamped else None,
        )
        return NewRecord("Mastodon_stream", key, encode(post))


@st.composite
def observations(draw: st.DrawFn) -> list[Event]:
    """Return what is observed of some posts, never two things of a post at the same time."""
    events = []
    for number in range(draw(st.integers(0, 6))):
        created = draw(st.integers(0, 150))
        for observed in draw(st.lists(st.integers(0, 400), unique=True, max_size=5)):
            written = created + draw(st.sampled_from((0, 0, 0, 0, 0, 1, HOUR_S + 500)))
            kind = draw(st.sampled_from(EVENTS))
            unstamped = kind == "new" and observed > written and draw(st.booleans())
            events.append(Event(number, kind, written, observed, not unstamped))
    return events


def recounted(analysis: Analysis, events: Sequence[Event]) -> dict[str, bytes]:
    """Return the record of each window, recounted from all that was observed."""
    aggregate = analysis.aggregate
    assert aggregate is not None
    versions: dict[int, list[Event]] = {}
    for event in events:
        if event.kind != "delete" and -HOUR_S <= event.observed_s - event.created_s <= HORIZON_S:
            versions.setdefault(event.number, []).append(event)
    windows: dict[int, list[tuple[str, int, Event | None]]] = {}
    for number, known in versions.items():
        newest = max(known, key=lambda event: event.observed_s)
        deletions = [
            event.observed_s
            for event in events
            if event.number == number
            and event.kind == "delete"
            and newest.observed_s < event.observed_s <= newest.created_s + HORIZON_S
        ]
        observed_s = max(deletions, default=newest.observed_s)
        for start in range(-HOUR_S, 2 * HOUR_S, aggregate.slide_s):
            end = start + aggregate.size_s
            if any(start <= event.created_s < end for event in known):
                there = start <= newest.created_s < end and not deletions
                entry = (f"k{number}", observed_s, newest if there else None)
                windows.setdefault(start, []).append(entry)
    records = {}
    for start, entries in windows.items():
        first_ms = to_ms(START) + start * 1000
        window = window_of(
            first_ms,
            first_ms + aggregate.size_s * 1000,
            to_ms(START) + max(observed_s for _, observed_s, _ in entries) * 1000,
        )
        posts = [
            post_of(event) for _, _, event in sorted(entries, key=lambda entry: entry[0]) if event
        ]
        records[window.key] = encode(
            aggregate.result(window, [aggregate.value(post) for post in posts])
        )
    return records


def post_of(event: Event) -> Post:

    post = decode(event.record().value)
    assert isinstance(post, Post)
    return post


def newest(records: Sequence[Record]) -> dict[str | None, bytes]:
    """Return the records that an index keeps: the newest of each key, of equal ones the later."""
    kept: dict[str | None, tuple[datetime, bytes]] = {}
    for record in records:
        observed_at = datetime.fromisoformat(json.loads(record.value)["observed_at"])
        if record.key not in kept or kept[record.key][0] <= observed_at:
            kept[record.key] = observed_at, record.value
    return {key: value for key, (_, value) in kept.items()}


def append(path: Path, events: Sequence[Event]) -> None:
    writer = SqliteLogWriter(path, partitions=2)
    writer.append([event.record() for event in events])
    writer.close()


def topic(path: Path, name: str) -> list[Record]:
    reader = SqliteLogReader(path, topic=name, group="test")
    records = list(reader.read(100_000, 0.0))
    reader.close()
    return records


def engine(path: Path, batch: int, timing: WindowTiming) -> LocalEngine:
    log = SqliteEngineLog(path, topic="Mastodon_stream")
    return LocalEngine(
        log, ALL, clock=SystemClock(), horizon_ms=HORIZON_S * 1000, timing=timing, batch=batch
    )


TIMINGS = st.sampled_from(
    (
        WindowTiming(at_end=True),
        WindowTiming(delay_s=0.0, correct_every_s=0.0),
        WindowTiming(delay_s=30.0, correct_every_s=10.0),
    )
)


@settings(max_examples=40)
@given(
    observations(),
    st.randoms(use_true_random=False),
    st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=4),
    st.integers(1, 9),
    TIMINGS,
)
def test_the_newest_record_of_each_window_equals_a_recount(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[Event],
    random: Random,
    lives: list[tuple[int, bool]],
    batch: int,
    timing: WindowTiming,
) -> None:
    """Whatever the order, the repeats, the batches, and where it is killed."""
    path = tmp_path_factory.mktemp("windows") / "log.sqlite3"
    shuffled = events + random.sample(events, len(events) // 2)
    random.shuffle(shuffled)
    append(path, shuffled)
    for steps, finishes in lives:
        some = engine(path, batch, timing)
        for _ in range(steps):
            some.step(0.0)
        if finishes:
            some.finish()
        some.close()  # without finish() it is what a crash between two commits leaves
    some = engine(path, batch, timing)
    while some.step(0.0):
        pass
    some.write_windows()
    some.finish()
    some.close()
    for analysis in ALL:
        assert newest(topic(path, str(analysis.topic))) == recounted(analysis, events)
    if timing.at_end and not lives:
        written = topic(path, "hopping")
        assert len(written) == len({record.key for record in written}), "a window twice"


def test_what_cannot_be_counted_is_told_at_first_sight_only() -> None:
    log, _, some = live()
    late = Event(1, "new", 0, HORIZON_S + 1)
    for event in (late, attrs.evolve(late, number=2, kind="edit"), Event(3, "new", 9_000, 10)):
        log.append("Mastodon_stream", event.record().value)
    some.step(0.0)
    some.write_windows()
    told = [json.loads(record.value) for record in log.records("mastodon-late")]
    assert [(record["key"], record["reason"]) for record in told] == [
        ("k1", "late"),
        ("k3", "ahead"),
    ]
    assert told[0] == {
        "key": "k1",
        "observed_at": "2026-01-01T00:01:41Z",
        "analysis": "count",
        "reason": "late",
        "created_at": "2026-01-01T00:00:00Z",
        "window_start": "2026-01-01T00:00:00Z",
    }
    assert log.records("mastodon-counts") == []
    assert some.stats.late == 2


def live(
    timing: WindowTiming | None = None, analyses: Sequence[Analysis] = (COUNT,)
) -> tuple[FakeLog, FakeClock, LocalEngine]:
    clock = FakeClock()
    log = FakeLog(clock=clock)
    some = LocalEngine(
        log.engine("Mastodon_stream"),
        analyses,
        clock=clock,
        horizon_ms=HORIZON_S * 1000,
        timing=timing or WindowTiming(delay_s=30.0, correct_every_s=10.0),
    )
    return log, clock, some


def counts(log: FakeLog) -> list[tuple[str, int]]:
    records = [json.loads(record.value) for record in log.records("mastodon-counts")]
    return [(record["key"][-4:-1], record["posts"]) for record in records]


def test_a_window_is_written_when_it_is_over_and_again_when_it_changes() -> None:
    log, clock, some = live()

    def see(*events: Event) -> None:
        log.append("Mastodon_stream", *(event.record().value for event in events))
        some.step(0.0)

    see(Event(1, "new", 3, 4), Event(2, "new", 12, 13))
    assert counts(log) == []
    see(Event(3, "new", 39, 40))
    assert counts(log) == [(":00", 1)], "the newest post was observed 30 s after its end"
    see(Event(4, "new", 5, 41))
    assert counts(log) == [(":00", 1)], "it was written a moment ago"
    clock.advance(9.9)
    some.step(0.0)
    assert counts(log) == [(":00", 1), (":10", 1)], "time goes on in silence"
    clock.advance(0.1)
    some.step(0.0)
    assert counts(log) == [(":00", 1), (":10", 1), (":00", 2)]
    see(Event(4, "delete", 0, 60))
    clock.advance(10)
    some.step(0.0)
    assert counts(log)[3:] == [(":00", 1), (":30", 1)]


def test_windows_that_are_not_corrected_are_written_once() -> None:
    never = WindowTiming(delay_s=0.0, correct_every_s=float("inf"))
    log, clock, some = live(never)
    log.append("Mastodon_stream", Event(1, "new", 3, 14).record().value)
    some.step(0.0)
    some.close()
    log.append("Mastodon_stream", Event(2, "new", 4, 15).record().value)
    some = LocalEngine(log.engine("Mastodon_stream"), (COUNT,), clock=clock, timing=never)
    some.step(0.0)
    clock.advance(1_000)
    some.step(0.0)
    some.write_windows()
    assert counts(log) == [(":00", 1)]


def test_a_restart_in_silence_writes_what_has_changed() -> None:
    log, clock, some = live()
    log.append("Mastodon_stream", Event(1, "new", 3, 4).record().value)
    some.step(0.0)
    clock.advance(6)
    some.step(0.0)
    some.close()
    some = LocalEngine(log.engine("Mastodon_stream"), (COUNT,), clock=clock)
    some.step(0.0)
    assert counts(log) == []
    clock.advance(31)
    some.step(0.0)
    assert counts(log) == [(":00", 1)]


def test_posts_are_forgotten_when_nothing_can_change_any_more() -> None:
    log, clock, some = live(WindowTiming(delay_s=0.0))
    log.append("Mastodon_stream", Event(1, "new", 3, 14).record().value)
    some.step(0.0)
    store = log.windows(COUNT.state_name)
    assert list(store.posts(["k1"])) == ["k1"]
    clock.advance(HORIZON_S + FORGET_MARGIN_MS / 1000 - 1)
    log.append("Mastodon_stream", Event(2, "new", 90_000, 90_000).record().value)
    some.step(0.0)
    some.finish()
    assert list(store.posts(["k1"])) == ["k1"]
    clock.advance(2)
    log.append("Mastodon_stream", Event(3, "new", 90_000, 90_002).record().value)
    some.step(0.0)
    some.finish()
    assert list(store.posts(["k1", "k2"])) == ["k2"]
    assert store.window(to_ms(START)) == {}
    assert counts(log)[0] == (":00", 1)


def test_many_windows_are_written_in_parts() -> None:
    log, _, some = live(WindowTiming(delay_s=0.0))
    events = [Event(number, "new", 10 * number, 10 * number) for number in range(3 * WINDOWS)]
    log.append("Mastodon_stream", *(event.record().value for event in reversed(events)))
    some.step(0.0)
    assert len(counts(log)) == WINDOWS
    for _ in range(3):
        some.step(0.0)
    assert len(counts(log)) == 3 * WINDOWS - 1, "the last one is not over"
    some.write_windows()
    assert [posts for _, posts in counts(log)] == [1] * 3 * WINDOWS
