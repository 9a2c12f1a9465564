"""Access to streams, for server-sent events and WebSockets: faults, tokens and stream names."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

import attrs

from mastostream.testing.simulator.api_middleware import ServerClock
from mastostream.testing.simulator.families import Family
from mastostream.testing.simulator.faults import Faults
from mastostream.testing.simulator.limits import RateLimiter
from mastostream.testing.simulator.open_connections import OpenConnections
from mastostream.testing.simulator.streaming.channels import PATHS, channel, stream_name
from mastostream.testing.simulator.streaming.hub import Client, Hub
from mastostream.testing.simulator.streaming.pusher import Pusher
from mastostream.testing.simulator.tokens import Tokens

__all__ = ["StreamRefusal", "StreamService"]

_SCOPES = ("read", "read:statuses")


class StreamRefusal(NamedTuple):
    """The error response to a client that may not listen.

    Attributes:
        status: HTTP status of the response.
        error: error message of the response.
    """

    status: int
    error: str


@attrs.frozen(kw_only=True)
class StreamService:
    """The streaming service of one server. Use it in the server's thread only.

    Attributes:
        heartbeat_s: seconds of the server's clock between two heartbeats of server-sent events.
        ping_s: seconds of the server's clock between two pings of a WebSocket.
        pong_timeout_s: real seconds that a client has at least to answer a ping.
    """

    family: Family
    hub: Hub
    pusher: Pusher
    tokens: Tokens
    limits: RateLimiter
    faults: Faults
    connections: OpenConnections
    clock: ServerClock
    heartbeat_s: float = 15.0
    ping_s: float = 30.0
    pong_timeout_s: float = 5.0

    def refusal_by_fault(self) -> StreamRefusal | None:
        """Return the refusal by an active fault; ``None`` where there is none."""
        active = self.faults.active(self.clock.now_ms())
        if "no_streaming" in active:
            return StreamRefusal(404, "Not Found")
        if active & {"rate_limited", "rate_limited_bare"}:
            return StreamRefusal(429, "Too many requests")
        if active & {"unavailable", "server_error"}:
            return StreamRefusal(503, "simulated fault")
        return None

    def refusal_by_token(self, token: str | None) -> StreamRefusal | None:
        """Return the refusal of a token that may not listen; ``None`` where it may."""
        gotosocial = self.family == "gotosocial"
        if not token:
            missing = "Unauthorized: token not supplied" if gotosocial else "Missing access token"
            return StreamRefusal(401, missing)
        grant = self.tokens.find(token)
        if grant is None:
            return StreamRefusal(401, "Unauthorized" if gotosocial else "Invalid access token")
        if not grant.allows(*_SCOPES):
            return StreamRefusal(401, "Access token does not have the required scopes")
        return None

    def refusal_by_name(self, stream: str, members: Mapping[str, str]) -> StreamRefusal | None:
        """Return the refusal of a stream name that is not valid; GoToSocial accepts any name."""
        if self.family == "gotosocial":
            return None
        if stream not in PATHS.values():
            return StreamRefusal(400, "Unknown stream type")
        if stream.startswith("hashtag") and not members.get("tag"):
            return StreamRefusal(400, "Missing tag name parameter")
        if stream == "list":
            if not members.get("list"):
                return StreamRefusal(400, "Missing list name parameter")
            return StreamRefusal(401, "Not authorized to stream this list")
        return None

    def subscribe(self, client: Client, stream: str, tag: str) -> None:
        """Subscribe a client to the events of a stream from now on."""
        self.pusher.push_due()
        self.hub.subscribe(client, channel(stream, tag), stream_name(stream, tag))

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call ``callback`` in this many seconds of the server's clock."""
        return asyncio.get_running_loop().call_later(self.clock.real_s(seconds), callback)
