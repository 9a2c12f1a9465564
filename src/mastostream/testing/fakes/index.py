"""An in-memory fake of an index."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import uuid4

import msgspec

from mastostream.ports.index import Document, Refusal
from mastostream.testing.fakes.failures import Failures

__all__ = ["FakeIndex"]

_MAX_VERSION: Final = 2**63 - 1


class _Entry(NamedTuple):
    """The newest version of a document; ``members`` is ``None`` if it is deleted."""

    version: int
    members: dict[str, Any] | None


class FakeIndex:
    """A fake :class:`mastostream.ports.index.IndexWriter` whose documents a test can read.

    Attributes:
        failures: the failures of ``write``. A ``write`` that fails after its work has stored the
            whole batch.
        refused: reasons by document id. Documents with these ids are refused, in addition to those
            that no index accepts.
        written: the batches that were written, in order, including empty and repeated ones.
        closed: whether the index was closed.
    """

    def __init__(self) -> None:
        self.failures = Failures("write")
        self.refused: dict[str, str] = {}
        self.written: list[Sequence[Document]] = []
        self.closed = False
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._identity = uuid4().hex[:12]

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

    def identity(self, index_name: str) -> str:
        return f"{self._identity}{index_name.encode().hex()}"

    def close(self) -> None:
        self.closed = True

    def find(self, index_name: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return those of these documents that exist now, decoded, by their ids."""
        documents = self.documents(index_name)
        return {id_: documents[id_] for id_ in ids if id_ in documents}

    def documents(self, index_name: str) -> dict[str, dict[str, Any]]:
        """Return all documents of an index that exist now, decoded, by their ids."""
        return {
            id_: entry.members
            for (name, id_), entry in self._entries.items()
            if name == index_name and entry.members is not None
        }

    def _store(self, document: Document) -> None:
        entry = _Entry(document.version, self._members(document))
        entry_key = (document.index_name, document.id)
        stored = self._entries.get(entry_key)
        if stored is None or self._replaces(entry, stored):
            self._entries[entry_key] = entry

    def _members(self, document: Document) -> dict[str, Any] | None:
        """Decode a document; ``None`` for a deletion.

        Raises:
            ValueError, msgspec.MsgspecError, RecursionError: the index can never store it.
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

    def _replaces(self, entry: _Entry, stored: _Entry) -> bool:
        """Whether the new version wins. If both are equal, a deletion wins, or else the later."""
        if entry.version == stored.version:
            return entry.members is None or stored.members is not None
        return entry.version > stored.version
