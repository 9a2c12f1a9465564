"""One connection, as the rest of the program sees it."""

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


@attrs.define(kw_only=True, eq=False)
class StreamConnection:
    """What a connection needs, and what it says to the collector.

    Attributes:
        feed: whose connection it is.
        tags: the hashtags that come by it.
        put: takes what comes.
        handshakes: how many may connect to this server at the same time.
        heartbeat_timeout_s: seconds of the machine's clock.
        progress: whether the stream has been alive since it was last opened: an event or a
            heartbeat came, beyond the greeting.
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
        """Wait for a turn to connect, and limit how long it may take.

        Raises:
            TimeoutError: it took too long.
        """
        async with self.handshakes:
            async with asyncio.timeout(min(_LONGEST_HANDSHAKE_S, self.heartbeat_timeout_s)):
                yield

    def opened(self) -> None:
        """Tell that events come from now on."""
        self.put(Opened(self.feed.name, self.tags))

    def cut(self, error: MastostreamError) -> None:
        """Tell that events come no more."""
        # What led to the error holds the request's headers, with the token, and all that was read.
        error.__cause__ = error.__context__ = None
        self.put(Cut(self.feed.name, self.tags, error.with_traceback(None)))
