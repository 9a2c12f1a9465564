"""The loop: ask servers and listen to them, log what is new, then remember it.

Delivery: each post once, each edit once. A cursor is stored after the log has confirmed; a crash in
between leaves posts in the log that are not remembered, and these are read back from the log before
anything else.
"""

import queue
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import attrs

from mastostream.collector.dedup import Deduplicator, DedupStats, DeleteObserved, WritePlan
from mastostream.collector.observation import KeyBy, SeenEntry, identify, seen_entry_of
from mastostream.collector.request_scheduler import (
    PollResult,
    RequestScheduler,
    ServerStats,
    Target,
)
from mastostream.collector.state_store import CollectorStateStore
from mastostream.collector.timeline import PollSchedule, SourceStats
from mastostream.collector.worker import Response
from mastostream.core.consent import ConsentPolicy
from mastostream.core.topic_names import STREAM
from mastostream.exceptions import FatalError
from mastostream.ports.clock import Clock
from mastostream.ports.log import LogReader, LogWriter, Record
from mastostream.ports.stream import Opened, StreamEvent, StreamItem, Streams

__all__ = ["Collector", "CollectorStats"]

_READ_BACK: Final = 1_000
_BATCH: Final = 1_000
_PAUSE_ABOVE: Final = 20_000
_RESUME_BELOW: Final = 5_000
_SETTLED_S: Final = 900.0
"""Nothing is forgotten before: after a long absence, a server still shows what it showed then."""

_STATUSES: Final = ("update", "status.update", "message")
"""Events that bring a status. The last is what could not be read: it becomes a dead letter."""


MakeStreams = Callable[[Callable[[StreamItem], None]], Streams]


@attrs.define
class CollectorStats:
    """How the collector fares. Read by other threads.

    Attributes:
        servers: one by one.
        dedup: what became of what was seen.
        ignored_events: what streams brought that is no post, such as announcements.
    """

    servers: list[ServerStats]
    dedup: DedupStats
    ignored_events: int = 0

    @property
    def sources(self) -> list[SourceStats]:
        """All timelines."""
        return [source for server in self.servers for source in server.sources]

    @property
    def appended(self) -> int:
        """Posts logged since the start."""
        return self.dedup.new


