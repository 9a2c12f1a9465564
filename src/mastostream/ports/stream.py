"""Where events come from without being asked for: a server's stream."""

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import attrs

from mastostream.exceptions import MastostreamError

__all__ = ["Cut", "Feed", "Opened", "StreamEvent", "StreamItem", "Streams"]


@attrs.frozen(kw_only=True)
class Feed:
    """What to listen to.

    Attributes:
        name: what it is called in messages, and in what comes of it; unique.
        url: the server's streaming address: ``http``, ``https``, ``ws`` or ``wss`` and the host.
        tags: hashtags, without ``#``.
        transport: one WebSocket for all hashtags, or one connection of server-sent events each.
        token: never shown; ``None`` for none.
        user_agent: sent with each request.
    """

    name: str
    url: str
    tags: tuple[str, ...]
    transport: Literal["websocket", "sse"]
    token: str | None = attrs.field(default=None, repr=False)
    user_agent: str = "mastostream"


class StreamEvent(NamedTuple):
    """One event.

    Attributes:
        feed: the feed's name.
        event: ``update``, ``status.update``, ``delete``, or whatever else the server sends.
        data: the payload's bytes as they were sent: a status, or the bare id of a ``delete``.
        tag: the hashtag whose stream it came by; ``None`` where the server does not say.
        received_ms: when, milliseconds since the epoch.
    """

    feed: str
    event: str
    data: bytes
    tag: str | None
    received_ms: int


class Opened(NamedTuple):
    """From now on, these hashtags' events come."""

    feed: str
    tags: tuple[str, ...]


class Cut(NamedTuple):
    """These hashtags' events come no more. May be said again, when it cannot be opened again.

    Attributes:
        error: a RetriableError: it is tried again by itself, with full jitter, and another
            :class:`Opened` will follow. Any other: it will not.
    """

    feed: str
    tags: tuple[str, ...]
    error: MastostreamError


StreamItem = StreamEvent | Opened | Cut

Put = Callable[[StreamItem], None]
"""Called from another thread, in the order of arrival; must not block."""


class Streams(Protocol):
    """Listens to any number of feeds. Its methods may be called from any thread."""

    def follow(self, feed: Feed) -> None:
        """Listen; what comes is handed to the ``put`` that this was made with."""

    def unfollow(self, name: str) -> None:
        """Stop listening to a feed."""

    def pause(self, *, paused: bool) -> None:
        """Read no further while paused; what the servers send meanwhile waits there.

        Opened and Cut are handed on all the same.
        """

    def close(self) -> None:
        """Stop listening to all, within 2 s; a second call does nothing."""
