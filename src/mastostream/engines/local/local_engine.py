"""The local engine's loop: read a batch, decode it once, run every analysis, commit all outputs.

Delivery is exactly once with a log whose commits are atomic. Where the log keeps a position for
each analysis, an analysis that is added later reads the topic from its beginning, and the others do
not repeat. On Kafka the analyses that work post by post share one consumer group, whose name
depends on all of them: when one is added, all of them read from the oldest record again.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from mastostream.core.analyses import Analysis
from mastostream.core.codec import decode
from mastostream.core.models import Post, Rejected
from mastostream.core.time import to_ms
from mastostream.core.topic_names import DEAD_LETTERS, LATE
from mastostream.core.windows import HORIZON_MS
from mastostream.engines.local.windowed_analysis import Windowed, WindowTiming
from mastostream.engines.outputs import dead_letter
from mastostream.engines.per_post import Decoded, PerPost
from mastostream.engines.window_outputs import spec_of
from mastostream.exceptions import ConfigurationError
from mastostream.ports.clock import Clock
from mastostream.ports.log import Commit, EngineLog, NewRecord, Progress, Record

__all__ = ["BATCH", "EngineStats", "LocalEngine", "OnResults"]

BATCH: Final = 1_000
"""Records per commit. 1,000 posts take about 30 ms, so the commit itself costs little."""

CHUNK: Final = 100
"""Posts that are in memory as models at the same time. With 5,000, most of them outlive several
rounds of the garbage collector, which then takes a third of the time."""

WINDOWS: Final = 200
"""Most windows that one analysis writes per commit."""

DEFAULT_TIMING: Final = WindowTiming()

_logger = logging.getLogger(__name__)

OnResults = Callable[[Analysis, Sequence[object]], None]


@attrs.define
class EngineStats:
    """What the engine has done since it started. Other threads read it.

    Attributes:
        records: the number of records read.
        posts: the number of posts among the records read.
        rejected: the number of records read that are no post and no deletion; each becomes a dead
            letter.
        outputs: the number of results written.
        dead_letters: the number of dead letters written.
        late: the number of new posts that cannot be counted in windows, see
            :func:`mastostream.core.windows.not_countable`.
        lost: the number of records that the log deleted before they were read.
        windows: the number of records of windows written, each new one of a window again.
        lag_ms: the age of the newest record when it was read, in milliseconds.
        observed_ms: when a post was observed last, by the collector's clock, in milliseconds since
            the epoch; 0 before the first post.
    """

    records: int = 0
    posts: int = 0
    rejected: int = 0
    outputs: int = 0
    dead_letters: int = 0
    late: int = 0
    lost: int = 0
    windows: int = 0
    lag_ms: int = 0
    observed_ms: int = 0


class LocalEngine:
    """Runs any set of analyses over one topic. A :class:`ports.stage.Stage`."""

    def __init__(  # noqa: PLR0913 - keyword arguments, each a choice of the user
        self,
        log: EngineLog,
        analyses: Sequence[Analysis],
        *,
        clock: Clock,
        horizon_ms: int = HORIZON_MS,
        timing: WindowTiming = DEFAULT_TIMING,
        batch: int = BATCH,
        on_results: OnResults | None = None,
        name: str = "analyze",
        from_beginning: bool = False,
    ) -> None:
        """Continue from the progress that the log has stored for these analyses.

        Args:
            log: the input and the outputs; the engine closes it.
            analyses: at least one; their names are unique.
            clock: gives the time of ticks and of dead letters.
            horizon_ms: how long after its creation a post may be observed and still count.
            timing: when the records of windows are written.
            batch: the number of records per commit, at most.
            on_results: called after each commit with the results of windowed analyses, and of
                analyses without a topic.
            name: the name of the stage, where one process runs several engines.
            from_beginning: whether it begins with the oldest record whatever the log has stored.
                What it writes replaces what has the same key and version.

        Raises:
            ConfigurationError: two analyses have the same name, or there is none.
        """
        names = [analysis.name for analysis in analyses]
        if not names or len(set(names)) < len(names):
            log.close()
            raise ConfigurationError(f"expected analyses of different names, got {names}")
        self.stats = EngineStats()
        self._log = log
        self._clock = clock
        self._batch = batch
        self._on_results = on_results
        self._name = name
        self._analyses = tuple(analyses)
        self._horizon_ms = horizon_ms
        self._timing = timing
        self._warned: set[str] = set()
        self._from_beginning = from_beginning
        self._restore()

    def _restore(self) -> None:
        """Continue from the progress in the log, and forget what was not committed."""
        self._generation = self._log.generation
        progress = self._log.restore([analysis.state_name for analysis in self._analyses])
        if self._from_beginning:
            progress = {}
        now_s = self._clock.monotonic_s()
        self._per_post = [
            PerPost(analysis, progress.get(analysis.state_name))
            for analysis in self._analyses
            if analysis.function is not None
        ]
        self._windowed = [
            Windowed(
                analysis,
                spec_of(analysis, self._horizon_ms),
                self._timing,
                store=self._log.windows(analysis.state_name),
                progress=progress.get(analysis.state_name),
                now_s=now_s,
            )
            for analysis in self._analyses
            if analysis.aggregate is not None
        ]
        self._hosts: list[PerPost | Windowed] = [*self._per_post, *self._windowed]
        self._outputs: dict[str, list[NewRecord]] = {host.analysis.name: [] for host in self._hosts}
        self._pending: Commit | None = None
        self._stored: dict[str, Progress] = {}

    @property
    def name(self) -> str:
        """The name of the stage: ``analyze`` unless another one was given."""
        return self._name

    def step(self, timeout_s: float) -> int:
        """Process one batch and commit its outputs; return how many records were read.

        When the log assigns other partitions, the engine restores its progress and reads again.

        Args:
            timeout_s: how long to wait for records, in seconds.

        Raises:
            RetriableError: the log cannot be reached; the next call tries the same commit again.
        """
        if self._pending is not None and self._log.generation == self._generation:
            self._commit(self._pending)
        records = self._log.read(self._positions(), self._batch, timeout_s)
        while self._log.generation != self._generation:
            self._restore()
            records = records or self._log.read(self._positions(), self._batch, timeout_s)
        if records:
            self._process(records)
        self._write_windows(ended=False)
        self._store(force=False)
        return len(records)

    def write_windows(self) -> None:
        """Write each window that has changed, and commit. For an input that has ended."""
        if self._pending is not None:
            self._commit(self._pending)
        while any(host.has_to_write for host in self._windowed):
            self._write_windows(ended=True)
            self._store(force=True)

    def finish(self) -> None:
        """Store the progress of each analysis."""
        self._store(force=True)

    def close(self) -> None:
        """Close the log. Without :meth:`finish` nothing is lost: some records are read again."""
        self._log.close()

    def complaints(self) -> list[str]:
        """Return the analyses that fail more than one time in ten, with what their functions raise.

        Other threads may call it.
        """
        return [
            f"analysis {host.analysis.name} {complaint}"
            for host in self._hosts
            for complaint in host.complaints()
        ]

    def _positions(self) -> dict[int, int]:
        """The offsets to read from: of each partition, that of the analysis that is most behind.

        A partition that some analysis has not read yet is left out.
        """
        known = set.intersection(*(set(host.positions) for host in self._hosts))
        return {
            partition: min(host.positions[partition] for host in self._hosts) for partition in known
        }

    def _process(self, records: Sequence[Record]) -> None:
        self._note_lost(records[0].topic)
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        for first in range(0, len(records), CHUNK):
            self._process_chunk(records[first : first + CHUNK], now_ms, now_s)
        self._warn()
        self.stats.records += len(records)
        self.stats.lag_ms = max(0, now_ms - records[-1].timestamp_ms)

    def _process_chunk(self, records: Sequence[Record], now_ms: int, now_s: float) -> None:
        batch: list[Decoded] = [(record, decode(record.value)) for record in records]
        first_host = self._outputs[self._hosts[0].analysis.name]
        newest: Post | None = None
        for record, item in batch:
            if type(item) is Post:
                self.stats.posts += 1
                newest = item
            elif type(item) is Rejected and self._is_new_to_all(record):
                self.stats.rejected += 1
                first_host.append(dead_letter(record, "analyze", item.reasons, now_ms))
        if newest is not None:
            self.stats.observed_ms = max(self.stats.observed_ms, to_ms(newest.observed_at))
        ends = {record.partition: record.offset + 1 for record in records}
        for host in self._hosts:
            new = _after(host.positions, batch)
            self._outputs[host.analysis.name] += host.apply(new, now_ms, now_s)
            for partition, end in ends.items():
                host.positions[partition] = max(end, host.positions.get(partition, 0))

    def _write_windows(self, *, ended: bool) -> None:
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        for host in self._windowed:
            records = host.write(now_ms, now_s, WINDOWS, ended=ended)
            self._outputs[host.analysis.name] += records

    def _warn(self) -> None:
        """Log once of each analysis that its functions fail often."""
        for host in self._hosts:
            name = host.analysis.name
            if name not in self._warned and (complaints := host.complaints()):
                self._warned.add(name)
                _logger.warning("analysis %s %s", name, "; it ".join(complaints))

    def _note_lost(self, topic: str) -> None:
        """Count and log the records that the log deleted before the engine read them."""
        lost = self._log.lost - self.stats.lost
        if lost > 0:
            self.stats.lost += lost
            _logger.warning(
                "%s: %d records were deleted before they were read: its retention is shorter "
                "than the engine was behind",
                topic,
                lost,
            )

    def _is_new_to_all(self, record: Record) -> bool:
        """Whether no analysis has read this record yet, so that a dead letter is written once."""
        return all(record.offset >= host.positions.get(record.partition, 0) for host in self._hosts)

    def _store(self, *, force: bool) -> None:
        now_s = self._clock.monotonic_s()
        records: list[NewRecord] = []
        progress: dict[str, Progress] = {}
        for host in self._hosts:
            outputs = self._outputs[host.analysis.name]
            if not (outputs or force or host.due(now_s)):
                continue
            records += outputs
            outputs.clear()
            if host.positions:
                progress[host.analysis.state_name] = host.progress()
            if isinstance(host, Windowed):
                host.stored(now_s)
        if records or progress != self._stored:
            self._commit(Commit(records=records, progress=progress))
        self._show()

    def _commit(self, commit: Commit) -> None:
        self._pending = commit
        self._log.commit(commit)
        self._pending = None
        self._from_beginning = False
        self._stored = dict(commit.progress)
        topics = Counter(record.topic for record in commit.records)
        self.stats.dead_letters += topics.pop(DEAD_LETTERS, 0)
        topics.pop(LATE, 0)
        self.stats.outputs += topics.total()
        self.stats.late += sum(host.take_late() for host in self._windowed)
        self.stats.windows += sum(host.take_written() for host in self._windowed)

    def _show(self) -> None:
        for host in self._hosts:
            shown = host.take_shown()
            if shown and self._on_results is not None:
                self._on_results(host.analysis, shown)


def _after(positions: dict[int, int], batch: list[Decoded]) -> list[Decoded]:
    """Return the part of a batch that this analysis has not read yet: nearly always all of it."""
    first = batch[0][0]
    if len(positions) <= 1 and first.offset >= positions.get(first.partition, 0):
        return batch
    return [
        (record, item)
        for record, item in batch
        if record.offset >= positions.get(record.partition, 0)
    ]
