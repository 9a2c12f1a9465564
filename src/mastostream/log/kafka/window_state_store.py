"""The log in Kafka for the engine of a windowed analysis, with what is known of its posts.

One process works, the others stand by. A compacted topic is the state store: it has one record for
each post, one for each window that has to be written, and one with the positions. Outputs and what
has changed are written in one transaction. A process that takes over reads the topic into a
temporary file, and the transactional id; from then on Kafka refuses all writes of the former leader
(fencing).
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka import KafkaException

from mastostream.core.windows import WindowSpec, decode_state, windows_of
from mastostream.database import transaction
from mastostream.database import translated as sqlite_translated
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
from mastostream.log.window_tables import SCHEMA, WindowTables
from mastostream.ports.log import Commit, Positions, Progress, Record, WindowChanges

__all__ = ["WINDOWS", "KafkaWindowLog"]

WINDOWS: Final = "mastostream-windows"
"""The topic with the state of all windowed analyses."""

_TRANSACTION_MS: Final = 20_000
"""The time-out of a transaction. The open transaction of a process that was killed blocks readers,
and other analyses that start, for so long. Kafka needs up to 10 s more to abort it, and a read to
the end of a topic waits for 30 s."""


_POSITIONS: Final = "positions"
_POST: Final = "post/"
_WINDOW: Final = "window/"
"""The names of the records of an analysis. The key of the post, or the start of the window in
milliseconds since the epoch, follows."""

_LOAD: Final = 1_000
"""How many records of the state are taken over at a time."""

_decode_positions: Final = msgspec.json.Decoder(dict[int, int]).decode
_decode_post: Final = msgspec.json.Decoder(tuple[int, msgspec.Raw]).decode


class KafkaWindowLog:
    """A :class:`ports.log.EngineLog` on Kafka for one windowed analysis, used by one thread.

    Delivery is exactly once: outputs, positions and windows are written in one transaction. One of
    several processes reads all partitions; the others stand by and read nothing.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of the user, given by name
        self,
        config: KafkaClientConfig,
        *,
        topic: str,
        analysis: str,
        spec: WindowSpec,
        join_s: float = JOIN_S,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """Store the configuration; the first read joins the leader election.

        Args:
            config: the Kafka to use.
            topic: the input topic.
            analysis: the name of the analysis.
            spec: the rules of its windows.
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
        self._spec = spec
        self._positions: Positions | None = None
        self._unknown: set[str] = set()
        self._connection = _temporary_tables()

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def lost(self) -> int:
        return self._lost + (self._input.lost if self._input else 0)

    def restore(self, analyses: Sequence[str]) -> Mapping[str, Progress]:
        if self._positions is None or self._analysis not in analyses:
            return {}
        return {self._analysis: Progress(positions=self._positions)}

    def windows(self, analysis: str) -> WindowTables:
        return WindowTables(
            self._connection, analysis, partial(sqlite_translated, Path("a temporary file"))
        )

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
            if progress is not None:
                self._write(sender, progress)
            sender.producer.commit_transaction(CALL_TIMEOUT_S)
        except KafkaException as error:
            # It may have been committed all the same: the next leader reads that from the topic.
            problem = sender.transaction_error(error)
            self._step_down()
            raise problem from error
        except BaseException:
            self._step_down()
            raise
        self._unknown.clear()
        if progress is not None and progress.windows is not None:
            self._change(progress.windows)

    def close(self) -> None:
        self._step_down()
        self._connection.close()
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
        self._positions = None
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
        """Read the state of this analysis from its topic, into new tables."""
        self._connection.close()
        self._connection = _temporary_tables()
        self._positions = None
        self._unknown.clear()
        partitions = PartitionReader(self._config, WINDOWS, f"{self._group}-state")
        prefix = f"{self._group}/"
        try:
            with translated(self._config):
                partitions.consumer.assign(partitions.take([0], {0: 0}))
            # Other analyses write to this topic too. Records of this analysis may stand behind
            # their open transactions, so these have to end first.
            while records := partitions.read_to_end(_LOAD, include_open=True):
                self._take(
                    {
                        record.key.removeprefix(prefix): record.value
                        for record in records
                        if record.key is not None and record.key.startswith(prefix)
                    }
                )
        finally:
            partitions.close()

    def _take(self, state: Mapping[str, bytes]) -> None:
        """Take over records of the state by their names; those without a value are deleted."""
        posts: dict[str, tuple[bytes, int] | None] = {}
        members: dict[tuple[int, str], bool] = {}
        windows: dict[int, bool | None] = {}
        for name, value in state.items():
            if name == _POSITIONS:
                self._positions = _decode_positions(value) if value else None
            elif name.startswith(_WINDOW):
                windows[int(name.removeprefix(_WINDOW))] = value == b"1" if value else None
            elif name.startswith(_POST):
                key = name.removeprefix(_POST)
                posts[key] = None
                if value:
                    changed_ms, known = _decode_post(value)
                    posts[key] = bytes(known), changed_ms
                    for start in windows_of(self._spec, decode_state(bytes(known))):
                        members[start, key] = True
            elif value:
                self._unknown.add(name)
            else:
                self._unknown.discard(name)
        forgotten = [key for key, known in posts.items() if known is None]
        for key, data in self.windows(self._analysis).posts(forgotten).items():
            for start in windows_of(self._spec, decode_state(data)):
                members[start, key] = False
        self._change(WindowChanges(posts=posts, members=members, windows=windows))

    def _change(self, changes: WindowChanges) -> None:
        with transaction(self._connection):
            self.windows(self._analysis).change(changes)

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

    def _write(self, sender: RecordProducer, progress: Progress) -> None:
        """Send what has changed within the open transaction."""
        changes = progress.windows or WindowChanges()
        for key, known in changes.posts.items():
            value = None
            if known is not None:
                value = msgspec.json.encode((known[1], msgspec.Raw(known[0])))
            self._put(sender, f"{_POST}{key}", value)
        for start, note in changes.windows.items():
            self._put(sender, f"{_WINDOW}{start}", None if note is None else b"%d" % note)
        self._put(sender, _POSITIONS, msgspec.json.encode(progress.positions))
        # Other versions of this program kept their windows in another form.
        for name in self._unknown:
            self._put(sender, name, None)

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


def _temporary_tables() -> sqlite3.Connection:
    """Return a database in a temporary file, which is deleted when it is closed."""
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    connection.executescript(SCHEMA)
    return connection
