"""From the result topics to the index."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import attrs
import msgspec

from mastostream.core.dead_letters import DeadLetter, dead_letter_headers
from mastostream.core.metrics import to_ms
from mastostream.core.models import Stamp, Timestamp
from mastostream.core.topics import DEAD_LETTERS
from mastostream.ports.clock import Clock
from mastostream.ports.index import Document, IndexWriter
from mastostream.ports.log import LogReader, LogWriter, NewRecord, Record

__all__ = ["Indexer", "IndexerStats", "document_of"]

BATCH: Final = 1_000
_logger = logging.getLogger(__name__)


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


class Indexer:
    """Writes each result topic into the index of its name. A :class:`ports.stage.Stage`.

    Delivery: a batch may be written twice after a crash; the index keeps the newest version, so
    the outcome is the same. Positions are committed once the index has all before them.
    """

    def __init__(
        self,
        readers: Mapping[str, LogReader],
        index: IndexWriter,
        dead_letters: LogWriter,
        *,
        clock: Clock,
    ) -> None:
        """Read each of these topics.

        Args:
            readers: index name to the reader of its topic; all are closed with the indexer.
            index: where the documents go; closed as well.
            dead_letters: where records go that can't be indexed; closed as well.
            clock: the time of dead letters.
        """
        self.stats = IndexerStats()
        self._readers = dict(readers)
        self._index = index
        self._dead_letters = dead_letters
        self._clock = clock
        self._unwritten: dict[str, Sequence[Record]] = {}

    @property
    def name(self) -> str:
        """``index``."""
        return "index"

    def step(self, timeout_s: float) -> int:
        """Index one batch of each topic; after a RetriableError the same batch is tried again."""
        done = 0
        for index_name, reader in self._readers.items():
            records = self._unwritten.get(index_name) or reader.read(
                BATCH, timeout_s / len(self._readers)
            )
            self._unwritten[index_name] = records
            self._note_lost()
            if records:
                self._write(index_name, records)
                reader.commit({record.partition: record.offset + 1 for record in records})
                done += len(records)
            self._unwritten[index_name] = ()
        return done

    def finish(self) -> None:
        """Nothing is left to do: each step ends with its commit."""

    def close(self) -> None:
        """Close readers, index and writer."""
        for reader in self._readers.values():
            reader.close()
        self._index.close()
        self._dead_letters.close()

    def _note_lost(self) -> None:
        lost = sum(reader.lost for reader in self._readers.values())
        if lost > self.stats.lost:
            _logger.warning(
                "%d results were deleted before they were indexed: the log's retention is shorter "
                "than the indexer was behind",
                lost - self.stats.lost,
            )
            self.stats.lost = lost

    def _write(self, index_name: str, records: Sequence[Record]) -> None:
        documents: list[Document] = []
        sources: list[Record] = []
        refused: list[tuple[Record, str]] = []
        for record in records:
            document = document_of(index_name, record.value)
            if isinstance(document, str):
                refused.append((record, document))
            else:
                documents.append(document)
                sources.append(record)
        refusals = self._index.write(documents)
        refused.extend((sources[refusal.position], refusal.reason) for refusal in refusals)
        if refused:
            self._dead_letters.append([self._dead_letter(*pair) for pair in refused])
        self.stats.documents += len(records) - len(refused)
        self.stats.refused += len(refused)

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