class Collector:
    """Follows servers. A :class:`ports.stage.Stage`."""

    def __init__(  # noqa: PLR0913 - each is a choice of the user's, by name
        self,
        targets: Sequence[Target],
        writer: LogWriter,
        reader: LogReader,
        state_store: CollectorStateStore,
        *,
        clock: Clock,
        schedule: PollSchedule | None = None,
        key_by: KeyBy = "id",
        make_streams: MakeStreams | None = None,
        policy: ConsentPolicy | None = None,
        pseudonym_key: bytes | None = None,
        topic: str = STREAM,
        pause_above: int = _PAUSE_ABOVE,
        resume_below: int = _RESUME_BELOW,
    ) -> None:
        """Go on where the memory says; everything given is closed with the collector.

        Args:
            targets: whom to follow.
            writer: where posts go.
            reader: reads the same topic back.
            state_store: what has been logged.
            clock: time and waiting.
            schedule: how often servers are asked.
            key_by: what posts are called.
            make_streams: makes what listens to streams, given what takes their items; ``None``:
                servers are only asked.
            policy: whose posts are left out.
            pseudonym_key: the secret that makes pseudonyms; ``None`` keeps names.
            topic: where posts go.
            pause_above: streams are paused while more than so many items wait to be logged,
            resume_below: and go on once there are fewer than this.
        """
        self._inbox: queue.SimpleQueue[Response | StreamItem] = queue.SimpleQueue()
        self._streams = None if make_streams is None else make_streams(self._inbox.put)
        self._dedup = Deduplicator(
            state_store, policy=policy, pseudonym_key=pseudonym_key, topic=topic
        )
        self._followed = [
            RequestScheduler(
                target,
                state_store=state_store,
                clock=clock,
                schedule=schedule or PollSchedule(),
                key_by=key_by,
                named=self._dedup.named,
                put=self._inbox.put,
                streams=self._streams,
            )
            for target in targets
        ]
        self._by_host = {followed.host: followed for followed in self._followed}
        self.stats = CollectorStats(
            [followed.stats for followed in self._followed], self._dedup.stats
        )
        self._writer = writer
        self._reader = reader
        self._state_store = state_store
        self._clock = clock
        self._key_by: KeyBy = key_by
        self._behind = True
        self._pending: tuple[WritePlan, list[PollResult]] | None = None
        self._items: deque[Response | StreamItem] = deque()
        self._news: list[PollResult] = []
        self._records: Sequence[Record] | None = None  # read back, and not remembered yet
        self._settled_s = clock.monotonic_s() + _SETTLED_S
        self._pause_above = pause_above
        self._resume_below = resume_below
        self._paused = False
        self._cursors: dict[str, str] = {}  # as stored; most looks leave them as they are
        reader.seek(state_store.positions())

    @property
    def name(self) -> str:
        """``collect``."""
        return "collect"

    def step(self, timeout_s: float) -> int:
        """Take what has come, waiting up to ``timeout_s`` for it; return how much was logged.

        Raises:
            RetriableError: the log or the memory cannot write now; nothing was lost.
            FatalError: no source is left.
        """
        self._hold_streams_back()
        if self._behind:
            self._read_back({})
            self._behind = False
        if self._pending is None and not self._items and not self._news:
            wait_s = min((followed.send_next() for followed in self._followed), default=60.0)
            self._wait(min(timeout_s, self._clock.real_s(wait_s)))
        done = self._process()
        self._end_if_nobody_is_left()
        return done

    def finish(self) -> None:
        """Log what has come already."""
        for followed in self._followed:
            followed.stream_supervisor.close()
        if self._streams is not None:
            self._streams.close()
        self._process()
        while self._wait(0.0):
            self._process()
        for followed in self._followed:
            self._news.extend(map(self._read, followed.stream_supervisor.let_go()))
        self._process()

    def close(self) -> None:
        """Close everything."""
        if self._streams is not None:
            self._streams.close()
        for followed in self._followed:
            followed.close()
        self._reader.close()
        self._writer.close()
        self._state_store.close()

    def _wait(self, timeout_s: float) -> bool:
        """Wait for something to come; return whether it did."""
        with suppress(queue.Empty):
            self._items.append(self._inbox.get(timeout=max(timeout_s, 0.0001)))
            while len(self._items) < _BATCH:
                self._items.append(self._inbox.get_nowait())
        return bool(self._items)

    def _hold_streams_back(self) -> None:
        """Let what cannot be logged fast enough wait at the servers."""
        waiting = self._inbox.qsize()
        if self._streams is not None and waiting > self._pause_above and not self._paused:
            self._paused = True
            self._streams.pause(paused=True)
        elif self._streams is not None and waiting < self._resume_below and self._paused:
            self._paused = False
            self._streams.pause(paused=False)

    def _process(self) -> int:
        """Log and remember what has come; return how much was logged.

        Each thing that came is held until what it brought is logged: after a RetriableError, from
        wherever, the next call goes on.
        """
        done = 0 if self._pending is None else self._keep()
        while self._items:
            self._take(self._items[0])
            self._items.popleft()
        for followed in self._followed:
            followed.stream_supervisor.try_again()
            self._news.extend(map(self._read, followed.stream_supervisor.release()))
        if not self._news:
            return done
        seen = [each for one in self._news for each in one.seen]
        self._pending = (self._dedup.plan(seen), self._news)
        self._news = []
        return done + self._keep()

    def _take(self, item: Response | StreamItem) -> None:
        if isinstance(item, StreamEvent):
            stream_supervisor = self._by_host[item.feed].stream_supervisor
            self._news.extend(map(self._read, stream_supervisor.take(item)))
            return
        followed = self._by_host[item.server if isinstance(item, Response) else item.feed]
        if isinstance(item, Response):
            self._news.append(followed.take(item))
        elif isinstance(item, Opened):
            followed.stream_supervisor.opened(item)
        else:
            followed.stream_supervisor.cut(item)
        followed.look_again()

    def _read(self, event: StreamEvent) -> PollResult:
        """Read an event."""
        if event.event == "delete":
            post_id = event.data.decode("utf-8", "replace").strip()
            return PollResult([DeleteObserved(event.feed, post_id, event.received_ms)])
        if event.event not in _STATUSES:
            self.stats.ignored_events += 1
            return PollResult()
        observation = identify(
            event.data,
            instance=event.feed,
            key_by=self._key_by,
            event="edit" if event.event == "status.update" else "new",
            observed_ms=event.received_ms,
        )
        self._by_host[event.feed].stream_supervisor.brought(observation.key, event.tag)
        return PollResult([observation])

    def _keep(self) -> int:
        """Log, then remember. After a RetriableError it is called again, with the same."""
        assert self._pending is not None  # noqa: S101 - its callers have looked
        write_plan, news = self._pending
        cursors = {
            name: cursor
            for one in news
            for name, cursor in one.cursors.items()
            if self._cursors.get(name) != cursor
        }
        if write_plan.records and not write_plan.written:
            self._behind = True  # until the log has confirmed and the memory knows
            self._writer.append(write_plan.records)
            write_plan.written = True
        if self._behind or cursors or write_plan.left_out:
            self._read_back(cursors, write_plan.left_out)
            self._cursors.update(cursors)
            self._behind = False
        now_ms = self._clock.now_ms()
        if write_plan.again:
            self._state_store.seen_again(write_plan.again, now_ms)
        if write_plan.expedite:
            self._state_store.expedite(write_plan.expedite, now_ms)
        answered = [key for one in news for key in one.answered]
        if answered:
            self._state_store.answered(answered, now_ms)
        for one in news:
            if one.timeline is not None:
                followed = self._by_host[one.timeline.host]
                followed.kept(one, write_plan.fresh)
                followed.look_again()
        self._pending = None
        return len(write_plan.records)

    def _read_back(self, cursors: dict[str, str], left_out: Sequence[SeenEntry] = ()) -> None:
        """Remember all that the log holds, then the cursors that it makes true."""
        while True:
            if self._records is None:
                self._records = self._reader.read(_READ_BACK, 0.0)
            records = self._records
            last = len(records) < _READ_BACK
            traces = [trace for record in records if (trace := seen_entry_of(record)) is not None]
            self._state_store.remember(
                [*traces, *(left_out if last else ())],
                {record.partition: record.offset + 1 for record in records},
                cursors if last else {},
                self._clock.now_ms(),
                prune=self._clock.monotonic_s() > self._settled_s,
            )
            self._records = None
            if last:
                return

    def _end_if_nobody_is_left(self) -> None:
        for followed in self._followed:
            if followed.about is None or followed.alive():
                return
        errors = Counter(str(source.error) for source in self.stats.sources)
        raise FatalError(f"no source is left: {'; '.join(errors)}")
