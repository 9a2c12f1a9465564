"""A server whose posts a test writes."""

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
"""The most statuses in one page, as on Mastodon."""

Call = tuple[Literal["about", "timeline", "statuses"], Any]


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
    """A :class:`mastostream.ports.source.MastodonServer`. A test may write while a thread reads.

    Attributes:
        host: what it is called.
        clock: gives posts the time of their creation.
        family: which program it says it runs.
        hashtags_open: whether it says that its hashtag timelines may be read.
        limits: what the last answer said of the request limit: whatever the test sets.
        batch_limit: how many statuses it gives at once by their ids.
        most_ids: how many it is believed to give; falls to ``batch_limit`` when more are asked for.
        refused_tags: hashtag to the error that its timeline raises.
        failures: of ``about``, ``timeline`` and ``statuses``.
        calls: the name and the arguments of each call.
        closed: whether it was closed.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        host: str = "s.example",
        family: Family = "mastodon",
        batch_limit: int = 20,
    ) -> None:
        """Begin without posts; the clock is a :class:`FakeClock` by default."""
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
        """The posts that are there, newest first."""
        return [post.id for post in self._posts.copy() if not post.deleted]

    def write(self, post_id: str, tag: str = "news", *, below: int = 0, **members: Any) -> bytes:
        """Write a post; return it as the server sends it.

        Args:
            post_id: its id, which no other post has.
            tag: the hashtag whose timeline shows it.
            below: how many posts stand above it at once, as where it comes late from elsewhere.
            members: of the status, besides or in place of those that it has anyway.
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
        """Change members of a post."""
        self._find(post_id).status |= members

    def delete(self, post_id: str) -> None:
        """Delete a post."""
        self._find(post_id).deleted = True

    def count(self, call: str) -> int:
        """Return how often this was called."""
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
        places = {post.id: place for place, post in enumerate(posts)}
        if not {min_id, max_id} - {None} <= set(places):
            return []  # an id that the server has never had: as Mastodon answers
        if max_id is not None:
            posts = posts[places[max_id] + 1 :]
        if min_id is not None:
            above = places[min_id] if max_id is None else places[min_id] - places[max_id] - 1
            posts = posts[: max(0, above)]
        there = [post for post in posts if post.tag in tags and not post.deleted]
        return there[-PAGE:] if min_id is not None else there[:PAGE]

    def _find(self, post_id: str) -> _Post:
        return next(post for post in self._posts if post.id == post_id)
