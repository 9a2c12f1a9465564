"""All parts of one simulated server except its port, put together for uvicorn."""

import functools
from collections.abc import Callable
from typing import Any, Final

import attrs
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from mastostream.testing.simulator.answers import error, http_date, to_response
from mastostream.testing.simulator.api_middleware import ApiMiddleware, ServerClock
from mastostream.testing.simulator.faults import Faults
from mastostream.testing.simulator.limits import RateLimiter
from mastostream.testing.simulator.oauth import OAuth
from mastostream.testing.simulator.open_connections import OpenConnections, RecordedProtocol
from mastostream.testing.simulator.rest import Rest
from mastostream.testing.simulator.streaming.access import StreamService
from mastostream.testing.simulator.streaming.hub import Hub
from mastostream.testing.simulator.streaming.pusher import Pusher
from mastostream.testing.simulator.streaming.sse_endpoint import sse_routes
from mastostream.testing.simulator.streaming.websocket_endpoint import StreamSocket
from mastostream.testing.simulator.tokens import Tokens
from mastostream.testing.simulator.world import World

__all__ = ["Site"]

_KEEP_ALIVE_S: Final = 75
"""How long an idle connection stays open, in seconds: nginx's default, which most servers use."""


@attrs.frozen(kw_only=True)
class Site:
    """The REST API, OAuth and the streams of one server.

    Attributes:
        restart: called when the fault ``restart`` begins.
        heartbeat_s: seconds of the server's clock between two heartbeats of server-sent events.
        ping_s: seconds of the server's clock between two pings of a WebSocket.
        pong_timeout_s: real seconds that a client has at least to answer a ping.
    """

    world: World
    clock: ServerClock
    tokens: Tokens
    limits: RateLimiter
    faults: Faults
    restart: Callable[[], None]
    heartbeat_s: float
    ping_s: float
    pong_timeout_s: float
    connections: OpenConnections = attrs.field(factory=OpenConnections, init=False)
    hub: Hub = attrs.field(factory=Hub, init=False)
    pusher: Pusher = attrs.field(init=False)

    @pusher.default
    def _make_pusher(self) -> Pusher:
        return Pusher(self.world, self.hub, self.faults, self.clock, self.restart)

    def config(self) -> uvicorn.Config:
        """Return the configuration with which uvicorn runs this server."""
        service = StreamService(
            family=self.world.family,
            hub=self.hub,
            pusher=self.pusher,
            tokens=self.tokens,
            limits=self.limits,
            faults=self.faults,
            connections=self.connections,
            clock=self.clock,
            heartbeat_s=self.heartbeat_s,
            ping_s=self.ping_s,
            pong_timeout_s=self.pong_timeout_s,
        )
        # uvicorn calls whatever it is given with the same arguments, but asks for classes.
        http: Any = functools.partial(RecordedProtocol, self.connections)
        websocket: Any = functools.partial(StreamSocket, service)
        return uvicorn.Config(
            self._app(service),
            http=http,
            ws=websocket,
            log_config=None,
            access_log=False,
            lifespan="off",
            loop="asyncio",
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )

    def _app(self, service: StreamService) -> Starlette:
        middleware = ApiMiddleware(
            self.world,
            self.clock,
            tokens=self.tokens,
            limits=self.limits,
            faults=self.faults,
            connections=self.connections,
        )
        endpoints = (
            *Rest(self.world, self.faults, self.tokens).endpoints(),
            *OAuth(self.tokens).endpoints(),
        )
        routes = [*sse_routes(service), *map(middleware.route, endpoints)]

        async def not_found(_: Request, __: Exception) -> Response:
            return to_response(error(404, "Not Found"), {"Date": http_date(self.clock.now_ms())})

        return Starlette(routes=routes, exception_handlers={404: not_found})
