"""The promises of an index: the one in a file keeps them, and a broken one is caught."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mastostream.ports.index import Document, Refusal
from mastostream.sinks.sqlite import SqliteIndex
from mastostream.testing.conformance.index import IndexConformance, IndexUnderTest


class TestSqliteIndex(IndexConformance):
    @pytest.fixture
    def index(self, tmp_path: Path) -> Iterator[IndexUnderTest]:
        path = tmp_path / "index.sqlite3"
        writer = SqliteIndex(path)

        def find(index_name: str, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
            connection = sqlite3.connect(path)
            rows = connection.execute(
                "SELECT id, body FROM documents WHERE index_name = ? AND deleted = 0", (index_name,)
            ).fetchall()
            connection.close()
            return {id_: json.loads(body) for id_, body in rows if id_ in ids}

        yield IndexUnderTest(writer=writer, find=find)
        writer.close()


class InMemory:
    """An index that can be told to break one promise."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.entries: dict[tuple[str, str], tuple[int, bool, dict[str, Any]]] = {}

    def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
        refusals = []
        for position, document in enumerate(documents):
            try:
                self._write(document)
            except ValueError as error:
                if self.broken != "silent":
                    place = 0 if self.broken == "position" else position
                    refusals.append(Refusal(place, str(error)))
        return refusals

    def _write(self, document: Document) -> None:
        if not document.id or document.version >= 2**63:
            raise ValueError("no id, or no such version")
        members = {} if document.body is None else json.loads(document.body)
        if not isinstance(members, dict):
            raise ValueError("no object")  # noqa: TRY004 - as JSON's errors
        gone = document.body is None
        name = "all" if self.broken == "mixed" else document.index_name
        known, known_gone, _ = self.entries.get((name, document.id), (-1, False, {}))
        if self.broken == "resurrecting" and known_gone:
            known, known_gone = -1, False
        same = (gone or not known_gone) if self.broken != "revived" else True
        same = same and self.broken != "first"
        if (
            document.version > known
            or self.broken == "last"
            or (document.version == known and same)
        ):
            self.entries[name, document.id] = (document.version, gone, members)

    def find(self, index_name: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        name = "all" if self.broken == "mixed" else index_name
        entries = {id_: self.entries.get((name, id_), (0, True, {})) for id_ in ids}
        return {id_: members for id_, (_, gone, members) in entries.items() if not gone}

    def close(self) -> None:
        pass


def failures(broken: str) -> Iterator[str]:
    """The tests that fail, beginning with those that try only one example."""
    names = [name for name in dir(IndexConformance) if name.startswith("test_")]
    for name in sorted(
        names, key=lambda each: hasattr(getattr(IndexConformance, each), "hypothesis")
    ):
        writer = InMemory(broken)
        try:
            getattr(IndexConformance(), name)(IndexUnderTest(writer=writer, find=writer.find))
        except (AssertionError, KeyError, ValueError):
            yield name


def test_an_index_that_keeps_the_promises_passes() -> None:
    assert not list(failures(""))


@pytest.mark.parametrize(
    "broken", ["last", "first", "revived", "resurrecting", "silent", "position", "mixed"]
)
def test_an_index_that_breaks_one_promise_is_caught(broken: str) -> None:
    assert next(failures(broken), None)
