"""Responses of a simulated server: their bodies and headers, and one that breaks off half-way."""

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
    """A response before it is encoded.

    Attributes:
        status: the HTTP status.
        body: an object that is sent as JSON, or a ``str`` that is sent unchanged.
        headers: headers of this response only; they override all others.
    """

    status: int
    body: Any
    headers: Mapping[str, str] = {}

    def encoded(self) -> bytes:
        """Return the bytes of the body."""
        return self.body.encode() if isinstance(self.body, str) else msgspec.json.encode(self.body)


def error(status: int, text: str) -> Answer:
    """Return an error response of Mastodon's API."""
    return Answer(status, {"error": text})


def http_date(now_ms: int) -> str:
    """Return a time in the format of the ``Date`` header (RFC 9110)."""
    return formatdate(now_ms / 1000, usegmt=True)


def to_response(answer: Answer, headers: Mapping[str, str]) -> Response:
    """Return the encoded response; the answer's own headers override ``headers``."""
    content_type = {"Content-Type": "text/plain" if isinstance(answer.body, str) else JSON}
    return Response(
        answer.encoded(), answer.status, content_type | dict(headers) | dict(answer.headers)
    )


class BrokenResponse(Response):
    """Announces a body, sends half of it, and closes the connection."""

    def __init__(self, answer: Answer, connections: OpenConnections) -> None:
        """Prepare the response to break off this answer."""
        super().__init__(answer.encoded(), answer.status, media_type=JSON)
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head and half of the body, and close the connection."""
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
