"""What holds all connections while the collector has enough."""

import asyncio

__all__ = ["PauseGate"]


class PauseGate:
    """Open or paused. ``paused`` may be read in the event loop at any time."""

    def __init__(self, *, paused: bool) -> None:
        """Belong to the event loop that runs."""
        self.paused = paused
        self._loop = asyncio.get_running_loop()
        self._opened = asyncio.Event()

    def turn(self, *, paused: bool) -> None:
        """Pause or open, from any thread: what is not yet handed over stays where it is."""
        self.paused = paused
        self._loop.call_soon_threadsafe(self._tell)

    async def opened(self) -> None:
        """Return once it is open."""
        while self.paused:
            self._opened.clear()
            await self._opened.wait()

    def _tell(self) -> None:
        if not self.paused:
            self._opened.set()
