"""The open connections of a server: what a web framework does not do to them."""

import asyncio
from contextlib import suppress
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["OpenConnections", "RecordedProtocol"]

Address = tuple[str, int]


class OpenConnections:
    """Finds the connection of a client's address. To be used in the server's thread."""

    def __init__(self) -> None:
        self._transports: dict[Address, asyncio.Transport] = {}
        self._closing = asyncio.Event()

    def add(self, transport: asyncio.Transport) -> None:
        """Remember a connection."""
        self._transports[_peer(transport)] = transport

    def remove(self, transport: asyncio.Transport) -> None:
        """Forget a connection."""
        self._transports.pop(_peer(transport), None)

    def of(self, client: Address) -> asyncio.Transport | None:
        """Return the connection of a client; ``None`` where it is gone."""
        return self._transports.get((client[0], client[1]))

    def close(self, client: Address) -> None:
        """Send what is to be sent, and close."""
        transport = self.of(client)
        if transport is not None:
            transport.close()

    def abort(self) -> None:
        """Break all of them."""
        for transport in [*self._transports.values()]:
            transport.abort()

    def shut(self) -> None:
        """Break all of them, for good: slow answers end, too."""
        self._closing.set()
        self.abort()

    async def pause(self, seconds: float) -> None:
        """Wait, but not while the server ends."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)


class RecordedProtocol(H11Protocol):
    """uvicorn's HTTP protocol; its connections are remembered."""

    def __init__(self, connections: OpenConnections, **given: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(**given)
        self._recorded = connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Remember it."""
        self._recorded.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._recorded.remove(self.transport)
        super().connection_lost(exc)


def _peer(transport: asyncio.Transport) -> Address:
    host, port, *_ = transport.get_extra_info("peername") or ("", 0)
    return host, port
