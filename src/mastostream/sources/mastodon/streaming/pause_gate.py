"""The pause gate: stops all connections from reading while the collector is overloaded."""

import asyncio

__all__ = ["PauseGate"]


class PauseGate:
    """A switch for backpressure: while it is paused, connections read no further events.

    Attributes:
        paused: whether it is paused now; read it in the event loop.
    """

    def __init__(self, *, paused: bool) -> None:
        """Start open or paused, in the event loop that is running."""
        self.paused = paused
        self._loop = asyncio.get_running_loop()
        self._opened = asyncio.Event()

    def turn(self, *, paused: bool) -> None:
        """Pause the gate, or open it again. May be called from any thread.

        While the gate is paused, events that were not passed to ``put`` yet have to wait.
        """
        self.paused = paused
        self._loop.call_soon_threadsafe(self._wake)

    async def opened(self) -> None:
        """Wait until the gate is open."""
        while self.paused:
            self._opened.clear()
            await self._opened.wait()

    def _wake(self) -> None:
        if not self.paused:
            self._opened.set()
