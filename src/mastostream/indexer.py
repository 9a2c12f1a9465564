"""The indexer stage: writes the records of the result topics into the index."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import attrs
import msgspec

from mastostream.core.dead_letters import DeadLetter, dead_letter_headers
from mastostream.core.models import Stamp, Timestamp
from mastostream.core.time import to_ms
from mastostream.core.topic_names import DEAD_LETTERS
from mastostream.exceptions import RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.index import Document, IndexWriter
from mastostream.ports.log import LogReader, LogWriter, NewRecord, Record

__all__ = ["Batching", "Indexer", "IndexerStats", "document_of"]

READ_RECORDS: Final = 500
"""The most records of one topic per read. The topics are read in turn, in such small portions, so
that the results of one post stand near each other in a batch: an index that needs a lookup for each
post then makes one lookup for all of them."""

_POLL_INTERVAL_S: Final = 5.0
"""Seconds between two polls of the readers during a slow write. A reader that does not poll loses
its place in its consumer group."""

_logger = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Batching:
    """How many records one write to the index holds. Each topic has an equal share of a batch.

    Attributes:
        records: the largest number of records in a batch.
        size_bytes: no more records of a topic are read once those in the batch fill the topic's
            share of this many bytes. The last read may go beyond the share.
        enough: a batch with at least this many records is written without waiting for more.
        wait_s: how long a smaller batch waits for more records, in seconds of the clock.
    """

    records: int = 2_000
    size_bytes: int = 32 * 2**20
    enough: int = 1
    wait_s: float = 0.0


@attrs.frozen(kw_only=True)
class _Head:
    """The members of a record that the indexer reads.

    Attributes:
        key: the document's id; every output carries it.
        observed_at: the document's version; every output carries it.
        mastostream: the stamp of a deletion, which carries its own key and time.
    """

    key: str | None = None
    observed_at: Timestamp | None = None
    mastostream: Stamp | None = None


_decode_head: Final = msgspec.json.Decoder(_Head).decode


@attrs.define
class IndexerStats:
    """Counters since the indexer started.

    Attributes:
        documents: documents that were written.
        refused: records that cannot be indexed; each became a dead letter.
        lost: records that the log had deleted before they were read.
    """

    documents: int = 0
    refused: int = 0
    lost: int = 0


@attrs.define
class _Batch:
    """The records of one write, as documents. A retry writes the same batch again.

    Attributes:
        documents: the documents for the index.
        sources: the record of each document, in the same order.
        refused: records that are not documents, each with the reason.
        positions: topic to the positions to commit once the batch is written.
        counts: topic to its number of records in the batch.
        size_bytes: topic to the bytes of its records in the batch.
        dead_letters: made once the index has the documents, ``None`` before. A retry appends the
            same list object again, by which the log knows the records that it already has.
    """

    documents: list[Document] = attrs.field(factory=list)
    sources: list[Record] = attrs.field(factory=list)
    refused: list[tuple[Record, str]] = attrs.field(factory=list)
    positions: dict[str, dict[int, int]] = attrs.field(factory=dict)
    counts: Counter[str] = attrs.field(factory=Counter)
    size_bytes: Counter[str] = attrs.field(factory=Counter)
    dead_letters: list[NewRecord] | None = None

    def __len__(self) -> int:
        return len(self.documents) + len(self.refused)

    def add(self, index_name: str, records: Sequence[Record]) -> None:
        """Add records of the topic that has this index's name."""
        positions = self.positions.setdefault(index_name, {})
        for record in records:
            document = document_of(index_name, record.value)
            if isinstance(document, str):
                self.refused.append((record, document))
            else:
                self.documents.append(document)
                self.sources.append(record)
            positions[record.partition] = record.offset + 1
            self.size_bytes[index_name] += len(record.value)
        self.counts[index_name] += len(records)


