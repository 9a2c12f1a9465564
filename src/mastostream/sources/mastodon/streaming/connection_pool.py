"""All connections of the process, in the event loop that hosts them."""

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
"""Connections to one server that may be made at the same time: it may be asked for a hundred."""

_logger = logging.getLogger(__name__)


class ConnectionPool:
    """Used in one event loop, but for ``pause_gate``."""

    def __init__(
        self, put: Put, *, clock: Clock, heartbeat_timeout_s: float, jitter: Jitter, paused: bool
    ) -> None:
        """Belong to the event loop that runs; connect to nothing yet."""
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
        """Begin to listen, in place of the feed of this name if there is one."""
        self.unfollow(feed.name)
        if feed.transport == "websocket":
            self._tasks[feed.name] = [self._begin(feed, feed.tags)]
        else:
            self._tasks[feed.name] = [self._begin(feed, (tag,)) for tag in feed.tags]

    def unfollow(self, name: str) -> None:
        """Stop listening to a feed, if there is one of this name."""
        for task in self._tasks.pop(name, ()):
            task.cancel()

    def stop(self) -> None:
        """Let :meth:`run` return."""
        self._stopped.set()

    async def run(self) -> None:
        """Host the connections until :meth:`stop`, then close them."""
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
