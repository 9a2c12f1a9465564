"""Speed of the stream client from socket to decoded post, against a loop by hand."""

import base64
import hashlib
import json
import queue
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import mastodon
import orjson
import pytest
import requests

from mastostream import Post, decode
from mastostream.ports.clock import SystemClock
from mastostream.ports.stream import Feed, Opened, StreamEvent, StreamItem
from mastostream.sources.mastodon.streaming import MastodonStreams
from mastostream.testing.simulator import generate_statuses

BLOCK = 500
EVENTS = 100 * BLOCK
FEW_EVENTS = 300
ROUNDS = 5
LEAST_RATIO = 20 / 150
"""Bound: 20,000 events/s on a machine where the loop by hand reads 150,000 events/s."""

KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def plain(statuses: list[str]) -> bytes:
    """Return the events without framing, for a client that reads until the connection ends."""
    return b"".join(f"event: update\ndata: {status}\n\n".encode() for status in statuses)


def chunked(statuses: list[str]) -> bytes:
    """Return the events as Mastodon sends them: one HTTP chunk for the name, one for the data."""
    chunks = []
    for status in statuses:
        for text in ("event: update\n", f"data: {status}\n\n"):
            raw = text.encode()
            chunks.append(b"%x\r\n%b\r\n" % (len(raw), raw))
    return b"".join(chunks)


def framed(statuses: list[str]) -> bytes:
    """Return the events as Mastodon's WebSocket sends them: unmasked text frames."""
    frames = []
    for status in statuses:
        message = {"stream": ["hashtag", "news"], "event": "update", "payload": status}
        raw = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        assert 125 < len(raw) < 2**16
        frames.append(struct.pack("!BBH", 0x81, 126, len(raw)) + raw)
    return b"".join(frames)


def serve() -> None:
    """Send prepared events as fast as clients read them; runs as a process of its own."""
    statuses = [status.decode() for status in generate_statuses(BLOCK)]
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            request = connection.recv(65_536).decode()
            response, block, count = head + "\r\n", plain(statuses), EVENTS
            if "Upgrade: websocket" in request:
                _, _, rest = request.partition("Sec-WebSocket-Key: ")
                accept = hashlib.sha1(rest.split("\r\n")[0].encode() + KEY).digest()
                response = (
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\n"
                    f"Sec-WebSocket-Accept: {base64.b64encode(accept).decode()}\r\n\r\n"
                )
                block = framed(statuses)
            elif request.startswith("GET /few"):
                response, block = (
                    head + "Transfer-Encoding: chunked\r\n\r\n",
                    chunked(statuses[:100]),
                )
                count = FEW_EVENTS // 100 * BLOCK
            elif request.startswith("GET /api/"):
                response, block = head + "Transfer-Encoding: chunked\r\n\r\n", chunked(statuses)
            try:
                connection.sendall(response.encode())
                for _ in range(count // BLOCK):
                    connection.sendall(block)
                while connection.recv(65_536):  # the client closes when it has enough events
                    pass
            except OSError:
                pass


@contextmanager
def serving() -> Iterator[int]:
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def by_hand(port: int) -> float:
    """Return events per second of a blocking socket with orjson."""
    count, tail = 0, b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while b"\r\n\r\n" not in tail:
            tail += connection.recv(65_536)
        tail = tail.partition(b"\r\n\r\n")[2]
        began = time.perf_counter()
        while count < EVENTS:
            *events, tail = (tail + connection.recv(262_144)).split(b"\n\n")
            for event in events:
                name, _, data = event.partition(b"\n")
                assert name == b"event: update"
                orjson.loads(data[6:])
            count += len(events)
    return count / (time.perf_counter() - began)


def by_client(port: int, transport: Literal["sse", "websocket"]) -> float:
    """Return events per second of the client, decoded in another thread."""
    items: queue.SimpleQueue[StreamItem] = queue.SimpleQueue()
    streams = MastodonStreams(items.put, clock=SystemClock())
    url = f"http://127.0.0.1:{port}"
    streams.follow(Feed(name="f", url=url, tags=("news",), transport=transport))
    assert isinstance(items.get(), Opened)
    began = time.perf_counter()
    for _ in range(EVENTS):
        item = items.get()
        assert isinstance(item, StreamEvent)
        assert isinstance(decode(item.data), Post)
    elapsed = time.perf_counter() - began
    assert items.empty()
    streams.close()
    return EVENTS / elapsed


class Listener(mastodon.StreamListener):
    """Counts events, and stops after ``FEW_EVENTS``."""

    count = 0

    def on_update(self, status: object) -> None:
        self.count += 1
        if self.count == FEW_EVENTS:
            raise StopIteration


def by_mastodon_py(port: int) -> float:
    """Return events per second of Mastodon.py's reader."""
    listener = Listener()
    with requests.get(f"http://127.0.0.1:{port}/few", stream=True, timeout=60) as response:
        began = time.perf_counter()
        with pytest.raises(StopIteration):
            listener.handle_stream(response)
    return FEW_EVENTS / (time.perf_counter() - began)


def test_stream_reader() -> None:
    measures: dict[str, Callable[[int], float]] = {
        "by hand": by_hand,
        "server-sent events": lambda port: by_client(port, "sse"),
        "WebSocket": lambda port: by_client(port, "websocket"),
    }
    speeds: dict[str, list[float]] = {name: [] for name in measures}
    with serving() as port:
        for _ in range(ROUNDS):
            for name, measure in measures.items():
                speeds[name].append(measure(port))
        theirs = by_mastodon_py(port)
    median = {name: statistics.median(values) for name, values in speeds.items()}
    bound = median.pop("by hand")
    print(f"\nstream reader, Mastodon.py: {theirs:.0f} events/s: ratio {theirs / bound:.3f}")
    for name, speed in median.items():
        print(
            f"stream reader, {name}: {speed:.0f} events/s against {bound:.0f} by hand: "
            f"ratio {speed / bound:.2f}"
        )
    assert min(median.values()) / bound >= LEAST_RATIO


if __name__ == "__main__":
    serve()
