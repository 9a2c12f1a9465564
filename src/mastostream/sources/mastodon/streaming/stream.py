"""The streaming client: listens to any number of feeds in a thread of its own."""

import asyncio
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from mastostream.ports.clock import Clock
from mastostream.ports.stream import Feed, Put

if TYPE_CHECKING:
    from mastostream.sources.mastodon.streaming.connection_pool import ConnectionPool

__all__ = ["MastodonStreams"]

_CLOSE_S: Final = 2.0
"""How long closing waits for the thread."""


class MastodonStreams:
    """A :class:`ports.stream.Streams` of Mastodon's streaming API.

    All items go to ``put``, in order for every connection: :class:`Opened` when events begin to
    arrive, :class:`Cut` when they stop, and again for every failed attempt to reconnect. After a
    cut by a RetriableError the client reconnects by itself. Parts of an event that arrived before a
    cut are dropped.

    While paused, no event is put. Every connection then holds only the data that it has read
    already: some 256 KiB of server-sent events, 1 MiB of a WebSocket, or one longer event.
    """

    def __init__(
        self,
        put: Put,
        *,
        clock: Clock,
        heartbeat_timeout_s: float = 45.0,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Start no thread yet: the first call of :meth:`follow` does.

        Args:
            put: takes all items. It is called in the thread of the connections and must not block.
            clock: tells the time of events, and how long to wait between two attempts.
            heartbeat_timeout_s: the longest silence before a stream counts as dead, in seconds of
                the machine's clock. Mastodon's heartbeat comes every 15 s.
            jitter: chooses the wait between two attempts, from its first argument to its second.
        """
        self._jitter = jitter
        self._put = put
        self._clock = clock
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._lock = threading.Lock()
        self._paused = False
        self._closed = False
        self._pool: ConnectionPool | None = None
        self._thread: threading.Thread | None = None

    def follow(self, feed: Feed) -> None:
        """Listen to a feed. It replaces the feed of the same name, if there is one.

        Raises:
            RuntimeError: the client is closed.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("these streams are closed")
            if self._pool is None:
                self._pool = self._start()
            self._pool.loop.call_soon_threadsafe(self._pool.follow, feed)

    def unfollow(self, name: str) -> None:
        with self._lock:
            if self._pool is not None and not self._closed:
                self._pool.loop.call_soon_threadsafe(self._pool.unfollow, name)

    def pause(self, *, paused: bool) -> None:
        with self._lock:
            self._paused = paused
            if self._pool is not None and not self._closed:
                self._pool.pause_gate.turn(paused=paused)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._pool is not None:
                self._pool.loop.call_soon_threadsafe(self._pool.stop)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_S)

    def _start(self) -> "ConnectionPool":
        # It imports aiohttp, which takes 200 ms and is needed only for streams.
        from mastostream.sources.mastodon.streaming.connection_pool import (  # noqa: PLC0415 - aiohttp
            ConnectionPool,
        )

        ready: Future[ConnectionPool] = Future()

        async def host() -> None:
            try:
                pool = ConnectionPool(
                    self._put,
                    clock=self._clock,
                    heartbeat_timeout_s=self._heartbeat_timeout_s,
                    jitter=self._jitter,
                    paused=self._paused,
                )
            except Exception as error:  # noqa: BLE001 - the caller raises it
                ready.set_exception(error)
                return
            ready.set_result(pool)
            await pool.run()

        self._thread = threading.Thread(
            target=lambda: asyncio.run(host()), name="mastodon-streams", daemon=True
        )
        self._thread.start()
        return ready.result()
