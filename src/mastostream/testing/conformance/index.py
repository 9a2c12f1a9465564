"""Conformance suite for index writers, as a test class for pytest.

Subclass it and provide its fixture::

    class TestMyIndex(IndexConformance):
        @pytest.fixture
        def index(self, tmp_path: Path) -> Iterator[IndexUnderTest]:
            writer = MyIndex(tmp_path)
            yield IndexUnderTest(writer=writer, find=...)
            writer.close()

The index may hold other documents: the suite uses new ids only.
"""

import itertools
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream.core.codec import encode
from mastostream.core.engagement import engagement_record
from mastostream.core.hashtags import hashtag_record
from mastostream.core.models import Account, Post, Stamp, Tag
from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS
from mastostream.ports.index import Document, IndexWriter

__all__ = ["IndexConformance", "IndexUnderTest", "new_id"]

_TIME: Final = datetime(2024, 1, 1, 12, tzinfo=UTC)
_DIFFICULT_TEXT: Final = '</script>\u0000\u2028\n"\\ \U0001f4a5 \u202e{"index":{}}'
_CHANGES: Final = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.booleans()), max_size=20
)
"""Changes of three documents: the name, the version, and whether it is a deletion."""

_CUTS: Final = st.lists(st.integers(0, 20), max_size=3)
"""Positions at which the changes are divided into batches."""


@attrs.frozen(kw_only=True)
class IndexUnderTest:
    """The index that the suite tests, and a way to read it.

    Attributes:
        writer: the adapter under test.
        find: ``(index name, ids) -> id to document``: returns those of the documents that exist
            now, decoded.
    """

    writer: IndexWriter
    find: Callable[[str, Sequence[str]], Mapping[str, Mapping[str, Any]]]


def new_id() -> str:
    """Return a document id that no index holds yet."""
    return uuid.uuid4().hex


def _post(id_: str, mark: int, content: str = "") -> Post:
    return Post(
        id="1",
        created_at=_TIME,
        account=Account(acct="a"),
        favourites_count=mark,
        content=content,
        tags=(Tag(name="news"),),
        mastostream=Stamp(key=id_, observed_at=_TIME),
    )


def _document(id_: str, version: int, mark: int = 0, content: str = "") -> Document:
    body = encode(engagement_record(_post(id_, mark, content)))
    return Document(ENGAGEMENT, id_, version, body)


def _deletion(id_: str, version: int) -> Document:
    return Document(ENGAGEMENT, id_, version, None)


def _marks(index: IndexUnderTest, *ids: str) -> dict[str, int]:
    """Return the marks of those documents that exist. A mark tells versions of a document apart."""
    documents = index.find(ENGAGEMENT, ids)
    return {id_: document["favourites_count"] for id_, document in documents.items()}


