"""The index on SQLite."""

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Account, Post, Stamp, Tag, encode, engagement_record, hashtag_record
from mastostream.ports.index import Document
from mastostream.sinks.sqlite import SqliteIndex, SqliteIndexReader

NOW = datetime(2024, 1, 1, 12, tzinfo=UTC)
CHANGES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.booleans()), max_size=20)


def rows(path: Path) -> dict[str, tuple[int, int, str | None]]:
    connection = sqlite3.connect(path)
    stored = connection.execute("SELECT id, version, deleted, body FROM documents").fetchall()
    connection.close()
    return {row[0]: row[1:] for row in stored}


@given(CHANGES, st.lists(st.integers(0, 20), max_size=4))
def test_the_newest_version_wins_and_a_deleted_one_stays_deleted(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int, bool]], cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("index") / "index.sqlite3"
    index = SqliteIndex(path)
    documents = [
        Document("i", id_, version, None if deleted else b'{"v":%d}' % version)
        for id_, version, deleted in changes
    ]
    edges = [0, *sorted(cuts), len(documents)]
    for start, end in pairwise(edges):
        assert index.write(documents[start:end]) == []
    index.close()
    expected: dict[str, tuple[int, bool]] = {}
    for id_, version, deleted in changes:
        expected[id_] = max(expected.get(id_, (-1, False)), (version, deleted))
    stored = rows(path)
    assert {id_: (version, bool(gone)) for id_, (version, gone, _) in stored.items()} == expected
    for version, gone, body in stored.values():
        assert body == (None if gone else f'{{"v":{version}}}')


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (Document("i", "", 1, b"{}"), "needs an id"),
        (Document("i", "a", 2**63, b"{}"), "64-bit"),
        (Document("i", "a", 1, b"[]"), "object"),
        (Document("i", "a", 1, b'{"x":"\xff"}'), "utf-8"),
        (Document("i", "a", 1, b'{"x'), "truncated"),
    ],
)
def test_what_can_never_be_stored_is_refused_and_the_rest_goes_on(
    tmp_path: Path, document: Document, reason: str
) -> None:
    index = SqliteIndex(tmp_path / "index.sqlite3")
    good = Document("i", "good", 1, b'{"x":"\\u0000"}')
    (refusal,) = index.write([good, document])
    index.close()
    assert refusal.position == 1
    assert reason in refusal.reason
    assert list(rows(tmp_path / "index.sqlite3")) == ["good"]


def post(number: int, age_s: int) -> Post:
    return Post(
        id=str(number),
        created_at=NOW - timedelta(seconds=age_s),
        account=Account(acct=f"a{number % 2}"),
        language={1: "en", 3: "EN_us"}.get(number),
        favourites_count=number,
        tags=(Tag(name="News"),),
        mastostream=Stamp(key=str(number), observed_at=NOW),
    )


def documents(some: Post) -> list[Document]:
    return [
        Document("mastodon-engagement", some.key, 1, encode(engagement_record(some))),
        Document("mastodon-hashtags", some.key, 1, encode(hashtag_record(some))),
    ]


def test_a_summary_counts_what_is_in_the_span_and_not_deleted(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    index = SqliteIndex(path)
    reader = SqliteIndexReader(path)
    since = NOW - timedelta(minutes=1)
    assert reader.summary(since, NOW, 10, 5).posts == 0
    for number, age_s in ((1, 5), (2, 15), (3, 15), (4, 3600), (5, -86400 * 365 * 1000), (6, 1)):
        index.write(documents(post(number, age_s)))
    foreign = b'{"key":"x","created_at":"2024-01-01T11:59:50Z","engagement_score":"high"}'
    index.write(
        [Document(name, "x", 1, foreign) for name in ("mastodon-engagement", "mastodon-hashtags")]
    )
    index.write([Document("mastodon-engagement", "6", 2, None)])
    index.write([Document("mastodon-hashtags", "6", 2, None)])
    summary = reader.summary(since, NOW, 10, 5)
    assert (summary.posts, summary.accounts, summary.max_engagement) == (3, 2, 3)
    assert [count for _, count in summary.volume] == [0, 0, 0, 0, 2, 1]
    assert summary.languages == (("en", 2), ("und", 1))
    assert summary.hashtags == (("news", 3),)
    assert [top.key for top in summary.top_posts] == ["3", "2", "1"]
    index.close()
    reader.close()


def test_the_views_can_be_read_with_plain_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    index = SqliteIndex(path)
    index.write(documents(post(7, 5)))
    index.close()
    connection = sqlite3.connect(path)
    assert connection.execute(
        "SELECT key, engagement_score, account FROM engagement"
    ).fetchall() == [("7", 7, "a1")]
    assert connection.execute("SELECT hashtag, uses FROM hashtag_uses").fetchall() == [("news", 1)]
    connection.close()


def test_readers_go_on_while_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    index = SqliteIndex(path)
    done = threading.Event()

    def write() -> None:
        for number in range(100):
            index.write(documents(post(number, 5)))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reader = SqliteIndexReader(path)
    posts_before = 0
    while not done.is_set():
        posts = reader.summary(NOW - timedelta(minutes=1), NOW, 10, 5).posts
        assert posts >= posts_before
        posts_before = posts
    writer.join()
    reader.close()
    index.close()
