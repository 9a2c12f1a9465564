"""Who listens to what, and how an event gets to them."""

from collections.abc import Iterable
from typing import Protocol

import msgspec
from websockets.frames import Frame, Opcode

from mastostream.testing.simulator.streaming.channels import Channel

__all__ = ["Client", "Hub", "StreamMessage", "chunk"]


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class StreamMessage:
    """An event. It is written once, however many listen.

    Attributes:
        event: ``update``, ``status.update``, ``delete`` ...
        payload: a status as JSON, or a bare id.
    """

    def __init__(self, event: str, payload: bytes) -> None:
        """Write nothing yet."""
        self.event = event
        self.payload = payload
        self._chunks: bytes | None = None
        self._frames: dict[tuple[str, ...], bytes] = {}

    def chunks(self) -> bytes:
        """Return it as server-sent event: two chunks, as Mastodon's server writes it."""
        if self._chunks is None:
            name = chunk(b"event: %b\n" % self.event.encode())
            self._chunks = name + chunk(b"data: %b\n\n" % self.payload)
        return self._chunks

    def frame(self, stream: tuple[str, ...]) -> bytes:
        """Return it as a WebSocket's text frame for a stream of this name."""
        found = self._frames.get(stream)
        if found is None:
            text = self.payload.decode()
            envelope = {"stream": stream, "event": self.event, "payload": text}
            frame = Frame(Opcode.TEXT, msgspec.json.encode(envelope))
            found = self._frames[stream] = frame.serialize(mask=False)
        return found


class Client(Protocol):
    """A connection that listens. Its methods are called in the server's thread."""

    token: str

    def send(self, message: StreamMessage, stream: tuple[str, ...]) -> None:
        """Send an event of a stream. What is not read yet waits, without a limit."""

    def end(self) -> None:
        """Say that it is over, and close."""

    def cut(self) -> None:
        """Break the connection."""

    def deaden(self) -> None:
        """Send nothing any more, and stay open."""


class Hub:
    """The clients of one server. To be used in its thread, but for ``len``."""

    def __init__(self) -> None:
        self._channels: dict[Channel, dict[Client, tuple[str, ...]]] = {}
        self._clients: dict[Client, set[Channel]] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def enter(self, client: Client) -> None:
        """Remember a client, which listens to nothing yet."""
        self._clients.setdefault(client, set())

    def leave(self, client: Client) -> None:
        """Forget a client."""
        for channel in self._clients.pop(client, set()):
            del self._channels[channel][client]

    def subscribe(self, client: Client, channel: Channel, stream: tuple[str, ...]) -> None:
        """Let a client listen; a second time, in whatever spelling, changes nothing."""
        self._clients.setdefault(client, set()).add(channel)
        self._channels.setdefault(channel, {}).setdefault(client, stream)

    def unsubscribe(self, client: Client, channel: Channel) -> None:
        """Let a client listen no more."""
        self._clients[client].discard(channel)
        self._channels.get(channel, {}).pop(client, None)

    def listened(self, channels: Iterable[Channel]) -> bool:
        """Whether anybody listens to one of these."""
        return any(self._channels.get(channel) for channel in channels)

    def send(self, channels: Iterable[Channel], message: StreamMessage) -> None:
        """Send an event to those who listen to these."""
        for channel in channels:
            for client, stream in self._channels.get(channel, {}).items():
                client.send(message, stream)

    def channels(self) -> list[Channel]:
        """Return all that has ever been listened to."""
        return [*self._channels]

    def clients(self, token: str | None = None) -> list[Client]:
        """Return all clients, or those that came with a token."""
        return [client for client in self._clients if token is None or client.token == token]