class IndexConformance:
    """Tests :class:`mastostream.ports.index.IndexWriter`. Needs the fixture ``index``."""

    def test_what_an_index_holds_has_a_name_of_its_own(self, index: IndexUnderTest) -> None:
        names = [index.writer.identity(name) for name in (ENGAGEMENT, HASHTAGS)]
        assert len(set(names)) == 2
        assert all(name.isalnum() and name == name.lower() and name.isascii() for name in names)
        index.writer.write([_document(new_id(), 1)])
        assert [index.writer.identity(name) for name in (ENGAGEMENT, HASHTAGS)] == names

    def test_the_newest_version_wins(self, index: IndexUnderTest) -> None:
        id_ = new_id()
        for version, expected in ((20, 20), (10, 20), (30, 30), (29, 30)):
            assert not index.writer.write([_document(id_, version, mark=version)])
            assert _marks(index, id_) == {id_: expected}

    def test_a_document_of_the_same_version_replaces(self, index: IndexUnderTest) -> None:
        first, second = new_id(), new_id()
        index.writer.write([_document(first, 5, mark=1)])
        index.writer.write(
            [
                _document(first, 5, mark=2),
                _document(second, 5, mark=3),
                _document(second, 5, mark=4),
            ]
        )
        assert _marks(index, first, second) == {first: 2, second: 4}

    def test_what_is_deleted_stays_deleted_until_something_newer_comes(
        self, index: IndexUnderTest
    ) -> None:
        id_ = new_id()
        index.writer.write([_document(id_, 10)])
        index.writer.write([_deletion(id_, 20)])
        assert not _marks(index, id_)
        for version in (10, 19, 20):
            assert not index.writer.write([_document(id_, version)])
            assert not _marks(index, id_)
        index.writer.write([_document(id_, 21, mark=21)])
        assert _marks(index, id_) == {id_: 21}

    def test_a_deletion_counts_for_what_has_not_come_yet(self, index: IndexUnderTest) -> None:
        id_ = new_id()
        assert not index.writer.write([_deletion(id_, 20)])
        index.writer.write([_document(id_, 20)])
        assert not _marks(index, id_)

    def test_an_old_deletion_deletes_nothing_newer(self, index: IndexUnderTest) -> None:
        id_ = new_id()
        index.writer.write([_document(id_, 10, mark=10)])
        assert not index.writer.write([_deletion(id_, 9)])
        assert _marks(index, id_) == {id_: 10}

    def test_order_batches_and_replays_do_not_matter(self, index: IndexUnderTest) -> None:
        @settings(max_examples=30, deadline=None, database=None, report_multiple_bugs=False)
        @given(_CHANGES, _CUTS)
        def check(changes: list[tuple[str, int, bool]], cuts: list[int]) -> None:
            prefix = new_id()
            documents = [
                _deletion(prefix + name, version)
                if deleted
                else _document(prefix + name, version, mark=version)
                for name, version, deleted in changes
            ]
            newest: dict[str, tuple[int, bool]] = {}
            for name, version, deleted in changes:
                newest[name] = max(newest.get(name, (-1, False)), (version, deleted))
            expected = {
                prefix + name: version for name, (version, deleted) in newest.items() if not deleted
            }
            ids = [prefix + name for name in "abc"]
            for start, end in itertools.pairwise([0, *sorted(cuts), len(documents)]):
                assert not index.writer.write(documents[start:end])
            assert _marks(index, *ids) == expected
            assert not index.writer.write(documents[::-1])
            assert _marks(index, *ids) == expected

        check()

    def test_what_can_never_be_stored_is_named_and_the_rest_goes_on(
        self, index: IndexUnderTest
    ) -> None:
        first, last = new_id(), new_id()
        bad = (
            Document(ENGAGEMENT, "", 1, b'{"key":"x"}'),
            Document(ENGAGEMENT, new_id(), 2**63, b'{"key":"x"}'),
            Document(ENGAGEMENT, new_id(), 1, b"[]"),
            Document(ENGAGEMENT, new_id(), 1, b'{"key":"x'),
            Document(ENGAGEMENT, new_id(), 1, b'{"key":"x"}\n{"key":"y"}'),
        )
        refusals = index.writer.write([_document(first, 1), *bad, _document(last, 1)])
        assert [refusal.position for refusal in refusals] == [1, 2, 3, 4, 5]
        assert all(refusal.reason for refusal in refusals)
        assert set(_marks(index, first, last)) == {first, last}
        assert not index.find(ENGAGEMENT, [document.id for document in bad if document.id])

    def test_a_good_version_before_a_bad_one_is_stored(self, index: IndexUnderTest) -> None:
        id_ = new_id()
        (refusal,) = index.writer.write([_document(id_, 1), Document(ENGAGEMENT, id_, 2, b'{"k')])
        assert refusal.position == 1
        assert id_ in _marks(index, id_)

    def test_a_document_comes_back_as_it_was(self, index: IndexUnderTest) -> None:
        plain, spaced = new_id(), new_id()
        document = _document(plain, 1, content=_DIFFICULT_TEXT)
        assert document.body is not None
        members = json.loads(document.body)
        text = "\r\n" + json.dumps(members, indent=2) + "\n"
        assert not index.writer.write([document, Document(ENGAGEMENT, spaced, 1, text.encode())])
        for stored in index.find(ENGAGEMENT, [plain, spaced]).values():
            assert {name: stored[name] for name in members} == members

    def test_indices_do_not_mix(self, index: IndexUnderTest) -> None:
        id_ = new_id()
        body = encode(hashtag_record(_post(id_, 0)))
        index.writer.write([_document(id_, 1), Document(HASHTAGS, id_, 1, body)])
        assert "engagement_score" in index.find(ENGAGEMENT, [id_])[id_]
        assert index.find(HASHTAGS, [id_])[id_]["hashtags"] == ["news"]

    def test_many_at_once(self, index: IndexUnderTest) -> None:
        prefix = new_id()
        ids = [f"{prefix}{number}" for number in range(3_000)]
        for round_ in (1, 2):
            documents = [
                _deletion(id_, round_) if number % 100 == 0 else _document(id_, round_, mark=round_)
                for number, id_ in enumerate(ids)
            ]
            assert not index.writer.write(documents)
        expected = {id_: 2 for number, id_ in enumerate(ids) if number % 100}
        assert _marks(index, *ids) == expected

    def test_nothing_can_be_written_and_closing_twice_is_harmless(
        self, index: IndexUnderTest
    ) -> None:
        assert not index.writer.write([])
        index.writer.close()
        index.writer.close()
