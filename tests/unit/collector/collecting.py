"""Test collectors for fake servers, with a state store on a disk that may fail."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import attrs

from mastostream.collector import Collector, CollectorStateStore, KeyBy, PollSchedule, Target
from mastostream.exceptions import RetriableError
from mastostream.ports.clock import ScaledClock
from mastostream.ports.stream import Feed, Put
from mastostream.testing.fakes import Failures, FakeLog, FakeServer, FakeStreams, Killed

NOW = 1_750_000_000_000
TOPIC = "Mastodon_stream"


def fast_clock(speed: float = 200.0) -> ScaledClock:
    return ScaledClock(time.time_ns() // 1_000_000, NOW, speed)


@attrs.frozen
class Place:
    """The folder and the log of a collector, which outlive it."""

    folder: Path
    log: FakeLog = attrs.field(factory=FakeLog)


class FailingStateStore(CollectorStateStore):
    """A state store on a disk that fails now and then, at any moment."""

    failures: Failures


def _failing(name: str) -> Callable[..., Any]:
    def method(self: FailingStateStore, *arguments: Any, **named: Any) -> Any:
        with self.failures.around(name):
            return getattr(CollectorStateStore, name)(self, *arguments, **named)

    return method


_CALLS = ("known", "cursors", "remember", "requested", "seen_again", "record_tombstone", "key_of")
for _name in _CALLS:
    setattr(FailingStateStore, _name, _failing(_name))


def disk() -> Failures:
    """Return the failures of a disk that the log and the state store share."""
    return Failures("append", *_CALLS)


SCHEDULE = PollSchedule(interval_s=3.0, longest_interval_s=30.0, overlap_s=600.0)


def collect(
    place: Place,
    *servers: FakeServer,
    tags: Sequence[str] = ("news",),
    mode: str = "auto",
    make_streams: Callable[[Put], FakeStreams] | None = None,
    crash: Literal["before", "after"] | None = None,
    key_by: KeyBy = "id",
    refresh_after_s: Sequence[float] = (),
    schedule: PollSchedule = SCHEDULE,
    trouble: Failures | None = None,
    **options: int,
) -> Collector:
    clock = servers[0].clock
    place.log.clock = clock
    writer = place.log.writer()
    state_store = FailingStateStore(
        place.folder / "memory.sqlite3", key_by=key_by, refresh_after_s=refresh_after_s
    )
    writer.failures = state_store.failures = disk() if trouble is None else trouble
    if crash:
        writer.failures.add("append", Killed(), after=crash == "after")
    targets = [
        Target(
            server=server,
            tags=tuple(tags),
            mode=mode,  # type: ignore[arg-type]  # a valid mode
            make_feed=lambda about, tags, transport: Feed(
                name=about.domain, url="ws://x", tags=tags, transport=transport
            ),
        )
        for server in servers
    ]
    return Collector(
        targets,
        writer,
        place.log.reader(TOPIC, "collect"),
        state_store,
        clock=clock,
        key_by=key_by,
        schedule=schedule,
        make_streams=make_streams,
        **options,  # type: ignore[arg-type]  # by name
    )


def until(collector: Collector, holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Run the collector until a condition holds."""
    end_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end_s, f"it never held: {collector.stats}"
        with suppress(RetriableError):  # as the runner does
            collector.step(0.02)


def logged(place: Place) -> list[dict[str, Any]]:
    """Return the statuses in the log, in their order."""
    return [json.loads(record.value) for record in place.log.records(TOPIC)]


def events(place: Place) -> list[tuple[str, str]]:
    """Return the event and the key of every record in the log."""
    stamps = [status["mastostream"] for status in logged(place)]
    return [(stamp["event"], stamp["key"]) for stamp in stamps]
