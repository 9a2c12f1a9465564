"""The source port for streaming: a server's stream, which pushes events."""

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import attrs

from mastostream.exceptions import MastostreamError

__all__ = ["Cut", "Feed", "Opened", "StreamEvent", "StreamItem", "Streams"]


@attrs.frozen(kw_only=True)
class Feed:
    """A server's streams to listen to.

    Attributes:
        name: a unique name, which all events of the feed carry; also used in messages.
        url: the server's streaming address: ``http``, ``https``, ``ws`` or ``wss`` and the host.
        tags: hashtags, without ``#``.
        transport: ``websocket`` uses one connection for all hashtags, ``sse`` (server-sent events)
            uses one for each.
        token: the access token, which is never shown; ``None`` for no token.
        user_agent: the User-Agent header of all requests.
    """

    name: str
    url: str
    tags: tuple[str, ...]
    transport: Literal["websocket", "sse"]
    token: str | None = attrs.field(default=None, repr=False)
    user_agent: str = "mastostream"


class StreamEvent(NamedTuple):
    """An event of a stream.

    Attributes:
        feed: the feed's name.
        event: ``update``, ``status.update``, ``delete``, or any other name that the server sends.
        data: the payload as it was sent: a status, or the bare id of a ``delete``.
        tag: the hashtag whose stream brought it; ``None`` if the server does not say.
        received_ms: when it arrived, milliseconds since the epoch.
    """

    feed: str
    event: str
    data: bytes
    tag: str | None
    received_ms: int


class Opened(NamedTuple):
    """The streams of these hashtags are open: their events arrive from now on."""

    feed: str
    tags: tuple[str, ...]


class Cut(NamedTuple):
    """The streams of these hashtags are disconnected: their events do not arrive any more.

    It comes again after every failed attempt to reconnect.

    Attributes:
        feed: the feed's name.
        tags: the hashtags.
        error: why. After a RetriableError the client reconnects by itself, with backoff and full
            jitter, and another :class:`Opened` will follow. After any other error it does not.
    """

    feed: str
    tags: tuple[str, ...]
    error: MastostreamError


StreamItem = StreamEvent | Opened | Cut

Put = Callable[[StreamItem], None]
"""Takes the items in the order of arrival. It is called from another thread and must not block."""


class Streams(Protocol):
    """A client for any number of feeds. Its methods may be called from any thread."""

    def follow(self, feed: Feed) -> None:
        """Listen to a feed. Its items go to the ``put`` that the client was made with."""

    def unfollow(self, name: str) -> None:
        """Stop listening to a feed."""

    def pause(self, *, paused: bool) -> None:
        """Stop or resume reading. Events wait at the servers while paused.

        :class:`Opened` and :class:`Cut` are passed on even then.
        """

    def close(self) -> None:
        """Stop listening to all feeds, within 2 s; a second call does nothing."""
