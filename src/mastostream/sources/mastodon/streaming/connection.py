"""One streaming connection: what it needs, and how it reports to the collector."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import attrs

from mastostream.exceptions import MastostreamError
from mastostream.ports.clock import Clock
from mastostream.ports.stream import Cut, Feed, Opened, Put
from mastostream.sources.mastodon.streaming.pause_gate import PauseGate

__all__ = ["StreamConnection"]

_LONGEST_HANDSHAKE_S: Final = 20.0
"""How long a connection may take to open, in seconds of the machine's clock."""


@attrs.define(kw_only=True, eq=False)
class StreamConnection:
    """A streaming connection to a server.

    Attributes:
        feed: the feed that it belongs to.
        tags: the hashtags whose events it brings.
        put: takes the items of the stream.
        clock: tells the time of events, and how long to wait between retries.
        pause_gate: paused while the collector wants no events.
        session: the HTTP client.
        handshakes: limits how many connections to this server are opened at the same time.
        heartbeat_timeout_s: the longest silence before the connection counts as dead, in seconds
            of the machine's clock.
        progress: whether the stream has shown life since it was last opened: an event or a
            heartbeat after the greeting.
    """

    feed: Feed
    tags: tuple[str, ...]
    put: Put
    clock: Clock
    pause_gate: PauseGate
    session: aiohttp.ClientSession
    handshakes: asyncio.Semaphore
    heartbeat_timeout_s: float
    progress: bool = False

    @property
    def host(self) -> str:
        """The server, for messages."""
        return urlsplit(self.feed.url).netloc.rpartition("@")[2]

    @asynccontextmanager
    async def handshake(self) -> AsyncIterator[None]:
        """Wait for one of the server's handshake slots, then limit the time of the block.

        The block opens the connection. It may take 20 s of the machine's clock, or
        ``heartbeat_timeout_s`` if that is shorter. The wait for the slot has no limit.

        Raises:
            TimeoutError: the block took too long.
        """
        async with self.handshakes:
            async with asyncio.timeout(min(_LONGEST_HANDSHAKE_S, self.heartbeat_timeout_s)):
                yield

    def opened(self) -> None:
        """Report that events arrive from now on."""
        self.put(Opened(self.feed.name, self.tags))

    def cut(self, error: MastostreamError) -> None:
        """Report that events do not arrive any more."""
        # The error's causes hold the request's headers, with the token, and all data that was read.
        error.__cause__ = error.__context__ = None
        self.put(Cut(self.feed.name, self.tags, error.with_traceback(None)))
