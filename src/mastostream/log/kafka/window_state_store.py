"""The log in Kafka for the engine of a windowed analysis, with the state of its windows.

One process works, the others stand by. A compacted topic is the state store. One of its records,
the clock, holds positions and watermark; the others hold the posts of the open windows in pieces,
so that a commit writes only new posts. Outputs, pieces and clock are written in one transaction. A
new leader takes over the transactional id; from then on Kafka refuses all writes of the former
leader (fencing).
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
from mastostream.log.kafka.producer import CALL_TIMEOUT_S, RecordProducer
from mastostream.log.kafka.reader import JOIN_S, LOOK_FOR_PARTITIONS_EVERY_S
from mastostream.log.kafka.topics import partitions_of
from mastostream.ports.log import Commit, Positions, Progress, Record

__all__ = ["WINDOWS", "KafkaWindowLog"]

WINDOWS: Final = "mastostream-windows"
"""The topic with the state of all windowed analyses."""

PIECE_BYTES: Final = 2**20
"""The size at which a piece of a window ends, in bytes. It is far below the 8 MiB that the topic
allows for a record, so that one large post more does no harm."""

_TRANSACTION_MS: Final = 20_000
"""The time-out of a transaction. The open transaction of a process that was killed blocks readers,
and other analyses that start, for so long. Kafka needs up to 10 s more to abort it, and a read to
the end of a topic waits for 30 s."""


class _StoredClock(msgspec.Struct):
    """The record that says how far an analysis has come.

    Attributes:
        positions: the offset of the next record to read, for each partition of the input.
        watermark_ms: the watermark; ``None`` before the first post.
        partitions: for each partition its number, the highest event time (``None`` before the first
            post), and when its last post arrived. See :class:`core.windows.PartitionClock`.
    """

    positions: dict[int, int]
    watermark_ms: int | None
    partitions: list[tuple[int, int | None, int]]


_decode_clock: Final = msgspec.json.Decoder(_StoredClock).decode


class KafkaWindowLog:
    """A :class:`ports.log.EngineLog` on Kafka for one windowed analysis, used by one thread.

    Delivery is exactly once: outputs, positions and windows are written in one transaction. One of
    several processes reads all partitions; the others stand by and read nothing.
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
        """Store the configuration; the first read joins the leader election.

        Args:
            config: the Kafka to use.
            topic: the input topic.
            analysis: the name of the analysis.
            join_s: how long a read with a time-out of 0 waits for the result of the election, in
                seconds.
            now_ms: returns the timestamp of an output, in milliseconds since the epoch. By default
                librdkafka uses the system's clock.
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
        self._look_due_s = 0.0
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
            if self._wait_to_lead(timeout_s):
                self._take_over()
            return ()
        if not self._leadership.poll(0.0):
            self._step_down()
            return ()
        if self._input is None or time.monotonic() >= self._look_due_s:
            self._refresh_input(positions)
        assert self._input is not None  # noqa: S101 - created above
        if not self._input.positions:
            time.sleep(min(timeout_s, 1.0))
            self._look_due_s = 0.0
            return ()
        assert self._merged is not None  # noqa: S101 - created together with the input
        records = self._merged.read(max_records, timeout_s) if timeout_s > 0 else ()
        # The engine takes an empty result to mean that there is no input, and then closes windows
        # by the wall clock. So only the ends that Kafka reports may lead to an empty result.
        records = records or self._merged.read_to_end(max_records)
        if self._input.recreated:
            raise self._wrong_topic()
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
            sender.producer.commit_transaction(CALL_TIMEOUT_S)
        except KafkaException as error:
            # It may have been committed all the same: the next leader reads that from the topic.
            problem = sender.transaction_error(error)
            self._step_down()
            raise problem from error
        except BaseException:
            self._step_down()
            raise
        self._written = written

    def close(self) -> None:
        self._step_down()
        self._leadership.leave()

    def _wait_to_lead(self, timeout_s: float) -> bool:
        """Take part in the election; return whether this process leads.

        With a time-out of 0 it waits for the result of the election, for up to ``join_s``.

        Raises:
            RetriableError: the time-out is 0, and this process does not lead.
        """
        if timeout_s > 0:
            return self._leadership.poll(timeout_s)
        stood_by = self._leadership.stands_by
        deadline_s = time.monotonic() + self._join_s
        while not self._leadership.poll(0.1):
            if stood_by or time.monotonic() > deadline_s:
                raise RetriableError(
                    f"another process runs the analysis {self._analysis}: this one stands by"
                )
        return True

    def _step_down(self) -> None:
        """Close the input and the producer, and forget the state in memory."""
        if self._input is not None:
            self._lost += self._input.lost
            self._input.close()
            self._input = self._merged = None
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        self._look_due_s = 0.0
        self._progress = None
        self._written = {}
        self._generation += 1

    def _take_over(self) -> None:
        """Fence the former leader, and load the state that it has committed."""
        sender = RecordProducer(
            self._config,
            now_ms=self._now_ms,
            **{
                "transactional.id": self._config.full_name(self._group),
                "transaction.timeout.ms": _TRANSACTION_MS,
            },
        )
        try:
            sender.producer.init_transactions(CALL_TIMEOUT_S)
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
        """Read the state of this analysis from its topic."""
        state: dict[str, bytes] = {}
        partitions = PartitionReader(self._config, WINDOWS, f"{self._group}-state")
        prefix = f"{self._group}/"
        try:
            with translated(self._config):
                partitions.consumer.assign(partitions.take([0], {0: 0}))
            # Other analyses write to this topic too. Records of this analysis may stand behind
            # their open transactions, so these have to end first.
            while records := partitions.read_to_end(1_000, include_open=True):
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

    def _refresh_input(self, positions: Positions) -> None:
        """Open the input if it is closed, and take over its new partitions."""
        if self._input is None:
            self._check_positions(positions)
            self._input = PartitionReader(self._config, self._topic, f"{self._group}-input")
            self._merged = MergedPartitions(self._config, self._topic, self._input)
        self._input.take_new(positions)
        self._look_due_s = time.monotonic() + LOOK_FOR_PARTITIONS_EVERY_S

    def _check_positions(self, positions: Positions) -> None:
        """Check that the stored positions exist in the input topic.

        Raises:
            FatalError: the windows belong to another topic: one of this name was created again.
        """
        existing = partitions_of(self._config, self._topic)
        known = [partition for partition in positions if partition in existing]
        ends = Offsets(self._config).end(self._topic, known, include_open=True)
        if any(positions[partition] > end for partition, end in ends.items()):
            raise self._wrong_topic()

    def _wrong_topic(self) -> FatalError:
        named = self._config.full_name
        return FatalError(
            f"the windows of {self._analysis} go beyond the end of {named(self._topic)} in Kafka "
            f"at {self._config.servers}: they are another topic's; name another group in [kafka], "
            f"or delete the topic {named(WINDOWS)}, and they begin anew"
        )

    def _write(self, sender: RecordProducer, progress: Progress) -> dict[int, tuple[int, int]]:
        """Send the new part of the state within the open transaction.

        Returns:
            For each open window, by its start, how many posts and how many pieces are written.
        """
        windows = progress.windows or WindowState()
        written = dict(self._written)
        for start_ms, posts in windows.windows.items():
            post_count, pieces = written.get(start_ms, (0, 0))
            for piece in _pieces(posts, post_count):
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
                (partition, times.max_event_ms, times.active_ms)
                for partition, times in windows.partitions.items()
            ],
        )
        self._put(sender, _CLOCK, msgspec.json.encode(clock))
        return written

    def _put(self, sender: RecordProducer, name: str, value: bytes | None) -> None:
        """Send one record of the state; a value of ``None`` deletes the record of this name."""
        key = f"{self._group}/{name}"
        try:
            sender.producer.produce(self._config.full_name(WINDOWS), value, key, partition=0)
        except BufferError as error:
            raise RetriableError(
                f"Kafka at {self._config.servers} does not take the windows of {self._analysis} "
                "fast enough"
            ) from error


_CLOCK: Final = "clock"
"""The name of the record that holds positions and watermark. The pieces of a window are named
``{start_ms}/{number}``."""


def _pieces(posts: Mapping[str, Any], done: int, piece_bytes: int = PIECE_BYTES) -> Iterable[bytes]:
    """Return the posts after the first ``done``, encoded in pieces.

    Posts are only added to a window, at the end, so the pieces that are written stay valid. A piece
    is larger than ``piece_bytes`` only if its only post is (brackets and commas are not counted).
    """
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
    """Join JSON values into a JSON array."""
    return b"[" + b",".join(items) + b"]"


def _restored(state: Mapping[str, bytes]) -> tuple[Progress | None, dict[int, tuple[int, int]]]:
    """Decode the records of the state, by their names.

    Returns:
        The progress, ``None`` if there is none; and for each open window, by its start, how many
        posts and how many pieces are written.
    """
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
