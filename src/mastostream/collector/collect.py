"""The loop: ask each source in turn, log what is new, then remember it.

Delivery: each post once. A cursor is stored after the log has confirmed; a crash in between leaves
posts in the log that are not remembered, and these are read back from the log before anything is
fetched again.
"""

import logging
import random
import threading
from collections.abc import Sequence
from typing import Final

import attrs
from tenacity import wait_random_exponential

from mastostream.collector.memory import CollectorMemory
from mastostream.collector.stamping import stamp_raw
from mastostream.core.models import Stamp
from mastostream.core.topics import STREAM
from mastostream.exceptions import FatalError, RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.log import LogReader, LogWriter, NewRecord
from mastostream.ports.source import Fetched, Sighting, Source

__all__ = ["Collector", "CollectorStats", "SourceStats"]

LONGEST_BACKOFF_S: Final = 60.0
_READ_BACK: Final = 1_000
_logger = logging.getLogger(__name__)
_backoff = wait_random_exponential(multiplier=1.0, max=LONGEST_BACKOFF_S)


@attrs.define
class SourceStats:
    """How one source fares. Read by other threads."""

    name: str
    requests: int = 0
    appended: int = 0
    known: int = 0
    incomplete: int = 0
    retries: int = 0
    failed: bool = False
    error: str | None = None


@attrs.define
class CollectorStats:
    """How the collector fares: its sources, one by one."""

    sources: list[SourceStats]

    @property
    def appended(self) -> int:
        """Posts logged since the start."""
        return sum(source.appended for source in self.sources)


@attrs.define
class _Followed:
    source: Source
    stats: SourceStats
    due_s: float
    cursor: str | None
    failures: int = 0


class _Attempt:
    """What tenacity's wait strategies look at."""

    def __init__(self, attempt_number: int) -> None:
        self.attempt_number = attempt_number


class Collector:
    """Follows sources. A :class:`ports.stage.Stage`."""

    def __init__(  # noqa: PLR0913 - each is a choice of the user's, by name
        self,
        sources: Sequence[Source],
        writer: LogWriter,
        reader: LogReader,
        memory: CollectorMemory,
        *,
        clock: Clock,
        interval_s: float = 3.0,
        topic: str = STREAM,
    ) -> None:
        """Go on where the memory says; everything given is closed with the collector.

        Args:
            sources: each is asked every ``interval_s`` seconds, spread evenly.
            writer: where posts go.
            reader: reads the same topic back.
            memory: what has been logged.
            clock: time and waiting.
            interval_s: seconds between two looks at a source.
            topic: where posts go.
        """
        now_s = clock.monotonic_s()
        spread_s = interval_s / max(1, len(sources))
        self._followed = [
            _Followed(
                source,
                SourceStats(source.name),
                now_s + order * spread_s,
                memory.cursor(source.name),
            )
            for order, source in enumerate(sources)
        ]
        self.stats = CollectorStats([followed.stats for followed in self._followed])
        self._writer = writer
        self._reader = reader
        self._memory = memory
        self._clock = clock
        self._interval_s = interval_s
        self._topic = topic
        self._never = threading.Event()
        self._behind = True
        reader.seek(memory.positions())

    @property
    def name(self) -> str:
        """``collect``."""
        return "collect"

    def step(self, timeout_s: float) -> int:
        """Ask the source that is due, if one is; return how many posts were logged.

        Raises:
            RetriableError: the log or the memory cannot write now; nothing was lost.
            FatalError: no source is left.
        """
        if self._behind:
            self._read_back({})
            self._behind = False
        alive = [followed for followed in self._followed if not followed.stats.failed]
        if not alive:
            errors = "; ".join(str(followed.stats.error) for followed in self._followed)
            raise FatalError(f"no source is left: {errors}")
        followed = min(alive, key=lambda each: each.due_s)
        wait_s = followed.due_s - self._clock.monotonic_s()
        if wait_s > 0:
            self._clock.wait(self._never, min(wait_s, timeout_s))
            if wait_s > timeout_s:
                return 0
        fetched = self._fetch(followed)
        return 0 if fetched is None else self._keep(followed, fetched)

    def finish(self) -> None:
        """Nothing is left to do: each step stores what it has."""

    def close(self) -> None:
        """Close everything."""
        for followed in self._followed:
            followed.source.close()
        self._reader.close()
        self._writer.close()
        self._memory.close()

    def _fetch(self, followed: _Followed) -> Fetched | None:
        stats = followed.stats
        stats.requests += 1
        try:
            fetched = followed.source.fetch(followed.cursor)
        except RetriableError as error:
            followed.failures += 1
            stats.retries += 1
            stats.error = str(error)
            wait_s = error.retry_after_s
            if wait_s is None:
                wait_s = _backoff(_Attempt(followed.failures))  # type: ignore[arg-type]  # all it reads
            else:
                wait_s += random.uniform(0, 1)  # noqa: S311 - jitter, so that not all come at once
            wait_s = max(wait_s, self._interval_s)
            followed.due_s = self._clock.monotonic_s() + wait_s
            _logger.warning("%s: %s; trying again in %.0f s", stats.name, error, wait_s)
            return None
        except FatalError as error:
            stats.failed, stats.error = True, str(error)
            _logger.error("%s: %s; this source ends here", stats.name, error)  # noqa: TRY400 - told
            return None
        followed.failures = 0
        stats.error = None
        stats.incomplete += not fetched.complete
        followed.due_s = self._clock.monotonic_s() + (0.0 if fetched.more else self._interval_s)
        return fetched

    def _keep(self, followed: _Followed, fetched: Fetched) -> int:
        sightings = {sighting.key: sighting for sighting in fetched.sightings}
        known = self._memory.known(sightings, self._clock.now_ms())
        fresh = [sighting for key, sighting in sightings.items() if key not in known]
        followed.stats.known += len(known)
        self._behind = True  # until the log has confirmed and the memory knows
        if fresh:
            self._writer.append([self._record(sighting) for sighting in fresh])
        cursors = {} if fetched.cursor is None else {followed.source.name: fetched.cursor}
        if fresh or fetched.cursor != followed.cursor:
            self._read_back(cursors)
        self._behind = False
        followed.cursor = fetched.cursor
        followed.stats.appended += len(fresh)
        return len(fresh)

    def _record(self, sighting: Sighting) -> NewRecord:
        stamp = Stamp(
            key=sighting.key,
            event=sighting.event,
            instance=sighting.instance,
            observed_at=sighting.observed_at,
        )
        return NewRecord(self._topic, sighting.key, stamp_raw(sighting.raw, stamp))

    def _read_back(self, cursors: dict[str, str]) -> None:
        """Remember all that the log holds, then the cursors that it makes true."""
        while True:
            records = self._reader.read(_READ_BACK, 0.0)
            last = len(records) < _READ_BACK
            self._memory.remember(
                [record.key for record in records if record.key is not None],
                {record.partition: record.offset + 1 for record in records},
                cursors if last else {},
                self._clock.now_ms(),
            )
            if last:
                return
