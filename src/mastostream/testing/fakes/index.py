"""An index in memory."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from mastostream.ports.index import Document, Refusal
from mastostream.testing.fakes.failures import Failures

__all__ = ["FakeIndex"]

_MAX_VERSION: Final = 2**63 - 1


class _Entry(NamedTuple):
    version: int
    members: dict[str, Any] | None


class FakeIndex:
    """A :class:`mastostream.ports.index.IndexWriter` that tests look into.

    Attributes:
        failures: of ``write``. One that fails after its work has stored the whole batch.
        refused: id to the reason why its documents are refused, besides those that no index takes.
        written: the batches that were taken, in their order, empty ones and repeats among them.
        closed: whether it was closed.
    """

    def __init__(self) -> None:
        self.failures = Failures("write")
        self.refused: dict[str, str] = {}
        self.written: list[Sequence[Document]] = []
        self.closed = False
        self._entries: dict[tuple[str, str], _Entry] = {}

    def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
        refusals = []
        with self.failures.around("write"):
            self.written.append(documents)
            for position, document in enumerate(documents):
                try:
                    self._store(document)
                except (ValueError, msgspec.MsgspecError, RecursionError) as error:
                    refusals.append(Refusal(position, str(error)))
        return refusals

    def close(self) -> None:
        self.closed = True

    def find(self, index_name: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return those of these documents that are there now, decoded, by their ids."""
        there = self.documents(index_name)
        return {id_: there[id_] for id_ in ids if id_ in there}

    def documents(self, index_name: str) -> dict[str, dict[str, Any]]:
        """Return all documents of an index that are there now, decoded, by their ids."""
        return {
            id_: entry.members
            for (name, id_), entry in self._entries.items()
            if name == index_name and entry.members is not None
        }

    def _store(self, document: Document) -> None:
        entry = _Entry(document.version, self._members(document))
        place = (document.index_name, document.id)
        before = self._entries.get(place)
        if before is None or self._replaces(entry, before):
            self._entries[place] = entry

    def _members(self, document: Document) -> dict[str, Any] | None:
        """Decode a document.

        Raises:
            ValueError, msgspec.MsgspecError, RecursionError: the index can never take it.
        """
        if document.id in self.refused:
            raise ValueError(self.refused[document.id])
        if not document.id:
            raise ValueError("a document needs an id")
        if abs(document.version) > _MAX_VERSION:
            raise ValueError(f"the version {document.version} is no 64-bit number")
        if document.body is None:
            return None
        return msgspec.json.decode(document.body, type=dict[str, Any])

    def _replaces(self, entry: _Entry, before: _Entry) -> bool:
        if entry.version == before.version:
            return entry.members is None or before.members is not None
        return entry.version > before.version
