"""The conformance suite for indices: our indices pass it, broken ones fail."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mastostream.exceptions import RetriableError
from mastostream.ports.index import Document, Refusal
from mastostream.sinks.sqlite import SqliteIndex
from mastostream.testing.conformance.index import IndexConformance, IndexUnderTest
from mastostream.testing.fakes import FakeIndex

from .weakness import Weakness, assert_all_are_tried, assert_found_out, name_of


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


class TestFakeIndex(IndexConformance):
    @pytest.fixture
    def index(self) -> IndexUnderTest:
        return under_test(FakeIndex())


def under_test(index: FakeIndex) -> IndexUnderTest:
    return IndexUnderTest(writer=index, find=index.find)


def that_lets_the_last_one_win() -> IndexUnderTest:
    class Weak(FakeIndex):
        def _replaces(self, entry: Any, before: Any) -> bool:
            return True

    return under_test(Weak())


def that_lets_the_first_of_a_version_win() -> IndexUnderTest:
    class Weak(FakeIndex):
        def _replaces(self, entry: Any, before: Any) -> bool:
            return bool(entry.version > before.version)

    return under_test(Weak())


def that_revives_with_the_same_version() -> IndexUnderTest:
    class Weak(FakeIndex):
        def _replaces(self, entry: Any, before: Any) -> bool:
            return bool(entry.version >= before.version)

    return under_test(Weak())


def that_takes_the_lowest_version_for_none() -> IndexUnderTest:
    class Weak(FakeIndex):
        def _store(self, document: Document) -> None:
            if document.version:
                super()._store(document)

    return under_test(Weak())


def that_forgets_deletions() -> IndexUnderTest:
    class Weak(FakeIndex):
        def _replaces(self, entry: Any, stored: Any) -> bool:
            return stored.members is None or super()._replaces(entry, stored)

    return under_test(Weak())


def that_deletes_only_what_is_there() -> IndexUnderTest:
    class Weak(FakeIndex):
        def _store(self, document: Document) -> None:
            entry_key = (document.index_name, document.id)
            if document.body is not None or entry_key in self._entries:
                super()._store(document)

    return under_test(Weak())


def that_is_silent_about_refusals() -> IndexUnderTest:
    class Weak(FakeIndex):
        def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
            super().write(documents)
            return []

    return under_test(Weak())


def that_names_another_one() -> IndexUnderTest:
    class Weak(FakeIndex):
        def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
            return [refusal._replace(position=0) for refusal in super().write(documents)]

    return under_test(Weak())


def that_writes_only_the_newest_of_a_batch() -> IndexUnderTest:
    class Weak(FakeIndex):
        def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
            newest = {document.id: place for place, document in enumerate(documents)}
            kept = [documents[place] for place in newest.values()]
            return [
                refusal._replace(position=documents.index(kept[refusal.position]))
                for refusal in super().write(kept)
            ]

    return under_test(Weak())


def that_strips_texts() -> IndexUnderTest:
    class Weak(FakeIndex):
        def find(self, index_name: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
            return {
                id_: {
                    name: value.strip() if isinstance(value, str) else value
                    for name, value in members.items()
                }
                for id_, members in super().find(index_name, ids).items()
            }

        def _members(self, document: Document) -> dict[str, Any] | None:
            members = super()._members(document)
            return members and members | {"content": members.get("content", "")[:20]}

    return under_test(Weak())


def that_mixes_indices() -> IndexUnderTest:
    class Weak(FakeIndex):
        def _store(self, document: Document) -> None:
            super()._store(document._replace(index_name="all"))

        def find(self, index_name: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
            return super().find("all", ids)

    return under_test(Weak())


def that_takes_no_more_than_a_thousand() -> IndexUnderTest:
    class Weak(FakeIndex):
        def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
            return super().write(documents[:1000])

    return under_test(Weak())


def that_closes_once() -> IndexUnderTest:
    class Weak(FakeIndex):
        def close(self) -> None:
            assert not self.closed
            super().close()

    return under_test(Weak())


def that_names_all_indices_alike() -> IndexUnderTest:
    class Weak(FakeIndex):
        def identity(self, index_name: str) -> str:
            return "same"

    return under_test(Weak())


def that_changes_its_name() -> IndexUnderTest:
    class Weak(FakeIndex):
        def identity(self, index_name: str) -> str:
            return f"{super().identity(index_name)}{len(self.written)}"

    return under_test(Weak())


WEAK = [
    Weakness("what_an_index_holds_has_a_name_of_its_own", that_names_all_indices_alike),
    Weakness("what_an_index_holds_has_a_name_of_its_own", that_changes_its_name),
    Weakness("the_newest_version_wins", that_lets_the_last_one_win),
    Weakness("a_document_of_the_same_version_replaces", that_lets_the_first_of_a_version_win),
    Weakness(
        "what_is_deleted_stays_deleted_until_something_newer_comes",
        that_revives_with_the_same_version,
    ),
    Weakness("what_is_deleted_stays_deleted_until_something_newer_comes", that_forgets_deletions),
    Weakness("a_deletion_counts_for_what_has_not_come_yet", that_deletes_only_what_is_there),
    Weakness("an_old_deletion_deletes_nothing_newer", that_lets_the_last_one_win),
    Weakness("order_batches_and_replays_do_not_matter", that_lets_the_last_one_win),
    Weakness("order_batches_and_replays_do_not_matter", that_forgets_deletions),
    Weakness("order_batches_and_replays_do_not_matter", that_takes_the_lowest_version_for_none),
    Weakness(
        "what_can_never_be_stored_is_named_and_the_rest_goes_on", that_is_silent_about_refusals
    ),
    Weakness("what_can_never_be_stored_is_named_and_the_rest_goes_on", that_names_another_one),
    Weakness("a_good_version_before_a_bad_one_is_stored", that_writes_only_the_newest_of_a_batch),
    Weakness("a_document_comes_back_as_it_was", that_strips_texts),
    Weakness("indices_do_not_mix", that_mixes_indices),
    Weakness("many_at_once", that_takes_no_more_than_a_thousand),
    Weakness("nothing_can_be_written_and_closing_twice_is_harmless", that_closes_once),
]


@pytest.mark.parametrize("weakness", WEAK, ids=name_of)
def test_an_index_that_breaks_a_promise_is_found_out(weakness: Weakness) -> None:
    assert_found_out(IndexConformance, weakness)


def test_every_promise_is_watched() -> None:
    assert_all_are_tried(IndexConformance, WEAK)


def test_a_write_that_fails_has_stored_nothing_or_all() -> None:
    index = FakeIndex()
    document = Document("i", "a", 1, b"{}")
    index.failures.add("write", RetriableError("not now"))
    index.failures.add("write", RetriableError("no answer"), after=True)
    for stored in ({}, {"a": {}}):
        with pytest.raises(RetriableError):
            index.write([document])
        assert index.documents("i") == stored


def test_a_test_may_refuse_documents() -> None:
    index = FakeIndex()
    index.refused["b"] = "too strange"
    documents = [Document("i", id_, 1, b"{}") for id_ in "abc"]
    assert index.write(documents) == [Refusal(1, "too strange")]
    assert index.documents("i") == {"a": {}, "c": {}}
    assert index.written == [documents]
