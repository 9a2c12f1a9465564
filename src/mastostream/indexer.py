"""From the result topics to the index."""

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

READ: Final = 500
"""Records that are read at once of one topic. The results of a post then stand near each other, so
that an index that asks something of each post asks once."""

_KEEP_PLACES_S: Final = 5.0
"""How often readers keep their places while a write takes its time."""

_logger = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Batching:
    """How much is written at once.

    Attributes:
        records: at most so many,
        size_bytes: and no more are read once there are so many bytes.
        enough: where there are fewer records than this,
        wait_s: they wait so long for more.
    """

    records: int = 2_000
    size_bytes: int = 32 * 2**20
    enough: int = 1
    wait_s: float = 0.0


@attrs.frozen(kw_only=True)
class _Head:
    """What the index needs to know of a record: the members of every output, or a deletion's."""

    key: str | None = None
    observed_at: Timestamp | None = None
    mastostream: Stamp | None = None


_decode_head: Final = msgspec.json.Decoder(_Head).decode


@attrs.define
class IndexerStats:
    """What the indexer has done since it started.

    Attributes:
        documents: written.
        refused: records that can't be indexed; each is a dead letter.
        lost: records that the log had deleted before they were read.
    """

    documents: int = 0
    refused: int = 0
    lost: int = 0


@attrs.define
class _Batch:
    """Records that are written at once, as documents. It is the same however often it is tried.

    Attributes:
        documents: for the index.
        sources: the record of each document.
        refused: records that are no document, with the reason.
        ends: topic to the positions that hold once all is written.
        counts: topic to how many records it is.
        sizes: and how many bytes.
        letters: the dead letters, once the index has the rest: handed over as the same list again,
            the log knows which of them it has.
    """

    documents: list[Document] = attrs.field(factory=list)
    sources: list[Record] = attrs.field(factory=list)
    refused: list[tuple[Record, str]] = attrs.field(factory=list)
    ends: dict[str, dict[int, int]] = attrs.field(factory=dict)
    counts: Counter[str] = attrs.field(factory=Counter)
    sizes: Counter[str] = attrs.field(factory=Counter)
    letters: list[NewRecord] | None = None

    def __len__(self) -> int:
        return len(self.documents) + len(self.refused)

    def add(self, index_name: str, records: Sequence[Record]) -> None:
        ends = self.ends.setdefault(index_name, {})
        for record in records:
            document = document_of(index_name, record.value)
            if isinstance(document, str):
                self.refused.append((record, document))
            else:
                self.documents.append(document)
                self.sources.append(record)
            ends[record.partition] = record.offset + 1
            self.sizes[index_name] += len(record.value)
        self.counts[index_name] += len(records)


class Indexer:
    """Writes each result topic into the index of its name. A :class:`ports.stage.Stage`.

    Delivery: a batch may be written twice after a crash; the index keeps the newest version, so
    the outcome is the same. Positions are committed once the index has all before them. While a
    batch is on its way the next one is read.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of its own, by name
        self,
        readers: Mapping[str, LogReader],
        index: IndexWriter,
        dead_letters: LogWriter,
        *,
        clock: Clock,
        batching: Batching | None = None,
        keep_places_s: float = _KEEP_PLACES_S,
    ) -> None:
        """Read each of these topics.

        Args:
            readers: index name to the reader of its topic; all are closed with the indexer.
            index: where the documents go; closed as well.
            dead_letters: where records go that can't be indexed; closed as well.
            clock: the time of dead letters.
            batching: how much is written at once.
            keep_places_s: how often readers keep their places while a write takes its time, in
                seconds of the machine.
        """
        self.stats = IndexerStats()
        self._readers = dict(readers)
        self._index = index
        self._dead_letters = dead_letters
        self._clock = clock
        self._batching = batching or Batching()
        self._keep_places_s = keep_places_s
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._batch = _Batch()
        self._next = _Batch()
        self._ready = False
        self._written = False
        self._again = False

    @property
    def name(self) -> str:
        """``index``."""
        return "index"

    def step(self, timeout_s: float) -> int:
        """Index one batch of all topics; after a RetriableError the same batch is tried again."""
        if self._again:
            self._keep_places()
        try:
            return self._index_batch(timeout_s)
        except RetriableError:
            self._again = True
            raise

    def finish(self) -> None:
        """Nothing is left to do: each step ends with its commits."""

    def close(self) -> None:
        """Close readers, index and writer."""
        self._writer.shutdown()
        for reader in self._readers.values():
            reader.close()
        self._index.close()
        self._dead_letters.close()

    def _keep_places(self) -> None:
        for reader in self._readers.values():
            reader.read(0, 0.0)

    def _index_batch(self, timeout_s: float) -> int:
        if not self._ready:
            self._index.write(())
            self._ready = True
        if not self._batch:
            self._take(timeout_s)
            self._note_lost()
            self._batch, self._next = self._next, _Batch()
        done = len(self._batch)
        if done and not self._written:
            self._write()
            self._written = True
        for name in tuple(self._batch.ends):
            self._readers[name].commit(self._batch.ends[name])
            del self._batch.ends[name]
        self._batch = _Batch()
        self._written = self._again = False
        return done

    def _take(self, timeout_s: float) -> None:
        """Read what is there; where that is little, wait a moment for more."""
        self._read_all(0.0)
        if timeout_s <= 0:
            return
        if not self._next:
            self._read_all(timeout_s)
        until_s = self._clock.monotonic_s() + self._batching.wait_s
        while (
            0 < len(self._next) < self._batching.enough
            and (left_s := until_s - self._clock.monotonic_s()) > 0
        ):
            self._read_all(self._clock.real_s(left_s))

    def _read_all(self, timeout_s: float) -> None:
        """Read into the next batch, in turn, until it is full or there is no more."""
        batch = self._next
        share = max(1, self._batching.records // len(self._readers))
        share_bytes = self._batching.size_bytes // len(self._readers)
        wait_s = timeout_s / len(self._readers)
        going = dict(self._readers)
        while going:
            for name, reader in tuple(going.items()):
                room = share - batch.counts[name] if batch.sizes[name] < share_bytes else 0
                records = reader.read(min(READ, room), wait_s) if room > 0 else ()
                if records:
                    batch.add(name, records)
                else:
                    del going[name]
            wait_s = 0.0

    def _note_lost(self) -> None:
        lost = sum(reader.lost for reader in self._readers.values())
        if lost > self.stats.lost:
            _logger.warning(
                "%d results were deleted before they were indexed: the log's retention is shorter "
                "than the indexer was behind",
                lost - self.stats.lost,
            )
            self.stats.lost = lost

    def _write(self) -> None:
        """Write the batch, then what was refused into the log."""
        batch = self._batch
        if batch.letters is None:
            refused = self._index_documents(batch)
            batch.letters = [self._dead_letter(*pair) for pair in refused]
            self.stats.documents += len(batch) - len(refused)
            self.stats.refused += len(refused)
        if batch.letters:
            self._dead_letters.append(batch.letters)

    def _index_documents(self, batch: "_Batch") -> list[tuple[Record, str]]:
        """Index; while it is on its way, read the next batch. Return what was refused, and why."""
        writing = self._writer.submit(self._index.write, batch.documents)
        try:
            with suppress(RetriableError):  # the next step meets it again
                self._read_all(0.0)
            while wait((writing,), self._keep_places_s).not_done:
                with suppress(RetriableError):
                    self._keep_places()
        finally:
            wait((writing,))
        positions = writing.result()
        return [*batch.refused, *((batch.sources[each], reason) for each, reason in positions)]

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
    """Return the document that a record is, or why it is none."""
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
