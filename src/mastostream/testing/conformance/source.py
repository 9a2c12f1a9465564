"""What every server keeps that is asked for posts, as tests for pytest.

Subclass, and say what the server is, and how posts are written and deleted there::

    class TestMyServer(ServerConformance):
        @pytest.fixture
        def server(self) -> Iterator[ServerUnderTest]:
            client = MyClient(...)
            yield ServerUnderTest(server=client, tags=("news", "art"), posts=..., ...)
            client.close()

Nothing else may be written or deleted meanwhile.
"""

from collections.abc import Callable, Sequence
from typing import Final, get_args

import attrs
import pytest

from mastostream.core.codec import decode
from mastostream.core.models import Post
from mastostream.ports.source import Family, MastodonServer

__all__ = ["ServerConformance", "ServerUnderTest"]

_MOST_READ: Final = 200


@attrs.frozen(kw_only=True)
class ServerUnderTest:
    """A server, and what it really holds.

    Attributes:
        server: what is tested.
        tags: two hashtags; each has enough posts for several pages, and not all the same.
        posts: ``(hashtags) -> ids`` of the posts with any of them that are there, newest first.
        write: ``(hashtag)``: let at least one post with it be written, newer than all others.
        delete: ``(hashtag) -> id``: let one of its posts be deleted.
        several_tags: whether it understands several hashtags in one request.
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
    """Read page by page all that is newer than a post."""
    found: list[str] = []
    for _ in range(_MOST_READ):
        page = _ids(server.timeline(tags, min_id=found[0] if found else post_id))
        if not page:
            return found
        found = page + found
    raise AssertionError("paging upwards never ends")


def _read_downwards(server: MastodonServer, tags: Sequence[str]) -> list[str]:
    """Read page by page all that there is, the newest first."""
    found = _ids(server.timeline(tags))
    for _ in range(_MOST_READ):
        page = _ids(server.timeline(tags, max_id=found[-1]))
        if not page:
            return found
        found += page
    raise AssertionError("paging downwards never ends")


def _read_by_ids(server: MastodonServer, ids: Sequence[str]) -> list[str]:
    """Read statuses, as many at once as the server gives."""
    found: list[str] = []
    rest = list(ids)
    while rest:
        batch = rest[: server.most_ids]
        statuses = server.statuses(batch)
        if statuses is None:
            assert 1 <= server.most_ids < len(batch), "it was too many, and it takes no fewer"
        else:
            found += _ids(statuses)
            rest = rest[len(batch) :]
    return found


class ServerConformance:
    """The promises of :class:`ports.source.MastodonServer`; needs a fixture ``server``."""

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
            for place in (len(posts) - 1, len(posts) // 2, 1, 0):
                assert _read_upwards(server.server, [tag], posts[place]) == posts[:place]

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
        gone = server.delete(tag)
        posts = list(server.posts([tag]))
        assert gone not in posts
        assert _read_downwards(server.server, [tag]) == posts
        assert _read_upwards(server.server, [tag], posts[-1]) == posts[:-1]
        assert _read_by_ids(server.server, [gone]) == []
        assert sorted(_read_by_ids(server.server, [*posts[:4], gone])) == sorted(posts[:4])

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
