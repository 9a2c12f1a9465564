"""The log as the engine of a windowed analysis uses it: one process works, the others stand by.

The state stands in a compacted topic: one record says how far the analysis is, others hold the
posts of each open window, in pieces, so that a commit writes only what is new. Outputs, pieces and
positions go into one transaction. Who leads takes the transactional id over: from then on Kafka
refuses whatever the one before still tries to write.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException

from mastostream.core.windows import PartitionClock, WindowState
from mastostream.exceptions import FatalError, RetriableError
from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import translate_error, translated
from mastostream.log.kafka.leadership import Leadership
from mastostream.log.kafka.offsets import Offsets
from mastostream.log.kafka.partition_merge import MergedPartitions
from mastostream.log.kafka.partition_reader import PartitionReader
from mastostream.log.kafka.producer import PATIENCE_S, RecordProducer
from mastostream.log.kafka.reader import JOIN_S, LOOK_EVERY_S
from mastostream.log.kafka.topics import partitions_of
from mastostream.ports.log import Commit, Positions, Progress, Record

__all__ = ["WINDOWS", "KafkaWindowLog"]

WINDOWS: Final = "mastostream-windows"
"""The topic of the state of all windowed analyses."""

PIECE_BYTES: Final = 2**20
"""Of a record of state: far below the 8 MiB that the topic takes, whatever the values are."""

_TRANSACTION_MS: Final = 20_000
"""How long the transaction of a process that was killed may hold up readers, and other analyses
that begin. Kafka ends it within 10 s more: what waits for the end of a topic waits for 30 s."""


class _StoredClock(msgspec.Struct):
    """How far an analysis is."""

    positions: dict[int, int]
    watermark_ms: int | None
    partitions: list[tuple[int, int | None, int]]


_decode_clock: Final = msgspec.json.Decoder(_StoredClock).decode


class KafkaWindowLog:
    """A :class:`ports.log.EngineLog` on Kafka for one windowed analysis, used by one thread.

    Exactly once: outputs, positions and windows are one transaction. Of several processes one
    reads all partitions; the others stand by and read nothing.
    """

    def __init__(
        self,
        config: KafkaClientConfig,
        *,
        topic: str,
        analysis: str,
        join_s: float = JOIN_S,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """Compete at the first read.

        Args:
            config: where.
            topic: the input.
            analysis: its name.
            join_s: how long a read that must not miss anything waits to be told who works.
            now_ms: the time that outputs get; the client's own where it is missing.
        """
        self._config = config
        self._topic = topic
        self._analysis = analysis
        self._join_s = join_s
        self._now_ms = now_ms
        self._group = f"{config.group}-windows-{analysis}"
        self._leadership = Leadership(config, WINDOWS, self._group)
        self._generation = 0
        self._lost = 0
        self._sender: RecordProducer | None = None
        self._input: PartitionReader | None = None
        self._merged: MergedPartitions | None = None
        self._look_s = 0.0
        self._progress: Progress | None = None
        self._written: dict[int, tuple[int, int]] = {}

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def lost(self) -> int:
        return self._lost + (self._input.lost if self._input else 0)

    def restore(self, analyses: Sequence[str]) -> Mapping[str, Progress]:
        if self._progress is None or self._analysis not in analyses:
            return {}
        return {self._analysis: self._progress}

    def read(self, positions: Positions, max_records: int, timeout_s: float) -> Sequence[Record]:
        if self._sender is None:
            if self._competes(timeout_s):
                self._take_over()
            return ()
        if not self._leadership.look(0.0):
            self._step_down()
            return ()
        if self._input is None or time.monotonic() >= self._look_s:
            self._look(positions)
        assert self._input is not None  # noqa: S101 - just made
        if not self._input.positions:
            time.sleep(min(timeout_s, 1.0))
            self._look_s = 0.0
            return ()
        assert self._merged is not None  # noqa: S101 - as above
        records = self._merged.read(max_records, timeout_s) if timeout_s > 0 else ()
        # Nothing lets the engine close windows by the wall clock: Kafka has to say so.
        records = records or self._merged.to_the_end(max_records)
        if self._input.recreated:
            raise self._anothers()
        return records

    def commit(self, commit: Commit) -> None:
        sender = self._sender
        progress = commit.progress.get(self._analysis)
        if sender is None:
            raise RetriableError(
                f"{self._config.full_name(self._group)}: another process does this now"
            )
        try:
            sender.producer.begin_transaction()
            sender.send(commit.records)
            written = self._written if progress is None else self._write(sender, progress)
            sender.producer.commit_transaction(PATIENCE_S)
        except KafkaException as error:
            # Whether it was committed is read from the topic, by whoever leads then.
            problem = sender.why_given_up(error)
            self._step_down()
            raise problem from error
        except BaseException:
            self._step_down()
            raise
        self._written = written

    def close(self) -> None:
        self._step_down()
        self._leadership.leave()

    def _competes(self, timeout_s: float) -> bool:
        """Wait to lead; a read that must not miss anything waits until it is known who does."""
        if timeout_s > 0:
            return self._leadership.look(timeout_s)
        stood_by = self._leadership.stands_by
        deadline_s = time.monotonic() + self._join_s
        while not self._leadership.look(0.1):
            if stood_by or time.monotonic() > deadline_s:
                raise RetriableError(
                    f"another process runs the analysis {self._analysis}: this one stands by"
                )
        return True

    def _step_down(self) -> None:
        """Forget what is only here."""
        if self._input is not None:
            self._lost += self._input.lost
            self._input.close()
            self._input = self._merged = None
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        self._look_s = 0.0
        self._progress = None
        self._written = {}
        self._generation += 1

    def _take_over(self) -> None:
        sender = RecordProducer(
            self._config,
            now_ms=self._now_ms,
            **{
                "transactional.id": self._config.full_name(self._group),
                "transaction.timeout.ms": _TRANSACTION_MS,
            },
        )
        try:
            sender.producer.init_transactions(PATIENCE_S)
            self._load()
        except KafkaException as error:
            sender.close()
            raise translate_error(error.args[0], self._config) from error
        except BaseException:
            sender.close()
            raise
        self._sender = sender
        self._generation += 1

    def _load(self) -> None:
        state: dict[str, bytes] = {}
        partitions = PartitionReader(self._config, WINDOWS, f"{self._group}-state")
        prefix = f"{self._group}/"
        try:
            with translated(self._config):
                partitions.consumer.assign(partitions.begin([0], {0: 0}))
            # Others share the topic: what their transactions hold back may be ours.
            while records := partitions.to_the_end(1_000, with_open=True):
                for record in records:
                    if record.key is None or not record.key.startswith(prefix):
                        continue
                    if record.value:
                        state[record.key.removeprefix(prefix)] = record.value
                    else:
                        state.pop(record.key.removeprefix(prefix), None)
        finally:
            partitions.close()
        self._progress, self._written = _restored(state)

    def _look(self, positions: Positions) -> None:
        """Take the input's partitions, also those that came since."""
        if self._input is None:
            self._check(positions)
            self._input = PartitionReader(self._config, self._topic, f"{self._group}-input")
            self._merged = MergedPartitions(self._config, self._topic, self._input)
        self._input.take_new(positions)
        self._look_s = time.monotonic() + LOOK_EVERY_S

    def _check(self, positions: Positions) -> None:
        """See that the windows can be those of the topic that is there."""
        there = partitions_of(self._config, self._topic)
        known = [partition for partition in positions if partition in there]
        ends = Offsets(self._config).end(self._topic, known, with_open=True)
        if any(positions[partition] > end for partition, end in ends.items()):
            raise self._anothers()

    def _anothers(self) -> FatalError:
        named = self._config.full_name
        return FatalError(
            f"the windows of {self._analysis} go beyond the end of {named(self._topic)} in Kafka "
            f"at {self._config.servers}: they are another topic's; name another group in [kafka], "
            f"or delete the topic {named(WINDOWS)}, and they begin anew"
        )

    def _write(self, sender: RecordProducer, progress: Progress) -> dict[int, tuple[int, int]]:
        """Send what is new of the state; return how much of each window is written then."""
        windows = progress.windows or WindowState()
        written = dict(self._written)
        for start_ms, posts in windows.windows.items():
            done, pieces = written.get(start_ms, (0, 0))
            for piece in _pieces(posts, done):
                self._put(sender, f"{start_ms}/{pieces}", piece)
                pieces += 1
            written[start_ms] = (len(posts), pieces)
        for start_ms in set(written) - set(windows.windows):
            for number in range(written.pop(start_ms)[1]):
                self._put(sender, f"{start_ms}/{number}", None)
        clock = _StoredClock(
            positions=dict(progress.positions),
            watermark_ms=windows.watermark_ms,
            partitions=[
                (partition, each.max_event_ms, each.active_ms)
                for partition, each in windows.partitions.items()
            ],
        )
        self._put(sender, _CLOCK, msgspec.json.encode(clock))
        return written

    def _put(self, sender: RecordProducer, name: str, value: bytes | None) -> None:
        key = f"{self._group}/{name}"
        try:
            sender.producer.produce(self._config.full_name(WINDOWS), value, key, partition=0)
        except BufferError as error:
            raise RetriableError(
                f"Kafka at {self._config.servers} does not take the windows of {self._analysis} "
                "fast enough"
            ) from error


