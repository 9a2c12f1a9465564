"""The source port for polling: a server's REST API."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import attrs

__all__ = ["About", "Family", "MastodonServer", "RateLimits"]

Family = Literal["mastodon", "gotosocial", "pleroma", "akkoma", "other"]
"""The server's software, which decides what requests it understands."""


@attrs.frozen(kw_only=True)
class About:
    """A server's description of itself.

    Attributes:
        domain: the server's name, as in the addresses of its accounts.
        family: the software that it runs.
        version: the version that it reports.
        hashtags_open: whether hashtag timelines may be read; ``None`` if it does not say.
        streaming_url: the URL of its streams; ``None`` if it does not say.
    """

    domain: str
    family: Family
    version: str
    hashtags_open: bool | None = None
    streaming_url: str | None = None


class RateLimits(NamedTuple):
    """The rate limit that a response announces.

    Attributes:
        limit: requests that are allowed in a period.
        remaining: requests that are left in this period.
        reset_s: seconds until this period ends.
    """

    limit: int
    remaining: int
    reset_s: float


class MastodonServer(Protocol):
    """One server, used with one token or without. Used by one thread. Each call is one request.

    All methods may raise RetriableError (try again later; ``retry_after_s`` is set if the server
    said when) or FatalError (the server will keep refusing; the message says what to do).
    """

    @property
    def host(self) -> str:
        """The server's name in messages, metrics and stamps; unique and stable."""

    @property
    def limits(self) -> RateLimits | None:
        """The rate limit that the last response announced, if it did."""

    @property
    def most_ids(self) -> int:
        """The number of ids that :meth:`statuses` takes at once. It may fall after a call."""

    def about(self) -> About:
        """Return the server's description of itself."""

    def timeline(
        self, tags: Sequence[str], *, min_id: str | None = None, max_id: str | None = None
    ) -> Sequence[bytes]:
        """Return a page of posts with any of these hashtags, as they were sent, newest first.

        Args:
            tags: the hashtags; more than one only if the server's software understands it.
            min_id: return the page just above this post, still newest first.
            max_id: return the page just below this post.
        """

    def statuses(self, ids: Sequence[str]) -> Sequence[bytes] | None:
        """Return the statuses with these ids that still exist.

        Returns ``None`` if these were too many for the server: then ``most_ids`` is lower now.

        Args:
            ids: at most ``most_ids``.
        """

    def close(self) -> None:
        """Release the connections; a second call does nothing."""
