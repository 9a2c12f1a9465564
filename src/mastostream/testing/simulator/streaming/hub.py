"""The hub of a server's streams: clients, their subscriptions, and the messages to them."""

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
    """An event of a stream. It is encoded at most once for each protocol and stream name.

    Attributes:
        event: name of the event, such as ``update``, ``status.update`` or ``delete``.
        payload: a status as JSON, or the id of a deleted post.
    """

    def __init__(self, event: str, payload: bytes) -> None:
        """Keep the event; it is encoded when it is needed."""
        self.event = event
        self.payload = payload
        self._chunks: bytes | None = None
        self._frames: dict[tuple[str, ...], bytes] = {}

    def chunks(self) -> bytes:
        """Return the server-sent event in two HTTP chunks, as Mastodon's server sends it."""
        if self._chunks is None:
            name = chunk(b"event: %b\n" % self.event.encode())
            self._chunks = name + chunk(b"data: %b\n\n" % self.payload)
        return self._chunks

    def frame(self, stream: tuple[str, ...]) -> bytes:
        """Return the event as a WebSocket text frame that names this stream."""
        encoded = self._frames.get(stream)
        if encoded is None:
            text = self.payload.decode()
            envelope = {"stream": stream, "event": self.event, "payload": text}
            frame = Frame(Opcode.TEXT, msgspec.json.encode(envelope))
            encoded = self._frames[stream] = frame.serialize(mask=False)
        return encoded


class Client(Protocol):
    """A connection that listens to streams. Its methods are called in the server's thread.

    Attributes:
        token: the token that the client sent.
    """

    token: str

    def send(self, message: StreamMessage, stream: tuple[str, ...]) -> None:
        """Send an event of a stream. It is buffered without a limit until the client reads it."""

    def end(self) -> None:
        """End the stream cleanly, and close the connection."""

    def cut(self) -> None:
        """Break the connection at once."""

    def deaden(self) -> None:
        """Stay open, but send nothing any more."""


class Hub:
    """The clients of one server and their channels. Other threads may use ``len`` only."""

    def __init__(self) -> None:
        self._channels: dict[Channel, dict[Client, tuple[str, ...]]] = {}
        self._clients: dict[Client, set[Channel]] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def enter(self, client: Client) -> None:
        """Add a client without subscriptions."""
        self._clients.setdefault(client, set())

    def leave(self, client: Client) -> None:
        """Remove a client and its subscriptions."""
        for channel in self._clients.pop(client, set()):
            del self._channels[channel][client]

    def subscribe(self, client: Client, channel: Channel, stream: tuple[str, ...]) -> None:
        """Subscribe a client to a channel; a second time, in any spelling, changes nothing."""
        self._clients.setdefault(client, set()).add(channel)
        self._channels.setdefault(channel, {}).setdefault(client, stream)

    def unsubscribe(self, client: Client, channel: Channel) -> None:
        """End a client's subscription to a channel."""
        self._clients[client].discard(channel)
        self._channels.get(channel, {}).pop(client, None)

    def has_listeners(self, channels: Iterable[Channel]) -> bool:
        """Whether any client listens to one of these channels."""
        return any(self._channels.get(channel) for channel in channels)

    def send(self, channels: Iterable[Channel], message: StreamMessage) -> None:
        """Send an event to the clients of these channels."""
        for channel in channels:
            for client, stream in self._channels.get(channel, {}).items():
                client.send(message, stream)

    def channels(self) -> list[Channel]:
        """Return all channels that ever had a client."""
        return [*self._channels]

    def clients(self, token: str | None = None) -> list[Client]:
        """Return all clients, or those with this token."""
        return [client for client in self._clients if token is None or client.token == token]
