"""The pause gate: stops all connections from reading while the collector is overloaded."""

import asyncio

__all__ = ["PauseGate"]


class PauseGate:
    """Is either open or paused. ``paused`` may be read in the event loop at any time."""

    def __init__(self, *, paused: bool) -> None:
        """Start open or paused, in the event loop that is running."""
        self.paused = paused
        self._loop = asyncio.get_running_loop()
        self._opened = asyncio.Event()

    def turn(self, *, paused: bool) -> None:
        """Pause or open, from any thread. Events that were not put yet wait while paused."""
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