_CLOCK: Final = "clock"


def _pieces(posts: Mapping[str, Any], done: int, piece_bytes: int = PIECE_BYTES) -> Iterable[bytes]:
    """Return the posts after the first ``done``, some at a time: a window only ever grows."""
    piece: list[bytes] = []
    size = 0
    for post in map(msgspec.json.encode, islice(posts.items(), done, None)):
        if piece and size + len(post) > piece_bytes:
            yield _array(piece)
            piece, size = [], 0
        piece.append(post)
        size += len(post)
    if piece:
        yield _array(piece)


def _array(items: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def _restored(state: Mapping[str, bytes]) -> tuple[Progress | None, dict[int, tuple[int, int]]]:
    """Return what the records of state stand for, and how much of each window is written."""
    if _CLOCK not in state:
        return None, {}
    clock = _decode_clock(state[_CLOCK])
    names = sorted(tuple(map(int, name.split("/"))) for name in state if name != _CLOCK)
    windows: dict[int, dict[str, Any]] = {}
    written: dict[int, tuple[int, int]] = {}
    for start_ms, number in names:
        posts = windows.setdefault(start_ms, {})
        posts.update(msgspec.json.decode(state[f"{start_ms}/{number}"]))
        written[start_ms] = (len(posts), number + 1)
    restored = WindowState(
        windows=windows,
        partitions={
            partition: PartitionClock(max_event_ms=max_event_ms, active_ms=active_ms)
            for partition, max_event_ms, active_ms in clock.partitions
        },
        watermark_ms=clock.watermark_ms,
    )
    return Progress(positions=clock.positions, windows=restored), written
