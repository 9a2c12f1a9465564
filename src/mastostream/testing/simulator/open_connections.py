"""The open TCP connections of a server, so that faults can close and break them."""

import asyncio
from contextlib import suppress
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["OpenConnections", "RecordedProtocol"]

Address = tuple[str, int]


class OpenConnections:
    """The open connections by the client's address. Use it in the server's thread only."""

    def __init__(self) -> None:
        self._transports: dict[Address, asyncio.Transport] = {}
        self._closing = asyncio.Event()

    def add(self, transport: asyncio.Transport) -> None:
        """Register a connection."""
        self._transports[_peer(transport)] = transport

    def remove(self, transport: asyncio.Transport) -> None:
        """Remove a connection."""
        self._transports.pop(_peer(transport), None)

    def find(self, client: Address) -> asyncio.Transport | None:
        """Return the connection of a client; ``None`` where it is closed."""
        return self._transports.get((client[0], client[1]))

    def close(self, client: Address) -> None:
        """Send what is buffered, then close the connection of a client."""
        transport = self.find(client)
        if transport is not None:
            transport.close()

    def abort(self) -> None:
        """Break all connections at once: buffered data is lost."""
        for transport in [*self._transports.values()]:
            transport.abort()

    def shut_down(self) -> None:
        """Break all connections and end every ``pause``: the server stops."""
        self._closing.set()
        self.abort()

    async def pause(self, seconds: float) -> None:
        """Wait this many real seconds, or until the server stops."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)


class RecordedProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which registers its connections in :class:`OpenConnections`."""

    def __init__(self, connections: OpenConnections, **arguments: Any) -> None:
        """Pass uvicorn's arguments on; register connections in ``connections``."""
        super().__init__(**arguments)
        self._recorded = connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn declares it so
        """Register the connection."""
        self._recorded.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection."""
        self._recorded.remove(self.transport)
        super().connection_lost(exc)


def _peer(transport: asyncio.Transport) -> Address:
    host, port, *_ = transport.get_extra_info("peername") or ("", 0)
    return host, port
