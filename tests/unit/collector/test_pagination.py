"""Pagination: no post is left out, however the server pages and whatever happens there."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream.collector.observation import Observation
from mastostream.collector.pagination import (
    CATCH_UP_PAGES_DOWN,
    GapFill,
    Lookback,
    PageReader,
    PageRequest,
)

PAGE = 40


def observation(post_id: str) -> Observation:
    number = int(post_id.removeprefix("id"))
    return Observation(b"{}", post_id, post_id, post_id, "new", "i", 0, created_ms=number * 1000)


class Timeline:
    """A server's hashtag timeline, newest first, and its way of paging."""

    def __init__(self, kind: str, posts: int = 60) -> None:
        self.kind = kind
        self.posts = [f"id{number}" for number in reversed(range(posts))]
        self.deleted: set[str] = set()

    def write(self, new: int) -> list[str]:
        first = len(self.posts)
        written = [f"id{number}" for number in reversed(range(first, first + new))]
        self.posts[:0] = written
        return written

    def page(self, request: PageRequest) -> list[Observation]:
        posts = [post for post in self.posts if post not in self.deleted]
        if request.max_id is not None and self.kind != "ignores paging":
            below = self.posts.index(request.max_id) + 1
            posts = [post for post in self.posts[below:] if post not in self.deleted]
        if request.min_id is not None and self.kind not in ("ignores min_id", "ignores paging"):
            if self.kind == "forgets deleted ids" and request.min_id in self.deleted:
                return []
            above = self.posts.index(request.min_id)
            posts = [post for post in self.posts[:above] if post not in self.deleted][-PAGE:]
        return [observation(post) for post in posts[:PAGE]]


def read(server: Timeline, reader: PageReader, cursor: str | None) -> tuple[list[str], str | None]:
    """Read until the reader is done; return the keys in their order and the last cursor."""
    keys: list[str] = []
    while reader.next_page is not None:
        result = reader.take(server.page(reader.next_page))
        assert result.complete
        keys += [post.key for post in result.observations]
        cursor = result.cursor or cursor
    return keys, cursor


@given(
    st.sampled_from(["usual", "forgets deleted ids", "ignores min_id"]),
    st.lists(st.tuples(st.integers(0, 500), st.lists(st.integers(0, 60), max_size=50)), max_size=8),
)
def test_a_timeline_is_read_without_a_gap_however_the_server_pages(
    kind: str, rounds: list[tuple[int, list[int]]]
) -> None:
    server = Timeline(kind)
    keys, cursor = read(server, GapFill(()), None)
    seen, expected = set(keys), set(server.posts[:PAGE])
    for new, deleted in rounds:
        written = server.write(new)
        server.deleted |= {server.posts[number] for number in deleted}
        expected |= set(written) - server.deleted
        keys, cursor = read(server, GapFill([cursor or ""]), cursor)
        numbers = [int(key.removeprefix("id")) for key in keys]
        assert numbers == sorted(set(numbers)), "older posts come first, and each once"
        seen |= set(keys)
    assert expected <= seen


@settings(max_examples=40)
@given(st.integers(1, 1_500), st.data())
def test_a_reading_that_is_cut_short_goes_on_where_it_was(new: int, data: st.DataObject) -> None:
    """Whenever it is killed, all posts up to its cursor have been handed over before."""
    server = Timeline("usual", 1)
    cursor, seen = "id0", {"id0"}
    server.write(new)
    while True:
        reader = GapFill([cursor])
        for _ in range(data.draw(st.integers(1, 8))):
            if reader.next_page is None:
                break
            result = reader.take(server.page(reader.next_page))
            seen |= {post.key for post in result.observations}
            cursor = result.cursor or cursor
            newest = int(cursor.split()[0].removeprefix("id"))
            assert seen >= {f"id{number}" for number in range(newest + 1)}
        if reader.next_page is None:
            break
    assert seen == set(server.posts)


