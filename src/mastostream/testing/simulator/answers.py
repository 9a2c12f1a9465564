"""Answers of a simulated server, and the ways in which they break."""

from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, Final, NamedTuple

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mastostream.testing.simulator.open_connections import OpenConnections

__all__ = ["Answer", "BrokenResponse", "error", "http_date", "to_response"]

JSON: Final = "application/json; charset=utf-8"


class Answer(NamedTuple):
    """What is sent: JSON, or text as it is."""

    status: int
    body: Any
    headers: Mapping[str, str] = {}

    def encoded(self) -> bytes:
        """Return the body's bytes."""
        return self.body.encode() if isinstance(self.body, str) else msgspec.json.encode(self.body)


def error(status: int, text: str) -> Answer:
    """Return an error as Mastodon's API tells it."""
    return Answer(status, {"error": text})


def http_date(now_ms: int) -> str:
    """Return a moment as a ``Date`` header says it."""
    return formatdate(now_ms / 1000, usegmt=True)


def to_response(answer: Answer, headers: Mapping[str, str]) -> Response:
    """Return the answer with these headers, too."""
    told = {"Content-Type": "text/plain" if isinstance(answer.body, str) else JSON}
    return Response(answer.encoded(), answer.status, told | dict(headers) | dict(answer.headers))


class BrokenResponse(Response):
    """Promises a body, sends half of it, and closes the connection."""

    def __init__(self, answer: Answer, connections: OpenConnections) -> None:
        """Break this answer."""
        super().__init__(answer.encoded(), answer.status, media_type=JSON)
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        self._connections.close(scope["client"])
        while (await receive())["type"] != "http.disconnect":
            pass
