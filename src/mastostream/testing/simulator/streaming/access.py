"""What both kinds of streams share: who may listen, to what, and what is wrong with a request."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

import attrs

from mastostream.testing.simulator.api_middleware import Time
from mastostream.testing.simulator.families import Family
from mastostream.testing.simulator.faults import Faults
from mastostream.testing.simulator.limits import RateLimiter
from mastostream.testing.simulator.open_connections import OpenConnections
from mastostream.testing.simulator.streaming.channels import PATHS, channel, spelled
from mastostream.testing.simulator.streaming.hub import Client, Hub
from mastostream.testing.simulator.streaming.pusher import Pusher
from mastostream.testing.simulator.tokens import Tokens

__all__ = ["Refused", "StreamService"]

_SCOPES = ("read", "read:statuses")


class Refused(NamedTuple):
    """Why somebody may not listen.

    Attributes:
        status: the HTTP status.
    """

    status: int
    error: str


@attrs.frozen(kw_only=True)
class StreamService:
    """One server's. To be used in its thread.

    Attributes:
        heartbeat_s: between two heartbeats of server-sent events, on the server's clock.
        ping_s: between two pings of a WebSocket, on the server's clock.
        pong_timeout_s: how long a client may take to answer one, at least, in real seconds.
    """

    family: Family
    hub: Hub
    pusher: Pusher
    tokens: Tokens
    limits: RateLimiter
    faults: Faults
    connections: OpenConnections
    clock: Time
    heartbeat_s: float = 15.0
    ping_s: float = 30.0
    pong_timeout_s: float = 5.0

    def out_of_order(self) -> Refused | None:
        """Return what a fault answers instead of a stream."""
        active = self.faults.active(self.clock.now_ms())
        if "no_streaming" in active:
            return Refused(404, "Not Found")
        if active & {"rate_limited", "rate_limited_bare"}:
            return Refused(429, "Too many requests")
        if active & {"unavailable", "server_error"}:
            return Refused(503, "simulated fault")
        return None

    def unauthorized(self, token: str | None) -> Refused | None:
        """Return why this token may not listen; ``None`` where it may."""
        gotosocial = self.family == "gotosocial"
        if not token:
            missing = "Unauthorized: token not supplied" if gotosocial else "Missing access token"
            return Refused(401, missing)
        grant = self.tokens.find(token)
        if grant is None:
            return Refused(401, "Unauthorized" if gotosocial else "Invalid access token")
        if not grant.allows(*_SCOPES):
            return Refused(401, "Access token does not have the required scopes")
        return None

    def misnamed(self, stream: str, members: Mapping[str, str]) -> Refused | None:
        """Return what is wrong with the name of a stream; GoToSocial takes any."""
        if self.family == "gotosocial":
            return None
        if stream not in PATHS.values():
            return Refused(400, "Unknown stream type")
        if stream.startswith("hashtag") and not members.get("tag"):
            return Refused(400, "Missing tag name parameter")
        if stream == "list":
            if not members.get("list"):
                return Refused(400, "Missing list name parameter")
            return Refused(401, "Not authorized to stream this list")
        return None

    def subscribe(self, client: Client, stream: str, tag: str) -> None:
        """Let a client listen to what happens from now on."""
        self.pusher.push_due()
        self.hub.subscribe(client, channel(stream, tag), spelled(stream, tag))

    def later(self, seconds: float, beat: Callable[[], None]) -> asyncio.TimerHandle:
        """Have this called after some seconds of the server's clock."""
        return asyncio.get_running_loop().call_later(self.clock.real_s(seconds), beat)
