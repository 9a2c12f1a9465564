"""Clients for tests of the simulated servers."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from websockets.sync.client import ClientConnection, connect

from mastostream.testing.simulator import SimulatedServer

START = 1_750_000_000_000
DAY_MS = 86_400_000


def until(condition: Callable[[], bool], patience_s: float = 5.0) -> None:
    end_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.002)


def get(server: SimulatedServer, path: str, token: str | None = None, **query: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(server.url + path, query, headers=headers, timeout=5)


def ids(answer: Any) -> list[str]:
    return [status["id"] for status in answer.json()]


class Sse:
    """Reads a stream of server-sent events from the bare connection."""

    def __init__(self, server: SimulatedServer, path: str, token: str | None = "t") -> None:
        where = urlsplit(server.url)
        self.socket = socket.create_connection((where.hostname, where.port), timeout=5)
        lines = [f"GET /api/v1/streaming{path} HTTP/1.1", f"Host: {where.netloc}"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.raw = b""
        self.ended = False
        try:
            self.read_until(lambda: b"\r\n\r\n" in self.raw)
        except BaseException:
            self.socket.close()
            raise

    @property
    def head(self) -> str:
        return self.raw.partition(b"\r\n\r\n")[0].decode()

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    @property
    def body(self) -> bytes:
        """What has come, without the framing of the chunks."""
        rest = self.raw.partition(b"\r\n\r\n")[2]
        found = b""
        while b"\r\n" in rest:
            size, _, rest = rest.partition(b"\r\n")
            found += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return found

    @property
    def events(self) -> list[tuple[str, str]]:
        found = []
        for block in self.body.split(b"\n\n")[:-1]:
            lines = [
                line for line in block.split(b"\n") if line.startswith((b"event: ", b"data: "))
            ]
            if len(lines) == 2:
                event, data = (line.partition(b": ")[2].decode() for line in lines)
                found.append((event, data))
        return found

    def read_until(self, condition: Callable[[], bool]) -> None:
        """Read; a connection that ends is noted, a connection that is silent for 5 s fails."""
        while not condition() and not self.ended:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                data = b""
            self.ended = not data
            self.raw += data
        assert condition(), self.raw[-300:]

    def wait_for_end(self) -> None:
        self.read_until(lambda: self.ended)


@contextmanager
def sse(server: SimulatedServer, path: str, token: str | None = "t") -> Iterator[Sse]:
    listeners = server.listeners()
    stream = Sse(server, path, token)
    if stream.status == 200:
        until(lambda: server.listeners() == listeners + 1)
    try:
        yield stream
    finally:
        stream.socket.close()


@contextmanager
def websocket(
    server: SimulatedServer, query: str = "", token: str | None = "t", **more: Any
) -> Iterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = server.url.replace("http", "ws", 1) + f"/api/v1/streaming{query}"
    more = {"max_size": None, "compression": None} | more
    listeners = server.listeners()
    with connect(url, additional_headers=headers, **more) as connection:
        until(lambda: server.listeners() == listeners + 1)
        try:
            yield connection
        finally:
            # A polite end would wait for all that was not read.
            connection.close_socket()


def received(connection: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(connection.recv(timeout=5))
    return message
