"""The connection pool: all streaming connections of the process, in one event loop."""

import asyncio
import logging
from collections import defaultdict
from typing import Final

from mastostream.exceptions import FatalError
from mastostream.ports.clock import Clock
from mastostream.ports.stream import Feed, Put
from mastostream.sources.mastodon.streaming import sse, websocket
from mastostream.sources.mastodon.streaming.connection import StreamConnection
from mastostream.sources.mastodon.streaming.pause_gate import PauseGate
from mastostream.sources.mastodon.streaming.reconnecting import Jitter, keep_open
from mastostream.sources.mastodon.streaming.session import new_session

__all__ = ["ConnectionPool"]

HANDSHAKES: Final = 4
"""Connections to one server that are opened at the same time: there may be a hundred in all."""

_logger = logging.getLogger(__name__)


class ConnectionPool:
    """Opens and closes connections. Used in one event loop; ``pause_gate`` serves any thread."""

    def __init__(
        self, put: Put, *, clock: Clock, heartbeat_timeout_s: float, jitter: Jitter, paused: bool
    ) -> None:
        """Start without connections, in the event loop that is running.

        Args:
            put: takes the items of all streams.
            clock: tells the time of events, and how long to wait between retries.
            heartbeat_timeout_s: the longest silence before a connection counts as dead.
            jitter: chooses how long to wait between retries.
            paused: whether to start with reading paused.
        """
        self.loop = asyncio.get_running_loop()
        self.pause_gate = PauseGate(paused=paused)
        self._put = put
        self._clock = clock
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._jitter = jitter
        self._session = new_session()
        self._handshakes = defaultdict[str, asyncio.Semaphore](
            lambda: asyncio.Semaphore(HANDSHAKES)
        )
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._stopped = asyncio.Event()

    def follow(self, feed: Feed) -> None:
        """Listen to a feed. It replaces the feed of the same name, if there is one."""
        self.unfollow(feed.name)
        if feed.transport == "websocket":
            self._tasks[feed.name] = [self._begin(feed, feed.tags)]
        else:
            self._tasks[feed.name] = [self._begin(feed, (tag,)) for tag in feed.tags]

    def unfollow(self, name: str) -> None:
        """Stop listening to the feed of this name, if there is one."""
        for task in self._tasks.pop(name, ()):
            task.cancel()

    def stop(self) -> None:
        """Let :meth:`run` return."""
        self._stopped.set()

    async def run(self) -> None:
        """Keep the connections open until :meth:`stop` is called, then close them."""
        await self._stopped.wait()
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        for name in list(self._tasks):
            self.unfollow(name)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    def _begin(self, feed: Feed, tags: tuple[str, ...]) -> asyncio.Task[None]:
        connection = StreamConnection(
            feed=feed,
            tags=tags,
            put=self._put,
            clock=self._clock,
            pause_gate=self.pause_gate,
            session=self._session,
            handshakes=self._handshakes[feed.url],
            heartbeat_timeout_s=self._heartbeat_timeout_s,
        )
        listen = websocket.listen if feed.transport == "websocket" else sse.listen

        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                _logger.error("%s: the stream ended by an error of ours", feed.name, exc_info=error)
                connection.cut(
                    FatalError(f"the stream ended by an error of ours: {type(error).__name__}")
                )

        task = self.loop.create_task(
            keep_open(connection, listen, self._jitter), name=f"{feed.name}: {tags}"
        )
        task.add_done_callback(done)
        return task