class Indexer:
    """Writes each result topic into the index of the same name. A :class:`ports.stage.Stage`.

    Delivery: at least once, as upserts. A batch may be written twice after a crash; the index keeps
    the newest version of each document, so the outcome is the same. Positions are committed only
    after the index has stored all records before them. While one batch is being written, the next
    one is read.
    """

    def __init__(  # noqa: PLR0913 - independent options, passed by name
        self,
        readers: Mapping[str, LogReader],
        index: IndexWriter,
        dead_letters: LogWriter,
        *,
        clock: Clock,
        batching: Batching | None = None,
        keep_places_s: float = _POLL_INTERVAL_S,
    ) -> None:
        """Keep the arguments and start the thread that writes. The first :meth:`step` reads.

        Args:
            readers: index name to the reader of its topic; :meth:`close` closes all of them.
            index: stores the documents; :meth:`close` closes it.
            dead_letters: takes the records that cannot be indexed; :meth:`close` closes it.
            clock: gives the time of dead letters, and measures ``batching.wait_s``.
            batching: how many records one write holds.
            keep_places_s: seconds between two polls of the readers during a slow write, which keep
                their places in the consumer group; measured in real time, not by ``clock``.
        """
        self.stats = IndexerStats()
        self._readers = dict(readers)
        self._index = index
        self._dead_letters = dead_letters
        self._clock = clock
        self._batching = batching or Batching()
        self._poll_interval_s = keep_places_s
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._batch = _Batch()
        self._next_batch = _Batch()
        self._ready = False
        self._written = False
        self._is_retry = False

    @property
    def name(self) -> str:
        """The name of the stage: ``index``."""
        return "index"

    def step(self, timeout_s: float) -> int:
        """Index one batch of all topics and return its number of records.

        Raises:
            RetriableError: not now; the next call retries the same batch.
            ConfigurationError, FatalError: the index or the log cannot be used.
        """
        if self._is_retry:
            self._poll_readers()
        try:
            return self._index_batch(timeout_s)
        except RetriableError:
            self._is_retry = True
            raise

    def finish(self) -> None:
        """Do nothing: each step has committed what it has written."""

    def close(self) -> None:
        """Close the readers, the index and the writer of dead letters."""
        self._writer.shutdown()
        for reader in self._readers.values():
            reader.close()
        self._index.close()
        self._dead_letters.close()

    def _poll_readers(self) -> None:
        """Keep the readers' places in their consumer group; this reads no record."""
        for reader in self._readers.values():
            reader.read(0, 0.0)

    def _index_batch(self, timeout_s: float) -> int:
        if not self._ready:
            self._index.write(())
            self._ready = True
        if not self._batch:
            self._fill_next_batch(timeout_s)
            self._warn_of_lost()
            self._batch, self._next_batch = self._next_batch, _Batch()
        count = len(self._batch)
        if count and not self._written:
            self._write()
            self._written = True
        for name in tuple(self._batch.positions):
            self._readers[name].commit(self._batch.positions[name])
            del self._batch.positions[name]
        self._batch = _Batch()
        self._written = self._is_retry = False
        return count

    def _fill_next_batch(self, timeout_s: float) -> None:
        """Read the records that are available; if they are few, wait a moment for more."""
        self._read_all(0.0)
        if timeout_s <= 0:
            return
        if not self._next_batch:
            self._read_all(timeout_s)
        until_s = self._clock.monotonic_s() + self._batching.wait_s
        while (
            0 < len(self._next_batch) < self._batching.enough
            and (left_s := until_s - self._clock.monotonic_s()) > 0
        ):
            self._read_all(self._clock.real_s(left_s))

    def _read_all(self, timeout_s: float) -> None:
        """Read the topics in turn into the next batch, until it is full or no more records come."""
        batch = self._next_batch
        share = max(1, self._batching.records // len(self._readers))
        share_bytes = self._batching.size_bytes // len(self._readers)
        wait_s = timeout_s / len(self._readers)
        unfinished = dict(self._readers)
        while unfinished:
            for name, reader in tuple(unfinished.items()):
                room = share - batch.counts[name] if batch.size_bytes[name] < share_bytes else 0
                records = reader.read(min(READ_RECORDS, room), wait_s) if room > 0 else ()
                if records:
                    batch.add(name, records)
                else:
                    del unfinished[name]
            wait_s = 0.0

    def _warn_of_lost(self) -> None:
        lost = sum(reader.lost for reader in self._readers.values())
        if lost > self.stats.lost:
            _logger.warning(
                "%d results were deleted before they were indexed: the log's retention is shorter "
                "than the indexer was behind",
                lost - self.stats.lost,
            )
            self.stats.lost = lost

    def _write(self) -> None:
        """Write the batch to the index, and then its refused records to the dead letters."""
        batch = self._batch
        if batch.dead_letters is None:
            refused = self._index_documents(batch)
            batch.dead_letters = [self._dead_letter(record, reason) for record, reason in refused]
            self.stats.documents += len(batch) - len(refused)
            self.stats.refused += len(refused)
        if batch.dead_letters:
            self._dead_letters.append(batch.dead_letters)

    def _index_documents(self, batch: "_Batch") -> list[tuple[Record, str]]:
        """Write the documents, and read the next batch meanwhile.

        Returns the refused records, each with the reason.
        """
        writing = self._writer.submit(self._index.write, batch.documents)
        try:
            with suppress(RetriableError):  # the next step reads again, and raises it
                self._read_all(0.0)
            while wait((writing,), self._poll_interval_s).not_done:
                with suppress(RetriableError):
                    self._poll_readers()
        finally:
            wait((writing,))
        refusals = writing.result()
        return [
            *batch.refused,
            *((batch.sources[refusal.position], refusal.reason) for refusal in refusals),
        ]

    def _dead_letter(self, record: Record, reason: str) -> NewRecord:
        letter = DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            stage="index",
            reasons=(reason,),
            time=datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC),
            raw=record.value,
        )
        return NewRecord(DEAD_LETTERS, letter.origin, letter.raw, dead_letter_headers(letter))


def document_of(index_name: str, value: bytes) -> Document | str:
    """Return a record's value as a document, or the reason why it is not one.

    A record with the stamp of a deletion becomes a document without a body.

    Args:
        index_name: the index of the document: the name of the record's topic.
        value: the record's value: a JSON object with the members of an output or of a deletion.
    """
    try:
        head = _decode_head(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        return f"no JSON object of an output: {error}"
    stamp = head.mastostream
    if stamp is not None and stamp.event == "delete":
        return Document(index_name, stamp.key, to_ms(stamp.observed_at), None)
    if not head.key or head.observed_at is None:
        return "an output carries the members key and observed_at"
    return Document(index_name, head.key, to_ms(head.observed_at), value)
