"""The collector's loop: poll servers, read streams, append new posts to the log, store the state.

Delivery: each post and each edit is logged once. A cursor is stored after the log has confirmed the
posts that it stands for. A crash between the two leaves posts in the log that the state store
does not know; the next start reads them back from the log before it does anything else.
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
"""Records that are read back from the log in one step."""

_BATCH: Final = 1_000
"""Items of the inbox that are processed in one step, at most."""

_PAUSE_ABOVE: Final = 20_000
_RESUME_BELOW: Final = 5_000
"""Streams are paused above the first number of waiting items, and go on below the second."""

_PRUNE_AFTER_S: Final = 900.0
"""Seconds after the start in which the state store forgets nothing.

After a long absence, a quiet timeline still shows the posts that it showed before: they have to be
observed again before they can be forgotten by their age.
"""

_STATUSES: Final = ("update", "status.update", "message")
"""Stream events that carry a status. ``message`` is unreadable data; it becomes a dead letter."""

MakeStreams = Callable[[Callable[[StreamItem], None]], Streams]
"""Makes the stream client. Its argument is the function that takes the items of the streams."""


@attrs.define
class CollectorStats:
    """Counters of the collector. Read by other threads.

    Attributes:
        servers: one entry for each server.
        dedup: how many observations were new, known, stale, or left out.
        ignored_events: stream events that carry no post, such as announcements.
    """

    servers: list[ServerStats]
    dedup: DedupStats
    ignored_events: int = 0

    @property
    def sources(self) -> list[SourceStats]:
        """The timelines of all servers."""
        return [source for server in self.servers for source in server.sources]

    @property
    def appended(self) -> int:
        """Posts that were appended to the log since the start."""
        return self.dedup.new


class Collector:
    """The :class:`ports.stage.Stage` that collects posts from servers into the log."""

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
        """Resume from the state store. Whatever is passed in is closed with the collector.

        Args:
            targets: the servers to collect from.
            writer: appends posts to the log.
            reader: reads the same topic back.
            state_store: which posts are in the log, and the cursors of the timelines.
            clock: tells the time and waits.
            schedule: how often timelines are polled.
            key_by: which member of a post is its key.
            make_streams: makes the stream client; ``None`` to poll only.
            policy: whose posts are left out.
            pseudonym_key: the secret that pseudonyms are made with; ``None`` keeps names.
            topic: the topic that posts are appended to.
            pause_above: streams are paused once more than so many items wait to be logged.
            resume_below: paused streams go on once fewer than so many items wait.
        """
        self._inbox: queue.SimpleQueue[Response | StreamItem] = queue.SimpleQueue()
        self._streams = None if make_streams is None else make_streams(self._inbox.put)
        self._dedup = Deduplicator(
            state_store, policy=policy, pseudonym_key=pseudonym_key, topic=topic
        )
        self._schedulers = [
            RequestScheduler(
                target,
                state_store=state_store,
                clock=clock,
                schedule=schedule or PollSchedule(),
                key_by=key_by,
                log_key=self._dedup.log_key,
                put=self._inbox.put,
                streams=self._streams,
            )
            for target in targets
        ]
        self._by_host = {scheduler.host: scheduler for scheduler in self._schedulers}
        self.stats = CollectorStats(
            [scheduler.stats for scheduler in self._schedulers], self._dedup.stats
        )
        self._writer = writer
        self._reader = reader
        self._state_store = state_store
        self._clock = clock
        self._key_by: KeyBy = key_by
        self._behind = True
        self._pending: tuple[WritePlan, list[PollResult]] | None = None
        self._items: deque[Response | StreamItem] = deque()
        self._results: list[PollResult] = []
        self._records: Sequence[Record] | None = None  # read back, not yet in the state store
        self._prune_from_s = clock.monotonic_s() + _PRUNE_AFTER_S
        self._pause_above = pause_above
        self._resume_below = resume_below
        self._paused = False
        self._cursors: dict[str, str] = {}  # as stored: most polls change none
        reader.seek(state_store.positions())

    @property
    def name(self) -> str:
        """``collect``."""
        return "collect"

    def step(self, timeout_s: float) -> int:
        """Process the items that have arrived, waiting up to ``timeout_s`` for the first.

        Returns how many records were logged.

        Raises:
            RetriableError: the log or the state store cannot write now; nothing was lost.
            FatalError: every source was given up.
        """
        self._apply_backpressure()
        if self._behind:
            self._read_back({})
            self._behind = False
        if self._pending is None and not self._items and not self._results:
            wait_s = min((scheduler.send_next() for scheduler in self._schedulers), default=60.0)
            self._wait(min(timeout_s, self._clock.real_s(wait_s)))
        done = self._process()
        self._end_if_nobody_is_left()
        return done

    def finish(self) -> None:
        """Log all items that have arrived already."""
        for scheduler in self._schedulers:
            scheduler.stream_supervisor.close()
        if self._streams is not None:
            self._streams.close()
        self._process()
        while self._wait(0.0):
            self._process()
        for scheduler in self._schedulers:
            self._results.extend(map(self._read_event, scheduler.stream_supervisor.release_all()))
        self._process()

    def close(self) -> None:
        """Close everything."""
        if self._streams is not None:
            self._streams.close()
        for scheduler in self._schedulers:
            scheduler.close()
        self._reader.close()
        self._writer.close()
        self._state_store.close()

    def _wait(self, timeout_s: float) -> bool:
        """Wait for an item; return whether there is one."""
        with suppress(queue.Empty):
            self._items.append(self._inbox.get(timeout=max(timeout_s, 0.0001)))
            while len(self._items) < _BATCH:
                self._items.append(self._inbox.get_nowait())
        return bool(self._items)

    def _apply_backpressure(self) -> None:
        """Pause the streams while events arrive faster than they can be logged."""
        waiting = self._inbox.qsize()
        if self._streams is not None and waiting > self._pause_above and not self._paused:
            self._paused = True
            self._streams.pause(paused=True)
        elif self._streams is not None and waiting < self._resume_below and self._paused:
            self._paused = False
            self._streams.pause(paused=False)

    def _process(self) -> int:
        """Log all items that have arrived and store the state; return how many records were logged.

        An item is kept until its posts are logged. After a RetriableError, wherever it came from,
        the next call continues with the same items.
        """
        done = 0 if self._pending is None else self._commit()
        while self._items:
            self._take(self._items[0])
            self._items.popleft()
        for scheduler in self._schedulers:
            scheduler.stream_supervisor.retry_streaming()
            self._results.extend(map(self._read_event, scheduler.stream_supervisor.release()))
        if not self._results:
            return done
        observations = [
            observation for result in self._results for observation in result.observations
        ]
        self._pending = (self._dedup.plan(observations), self._results)
        self._results = []
        return done + self._commit()

    def _take(self, item: Response | StreamItem) -> None:
        if isinstance(item, StreamEvent):
            stream_supervisor = self._by_host[item.feed].stream_supervisor
            self._results.extend(map(self._read_event, stream_supervisor.take(item)))
            return
        scheduler = self._by_host[item.server if isinstance(item, Response) else item.feed]
        if isinstance(item, Response):
            self._results.append(scheduler.take(item))
        elif isinstance(item, Opened):
            scheduler.stream_supervisor.opened(item)
        else:
            scheduler.stream_supervisor.cut(item)
        scheduler.wake()

    def _read_event(self, event: StreamEvent) -> PollResult:
        """Turn a stream event into observations."""
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
        self._by_host[event.feed].stream_supervisor.note_event(observation.key, event.tag)
        return PollResult([observation])

    def _commit(self) -> int:
        """Append the pending records to the log, then store the state.

        After a RetriableError the next call continues with the same pending records.
        """
        assert self._pending is not None  # noqa: S101 - its callers check it
        write_plan, results = self._pending
        cursors = {
            name: cursor
            for result in results
            for name, cursor in result.cursors.items()
            if self._cursors.get(name) != cursor
        }
        if write_plan.records and not write_plan.written:
            self._behind = True  # until the log has confirmed and the state store knows
            self._writer.append(write_plan.records)
            write_plan.written = True
        if self._behind or cursors or write_plan.left_out:
            self._read_back(cursors, write_plan.left_out)
            self._cursors.update(cursors)
            self._behind = False
        now_ms = self._clock.now_ms()
        if write_plan.reobserved:
            self._state_store.seen_again(write_plan.reobserved, now_ms)
        if write_plan.expedite:
            self._state_store.expedite(write_plan.expedite, now_ms)
        refreshed = [key for result in results for key in result.refreshed]
        if refreshed:
            self._state_store.mark_refreshed(refreshed, now_ms)
        for result in results:
            if result.timeline is not None:
                scheduler = self._by_host[result.timeline.host]
                scheduler.committed(result, write_plan.fresh)
                scheduler.wake()
        self._pending = None
        return len(write_plan.records)

    def _read_back(self, cursors: dict[str, str], left_out: Sequence[SeenEntry] = ()) -> None:
        """Store what the log holds beyond the stored position, then the cursors.

        The cursors go last, since they claim that the log holds all posts before them.
        """
        while True:
            if self._records is None:
                self._records = self._reader.read(_READ_BACK, 0.0)
            records = self._records
            last = len(records) < _READ_BACK
            entries = [entry for record in records if (entry := seen_entry_of(record)) is not None]
            self._state_store.remember(
                [*entries, *(left_out if last else ())],
                {record.partition: record.offset + 1 for record in records},
                cursors if last else {},
                self._clock.now_ms(),
                prune=self._clock.monotonic_s() > self._prune_from_s,
            )
            self._records = None
            if last:
                return

    def _end_if_nobody_is_left(self) -> None:
        for scheduler in self._schedulers:
            if scheduler.about is None or scheduler.alive():
                return
        errors = Counter(str(source.error) for source in self.stats.sources)
        raise FatalError(f"no source is left: {'; '.join(errors)}")
