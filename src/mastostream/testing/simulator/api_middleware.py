"""What stands before a simulated server's REST API: its limits, its tokens, and its faults."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol
from urllib.parse import parse_qsl

import attrs
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mastostream.testing.simulator.answers import (
    Answer,
    BrokenResponse,
    error,
    http_date,
    to_response,
)
from mastostream.testing.simulator.fault_plan import FaultKind
from mastostream.testing.simulator.faults import OF_KIND, Fault, Faults
from mastostream.testing.simulator.limits import PAGING_MEMBERS, RateLimiter, Verdict
from mastostream.testing.simulator.open_connections import OpenConnections
from mastostream.testing.simulator.tokens import Grant, Tokens
from mastostream.testing.simulator.world import World

__all__ = ["ApiMiddleware", "Call", "Endpoint", "Time", "bearer"]

EVERYWHERE: Final[tuple[FaultKind, ...]] = (
    "rate_limited",
    "rate_limited_bare",
    "server_error",
    "slow",
    "cut",
    "truncated",
)


class Time(Protocol):
    """The part of a :class:`mastostream.ports.clock.Clock` that a server needs."""

    def now_ms(self) -> int:
        """Return milliseconds since the epoch."""

    def real_s(self, seconds: float) -> float:
        """Return how long that takes on the machine."""


class Call(NamedTuple):
    """A request that was let in.

    Attributes:
        grant: what its token allows; ``None`` without a token.
        form: the members of the body.
    """

    request: Request
    now_ms: int
    grant: Grant | None
    form: Mapping[str, str]


@attrs.frozen(kw_only=True)
class Endpoint:
    """One thing to ask for.

    Attributes:
        access: whether a token is needed: ``open`` for never, ``usual`` where the server wants one
            for everything, ``token`` for always.
        scopes: one of these has to be granted.
        fault: what can go wrong with this alone.
        counted: whether the limits count it.
    """

    path: str
    answer: Callable[[Call], Answer]
    method: Literal["GET", "POST"] = "GET"
    access: Literal["open", "usual", "token"] = "usual"
    scopes: tuple[str, ...] = ()
    fault: FaultKind | None = None
    counted: bool = True


class ApiMiddleware:
    """Lets requests in, or not."""

    def __init__(
        self,
        world: World,
        clock: Time,
        *,
        tokens: Tokens,
        limits: RateLimiter,
        faults: Faults,
        connections: OpenConnections,
    ) -> None:
        """Stand before a server that shows this world."""
        self._world = world
        self._gotosocial = world.family == "gotosocial"
        self._clock = clock
        self._tokens = tokens
        self._limits = limits
        self._faults = faults
        self._connections = connections

    def route(self, endpoint: Endpoint) -> Route:
        """Return the route of an endpoint."""

        async def respond(request: Request) -> Response:
            return await self._respond(endpoint, request)

        return Route(endpoint.path, respond, methods=[endpoint.method])

    async def _respond(self, endpoint: Endpoint, request: Request) -> Response:
        now_ms = self._clock.now_ms()
        self._world.advance(now_ms)
        form = _form(await request.body()) if endpoint.method == "POST" else {}
        token = bearer(request)
        grant = None if token is None else self._tokens.find(token)
        verdict, fault = Verdict(False, {}), Fault()
        if endpoint.counted:
            verdict = self._count(endpoint, request, token if grant else None, now_ms)
            fault = self._fault(endpoint, now_ms)
        if fault.delay_s:
            await self._connections.pause(self._clock.real_s(fault.delay_s))
        refused = self._out_of_order(request, verdict, fault)
        if refused is None and endpoint.access != "open":
            refused = self._unauthorized(endpoint, token, grant)
        answer = refused or endpoint.answer(Call(request, now_ms, grant, form))
        return self._sent(answer, fault, verdict, now_ms)

    def _count(
        self, endpoint: Endpoint, request: Request, token: str | None, now_ms: int
    ) -> Verdict:
        """Count a request: by its token where that is valid, else by its address."""
        client = request.client.host if request.client else ""
        if token is not None and not self._gotosocial:
            client = f"token {token}"
        self._limits.usage.paths[endpoint.path] += 1
        paging = not PAGING_MEMBERS.isdisjoint(request.query_params.keys())
        return self._limits.count(client, now_ms, paging=paging)

    def _sent(self, answer: Answer, fault: Fault, verdict: Verdict, now_ms: int) -> Response:
        if fault.empty:
            answer = answer._replace(body=[])
        if fault.cut:
            return BrokenResponse(answer, self._connections)
        headers = dict(verdict.headers) if fault.status is None else {}
        if fault.limit_headers:
            headers |= self._limits.headers(now_ms, 0)
        headers |= dict(fault.headers) | {"Date": http_date(now_ms)}
        response = to_response(answer, headers)
        if fault.truncated:
            response.body = bytes(response.body)[: len(response.body) // 2]
            response.headers["Content-Length"] = str(len(response.body))
        return response

    def _fault(self, endpoint: Endpoint, now_ms: int) -> Fault:
        taken = self._faults.take()
        if taken is not None:
            return taken
        active = self._faults.active(now_ms)
        if "unavailable" in active:
            return Fault(status=503)
        for kind in (*EVERYWHERE, endpoint.fault):
            if kind is not None and kind in active:
                return OF_KIND[kind]
        return Fault()

    def _out_of_order(self, request: Request, verdict: Verdict, fault: Fault) -> Answer | None:
        if verdict.over or fault.status == 429:
            return error(429, "rate limit reached" if self._gotosocial else "Too many requests")
        if fault.status is not None:
            return error(fault.status, "simulated fault")
        if self._gotosocial and not request.headers.get("user-agent"):
            return error(418, "I'm a teapot: no user-agent sent with request")
        accepted = request.headers.get("accept", "*/*")
        if self._gotosocial and "*" not in accepted and "json" not in accepted:
            return error(406, "Not Acceptable")
        return None

    def _unauthorized(
        self, endpoint: Endpoint, token: str | None, grant: Grant | None
    ) -> Answer | None:
        if token is None:
            if endpoint.access == "usual" and not self._tokens.required:
                return None
            reason = "token not supplied"
        elif grant is None:
            reason = "token is invalid"
        elif endpoint.scopes and not grant.allows(*endpoint.scopes):
            return error(403, "This action is outside the authorized scopes")
        else:
            return None
        if self._gotosocial:
            return error(401, f"Unauthorized: {reason}")
        revoked = token is not None and self._tokens.was_revoked(token)
        return error(401, f"The access token {'was revoked' if revoked else 'is invalid'}")


def bearer(request: Request) -> str | None:
    """Return the token that a request came with: of the header, else of the query."""
    header = request.headers.get("authorization")
    if header:
        return header.removeprefix("Bearer ")
    return request.query_params.get("access_token")


def _form(body: bytes) -> dict[str, str]:
    """Read a body of JSON, or of a form."""
    try:
        members: Any = msgspec.json.decode(body)
        return {str(name): str(value) for name, value in members.items()}
    except (msgspec.DecodeError, AttributeError):
        return dict(parse_qsl(body.decode("utf-8", "replace")))
