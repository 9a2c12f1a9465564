"""The stream client: any number of feeds, in one thread of its own."""

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


class MastodonStreams:
    """A :class:`ports.stream.Streams` of Mastodon's streaming API.

    Whatever comes goes through ``put``, each connection's in order: :class:`Opened` when events
    begin to come, :class:`Cut` when they come no more, and again for each try that fails. A cut by
    a RetriableError is tried again by itself. What came of an event before a cut is never shown.

    While paused no event is put, and each connection holds no more than what it has read already:
    some 256 KiB of server-sent events, 1 MiB of a WebSocket, or the one event that is longer.
    """

    def __init__(
        self,
        put: Put,
        *,
        clock: Clock,
        heartbeat_timeout_s: float = 45.0,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Start nothing yet: the first :meth:`follow` does.

        Args:
            put: called in the thread that hosts the connections; must not block.
            clock: the time of events, and how fast the seconds between two tries go by.
            heartbeat_timeout_s: a stream without a sign of life for so many seconds of the
                machine's clock is dead. Mastodon's heartbeat is 15 s.
            jitter: chooses how long to wait between two tries: anything from the first to the
                second.
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
        """Listen, in place of the feed of this name if there is one.

        Raises:
            RuntimeError: the streams are closed.
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
        # It brings aiohttp, 200 ms: only who streams needs it.
        from mastostream.sources.mastodon.streaming.connection_pool import (  # noqa: PLC0415 - as said
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
