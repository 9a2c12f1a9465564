"""Conformance suite for the REST clients of servers, as a test class for pytest.

Subclass it and provide its fixture, which also says how posts are written and deleted there::

    class TestMyServer(ServerConformance):
        @pytest.fixture
        def server(self) -> Iterator[ServerUnderTest]:
            client = MyClient(...)
            yield ServerUnderTest(server=client, tags=("news", "art"), posts=..., ...)
            client.close()

Nobody else may write or delete posts on the server during a test.
"""

from collections.abc import Callable, Sequence
from typing import Final, get_args

import attrs
import pytest

from mastostream.core.codec import decode
from mastostream.core.models import Post
from mastostream.ports.source import Family, MastodonServer

__all__ = ["ServerConformance", "ServerUnderTest"]

_MAX_PAGES: Final = 200
"""Paging that takes more pages than this counts as endless."""


@attrs.frozen(kw_only=True)
class ServerUnderTest:
    """The client that the suite tests, and functions for what its server really holds.

    Attributes:
        server: the adapter under test.
        tags: two hashtags. Each has enough posts for several pages, and they differ in some posts.
        posts: ``(hashtags) -> ids``: returns the ids of all posts with any of these hashtags, the
            newest first.
        write: ``(hashtag)``: writes at least one post with this hashtag, newer than all others.
        delete: ``(hashtag) -> id``: deletes one post with this hashtag and returns its id.
        several_tags: whether the server understands several hashtags in one request.
    """

    server: MastodonServer
    tags: tuple[str, str]
    posts: Callable[[Sequence[str]], Sequence[str]]
    write: Callable[[str], None]
    delete: Callable[[str], str]
    several_tags: bool = True


def _ids(page: Sequence[bytes]) -> list[str]:
    posts = [decode(raw) for raw in page]
    assert all(isinstance(post, Post) for post in posts), "what it gives are statuses"
    return [post.id for post in posts if isinstance(post, Post)]


def _read_upwards(server: MastodonServer, tags: Sequence[str], post_id: str) -> list[str]:
    """Return the ids of all posts newer than this one, read page by page; the newest first."""
    ids: list[str] = []
    for _ in range(_MAX_PAGES):
        page = _ids(server.timeline(tags, min_id=ids[0] if ids else post_id))
        if not page:
            return ids
        ids = page + ids
    raise AssertionError("paging upwards never ends")


def _read_downwards(server: MastodonServer, tags: Sequence[str]) -> list[str]:
    """Return the ids of all posts, read page by page; the newest first."""
    ids = _ids(server.timeline(tags))
    for _ in range(_MAX_PAGES):
        page = _ids(server.timeline(tags, max_id=ids[-1]))
        if not page:
            return ids
        ids += page
    raise AssertionError("paging downwards never ends")


def _read_by_ids(server: MastodonServer, ids: Sequence[str]) -> list[str]:
    """Return the ids of the statuses that the server sends, read in batches of its largest size."""
    received: list[str] = []
    rest = list(ids)
    while rest:
        batch = rest[: server.most_ids]
        statuses = server.statuses(batch)
        if statuses is None:
            assert 1 <= server.most_ids < len(batch), "it was too many, and it takes no fewer"
        else:
            received += _ids(statuses)
            rest = rest[len(batch) :]
    return received


class ServerConformance:
    """Tests :class:`mastostream.ports.source.MastodonServer`. Needs the fixture ``server``."""

    def test_it_says_what_it_is_under_one_name(self, server: ServerUnderTest) -> None:
        client = server.server
        host = client.host
        about = client.about()
        assert about.domain
        assert about.version
        assert about.family in get_args(Family)
        assert host
        assert client.host == host

    def test_a_page_holds_the_newest_posts_the_newest_first(self, server: ServerUnderTest) -> None:
        for tag in server.tags:
            page, posts = _ids(server.server.timeline([tag])), server.posts([tag])
            assert 1 < len(page) < len(posts), "the suite needs more than one page"
            assert page == posts[: len(page)]

    def test_a_post_that_was_written_is_on_top(self, server: ServerUnderTest) -> None:
        tag = server.tags[0]
        before = _ids(server.server.timeline([tag]))
        server.write(tag)
        page = _ids(server.server.timeline([tag]))
        assert page == server.posts([tag])[: len(page)]
        assert page[0] not in before

    def test_pages_lead_down_to_the_oldest_post(self, server: ServerUnderTest) -> None:
        for tag in server.tags:
            assert _read_downwards(server.server, [tag]) == server.posts([tag])

    def test_pages_lead_up_from_any_post_without_a_gap(self, server: ServerUnderTest) -> None:
        for tag in server.tags:
            posts = server.posts([tag])
            for index in (len(posts) - 1, len(posts) // 2, 1, 0):
                assert _read_upwards(server.server, [tag], posts[index]) == posts[:index]

    def test_what_was_written_since_is_found_above_what_was_read(
        self, server: ServerUnderTest
    ) -> None:
        tag = server.tags[0]
        newest = _ids(server.server.timeline([tag]))[0]
        server.write(tag)
        posts = list(server.posts([tag]))
        assert posts.index(newest) > 0
        assert _read_upwards(server.server, [tag], newest) == posts[: posts.index(newest)]

    def test_several_hashtags_are_one_timeline(self, server: ServerUnderTest) -> None:
        if not server.several_tags:
            pytest.skip("it understands one hashtag in a request")
        posts = server.posts(server.tags)
        assert len(posts) == len(set(posts))
        assert _read_downwards(server.server, server.tags) == posts
        assert _read_upwards(server.server, server.tags, posts[-1]) == posts[:-1]

    def test_a_hashtag_that_nobody_uses_has_no_posts(self, server: ServerUnderTest) -> None:
        server.server.about()
        assert _ids(server.server.timeline(["nobodywritesofthis"])) == []

    def test_statuses_are_read_by_their_ids(self, server: ServerUnderTest) -> None:
        wanted = server.posts(server.tags[:1])[::2][:25]
        assert sorted(_read_by_ids(server.server, wanted)) == sorted(wanted)
        for post_id in wanted[:2]:
            assert _read_by_ids(server.server, [post_id]) == [post_id]

    def test_what_is_deleted_is_nowhere(self, server: ServerUnderTest) -> None:
        tag = server.tags[0]
        deleted = server.delete(tag)
        posts = list(server.posts([tag]))
        assert deleted not in posts
        assert _read_downwards(server.server, [tag]) == posts
        assert _read_upwards(server.server, [tag], posts[-1]) == posts[:-1]
        assert _read_by_ids(server.server, [deleted]) == []
        assert sorted(_read_by_ids(server.server, [*posts[:4], deleted])) == sorted(posts[:4])

    def test_limits_are_possible_ones_where_it_says_any(self, server: ServerUnderTest) -> None:
        for _ in range(2):
            server.server.timeline([server.tags[0]])
            limits = server.server.limits
            if limits is not None:
                assert 0 <= limits.remaining <= limits.limit
                assert limits.reset_s >= 0

    def test_closing_twice_is_harmless(self, server: ServerUnderTest) -> None:
        server.server.timeline([server.tags[0]])
        server.server.close()
        server.server.close()