@given(
    st.sampled_from(["usual", "ignores min_id"]),
    st.integers(0, 500),
    st.lists(st.integers(0, 5), min_size=40, max_size=40),
)
def test_posts_that_come_while_it_is_read_leave_no_gap(
    kind: str, new: int, meanwhile: list[int]
) -> None:
    server = Timeline(kind)
    _, cursor = read(server, GapFill(()), None)
    expected = set(server.write(new))
    reader, seen = GapFill([cursor or ""]), set()
    while reader.next_page is not None:
        result = reader.take(server.page(reader.next_page))
        assert result.complete
        seen |= {post.key for post in result.observations}
        server.write(meanwhile.pop() if meanwhile else 0)
    assert expected <= seen


@given(st.integers(0, 3_000), st.integers(0, 500))
def test_timelines_that_were_read_apart_are_joined_without_a_gap(new: int, more: int) -> None:
    server = Timeline("usual")
    first = " ".join(server.posts[:PAGE])
    expected = server.write(new)
    second = " ".join(server.posts[:PAGE])
    expected = server.write(more) + expected
    keys, _ = read(server, GapFill([first, second]), None)
    assert set(expected) <= set(keys)


def test_a_server_that_cannot_be_paged_loses_posts_and_says_so() -> None:
    server = Timeline("ignores paging", 200)
    _, cursor = read(server, GapFill(()), None)
    server.write(200)
    reader, complete = GapFill([cursor or ""]), True
    while reader.next_page is not None:
        complete = complete and reader.take(server.page(reader.next_page)).complete
    assert not complete


def test_a_gap_that_can_only_be_read_downwards_is_bounded() -> None:
    server = Timeline("ignores min_id", 200)
    _, cursor = read(server, GapFill(()), None)
    server.write(PAGE * (CATCH_UP_PAGES_DOWN + 5))
    reader, pages = GapFill([cursor or ""]), 0
    while reader.next_page is not None:
        result = reader.take(server.page(reader.next_page))
        pages += 1
    assert not result.complete
    assert pages == CATCH_UP_PAGES_DOWN + 2


def test_what_a_stream_has_brought_is_no_gap() -> None:
    server = Timeline("usual")
    _, cursor = read(server, GapFill(()), None)
    server.write(500)
    keys, cursor = read(server, GapFill([cursor or ""], lambda page: len(page) == PAGE), cursor)
    assert len(keys) == PAGE
    assert cursor == " ".join(server.posts[:PAGE])


@given(st.integers(0, 400), st.integers(1, 20), st.sampled_from(["usual", "ignores paging"]))
def test_a_lookback_reads_back_as_far_as_asked(back: int, most: int, kind: str) -> None:
    server = Timeline(kind, 400)
    reader = Lookback((400 - back) * 1000, most)
    pages = 0
    seen: set[str] = set()
    while reader.next_page is not None:
        result = reader.take(server.page(reader.next_page))
        assert result.cursor is None
        seen |= {post.key for post in result.observations}
        pages += 1
    assert pages <= most
    if kind == "usual" and back < most * PAGE:
        assert set(server.posts[:back]) <= seen


def test_a_post_that_was_written_long_ago_and_arrives_now_ends_no_lookback() -> None:
    server = Timeline("usual", 400)
    page = server.page(PageRequest())
    page[0] = page[0]._replace(created_ms=0)
    reader = Lookback(200_000, 20)
    reader.take(page)
    assert reader.next_page == PageRequest(max_id=page[-1].id)


def test_what_is_no_id_is_never_asked_for() -> None:
    broken = [observation("id9")._replace(id=id_) for id_ in ("unreadable:ab", "a b", "x\ny")]
    result = GapFill(()).take(
        [broken[0], observation("id8"), broken[1], observation("id7"), broken[2]]
    )
    assert result.cursor == "id8 id7"
    assert GapFill(()).take(broken).cursor is None


@pytest.mark.parametrize("cursor", ["", "id5 id4"])
def test_an_empty_page_leaves_the_cursor_as_it_is(cursor: str) -> None:
    reader = GapFill([cursor])
    assert reader.take([]).cursor is None
    assert reader.next_page is None
