"""Where posts come from: a server that answers when it is asked."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import attrs

__all__ = ["About", "Family", "MastodonServer", "RateLimits"]

Family = Literal["mastodon", "gotosocial", "pleroma", "akkoma", "other"]
"""Which program the server runs: they differ in what they understand."""


@attrs.frozen(kw_only=True)
class About:
    """What a server says of itself in one answer.

    Attributes:
        domain: the server's name, as its accounts bear it.
        family: which program it runs.
        version: as it says.
        hashtags_open: whether hashtag timelines may be read; ``None`` where it does not say.
        streaming_url: where its streams are; ``None`` where it does not say.
    """

    domain: str
    family: Family
    version: str
    hashtags_open: bool | None = None
    streaming_url: str | None = None


class RateLimits(NamedTuple):
    """What an answer says of the request limit.

    Attributes:
        limit: requests in a period.
        remaining: of these, how many are left.
        reset_s: seconds until the period ends.
    """

    limit: int
    remaining: int
    reset_s: float


class MastodonServer(Protocol):
    """One server and one token, or none. Used by one thread. Each call is one request.

    All methods raise RetriableError (ask again later; ``retry_after_s`` where the server said
    when) or FatalError (it will go on refusing; the message says what to do).
    """

    @property
    def host(self) -> str:
        """What the server is called in messages, metrics and stamps; unique and stable."""

    @property
    def limits(self) -> RateLimits | None:
        """What the last answer said."""

    @property
    def most_ids(self) -> int:
        """How many statuses it gives at once by their ids. It may turn out to be fewer."""

    def about(self) -> About:
        """Ask the server about itself."""

    def timeline(
        self, tags: Sequence[str], *, min_id: str | None = None, max_id: str | None = None
    ) -> Sequence[bytes]:
        """Return a page of the posts with any of these hashtags, newest first, as they were sent.

        Args:
            tags: more than one only where the family understands it.
            min_id: the page just above this post, still newest first.
            max_id: the page just below.
        """

    def statuses(self, ids: Sequence[str]) -> Sequence[bytes] | None:
        """Return those that are still there; at most ``most_ids``.

        ``None``: that was too many for this server, ``most_ids`` is lower now.
        """

    def close(self) -> None:
        """Let go; a second call does nothing."""
