"""An in-memory fake of a server whose posts a test writes."""

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

import attrs

from mastostream.core.time import from_ms
from mastostream.exceptions import MastostreamError
from mastostream.ports.clock import Clock
from mastostream.ports.source import About, Family, RateLimits
from mastostream.testing.fakes.clock import FakeClock
from mastostream.testing.fakes.failures import Failures

__all__ = ["PAGE", "FakeServer"]

PAGE: Final = 40
"""The largest number of statuses in one page, as on Mastodon."""

Call = tuple[Literal["about", "timeline", "statuses"], Any]
"""A call that was made: the name of the method and its arguments."""


@attrs.define
class _Post:
    id: str
    tag: str
    status: dict[str, Any]
    deleted: bool = False

    @property
    def raw(self) -> bytes:
        return json.dumps(self.status).encode()


class FakeServer:
    """A fake :class:`mastostream.ports.source.MastodonServer`.

    A test may write posts while another thread reads.

    Attributes:
        host: the name of the server.
        clock: gives posts the time of their creation.
        family: the program that ``about`` reports.
        hashtags_open: whether ``about`` reports that hashtag timelines may be read; ``None``: it
            does not say.
        limits: the rate limits of the last response. The test sets them.
        batch_limit: the largest number of statuses that one ``statuses`` call returns.
        most_ids: the largest number of ids that the client believes to be allowed. It falls to
            ``batch_limit`` when ``statuses`` is called with more.
        refused_tags: errors by hashtag: ``timeline`` raises them for these hashtags.
        failures: the failures of ``about``, ``timeline`` and ``statuses``.
        calls: the name and the arguments of each call.
        closed: whether the server was closed.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        host: str = "s.example",
        family: Family = "mastodon",
        batch_limit: int = 20,
    ) -> None:
        """Make a server without posts.

        Args:
            clock: gives posts the time of their creation; a new :class:`FakeClock` by default.
            host: the name of the server.
            family: the program that ``about`` reports.
            batch_limit: the largest number of statuses that one ``statuses`` call returns.
        """
        self.host = host
        self.clock = clock or FakeClock()
        self.family: Family = family
        self.hashtags_open: bool | None = None
        self.limits: RateLimits | None = None
        self.batch_limit = batch_limit
        self.most_ids = 20
        self.refused_tags: dict[str, MastostreamError] = {}
        self.failures = Failures("about", "timeline", "statuses")
        self.calls: list[Call] = []
        self.closed = False
        self._posts: list[_Post] = []  # newest first; a deleted post keeps its place

    @property
    def ids(self) -> list[str]:
        """The ids of all posts that are not deleted, in the order of the timeline, newest first."""
        return [post.id for post in self._posts.copy() if not post.deleted]

    def write(self, post_id: str, tag: str = "news", *, below: int = 0, **members: Any) -> bytes:
        """Write a post; return the JSON of its status, as the server sends it.

        Args:
            post_id: the id of the post; no other post may have it.
            tag: the hashtag whose timeline shows the post.
            below: how many newer posts are above it in the timeline: more than 0 for a post that
                arrives late from another server.
            members: members of the status, which replace the default ones of the same name.
        """
        status = {
            "id": post_id,
            "uri": f"https://{self.host}/{post_id}",
            "created_at": from_ms(self.clock.now_ms()).isoformat(),
            "account": {"acct": "somebody"},
            "favourites_count": 0,
        } | members
        post = _Post(post_id, tag, status)
        self._posts.insert(below, post)
        return post.raw

    def change(self, post_id: str, **members: Any) -> None:
        """Change members of a post's status, as an edit or a new count does."""
        self._find(post_id).status |= members

    def delete(self, post_id: str) -> None:
        """Delete a post."""
        self._find(post_id).deleted = True

    def count(self, call: str) -> int:
        """Return how often a method was called."""
        return sum(name == call for name, _ in self.calls.copy())

    def about(self) -> About:
        self.calls.append(("about", None))
        with self.failures.around("about"):
            return About(
                domain=self.host,
                family=self.family,
                version="4.5.1",
                hashtags_open=self.hashtags_open,
                streaming_url=f"wss://{self.host}",
            )

    def timeline(
        self, tags: Sequence[str], *, min_id: str | None = None, max_id: str | None = None
    ) -> Sequence[bytes]:
        self.calls.append(("timeline", (tuple(tags), min_id, max_id)))
        with self.failures.around("timeline"):
            for tag in tags:
                if tag in self.refused_tags:
                    raise self.refused_tags[tag]
            return [post.raw for post in self._page(tags, min_id, max_id)]

    def statuses(self, ids: Sequence[str]) -> Sequence[bytes] | None:
        self.calls.append(("statuses", tuple(ids)))
        with self.failures.around("statuses"):
            if len(ids) > self.batch_limit:
                self.most_ids = self.batch_limit
                return None
            return [post.raw for post in self._posts.copy() if post.id in ids and not post.deleted]

    def close(self) -> None:
        self.closed = True

    def _page(self, tags: Sequence[str], min_id: str | None, max_id: str | None) -> list[_Post]:
        posts = self._posts.copy()
        indexes = {post.id: index for index, post in enumerate(posts)}
        if not {min_id, max_id} - {None} <= set(indexes):
            return []  # like Mastodon for an id that it never had
        if max_id is not None:
            posts = posts[indexes[max_id] + 1 :]
        if min_id is not None:
            newer = indexes[min_id] if max_id is None else indexes[min_id] - indexes[max_id] - 1
            posts = posts[: max(0, newer)]
        visible = [post for post in posts if post.tag in tags and not post.deleted]
        return visible[-PAGE:] if min_id is not None else visible[:PAGE]

    def _find(self, post_id: str) -> _Post:
        return next(post for post in self._posts if post.id == post_id)
