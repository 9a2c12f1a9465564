"""The checks before each request of the REST API: rate limits, tokens and faults."""

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
from mastostream.testing.simulator.faults import FAULT_OF_KIND, Fault, Faults
from mastostream.testing.simulator.limits import PAGING_MEMBERS, RateLimiter, Verdict
from mastostream.testing.simulator.open_connections import OpenConnections
from mastostream.testing.simulator.tokens import Grant, Tokens
from mastostream.testing.simulator.world import World

__all__ = ["ApiMiddleware", "Call", "Endpoint", "ServerClock", "bearer_token"]

_KINDS_FOR_ALL_ENDPOINTS: Final[tuple[FaultKind, ...]] = (
    "rate_limited",
    "rate_limited_bare",
    "server_error",
    "slow",
    "cut",
    "truncated",
)
"""Faults that concern every endpoint; an endpoint may name one more of its own."""


class ServerClock(Protocol):
    """The part of a :class:`mastostream.ports.clock.Clock` that a server needs."""

    def now_ms(self) -> int:
        """Return milliseconds since the epoch."""

    def real_s(self, seconds: float) -> float:
        """Return how many real seconds correspond to these seconds of the clock."""


class Call(NamedTuple):
    """A request that has passed all checks.

    Attributes:
        request: the request as Starlette has it.
        now_ms: time of the request, milliseconds since the epoch.
        grant: rights of its token; ``None`` without a token.
        form: fields of its body, which is JSON or a form; empty for GET.
    """

    request: Request
    now_ms: int
    grant: Grant | None
    form: Mapping[str, str]


@attrs.frozen(kw_only=True)
class Endpoint:
    """One endpoint of the API.

    Attributes:
        path: route with ``{...}`` for path parameters.
        handler: returns the answer to a request that has passed all checks.
        method: HTTP method.
        access: whether a token is needed: ``open`` for never, ``usual`` where the server needs one
            for everything, ``token`` for always.
        scopes: scopes of which the token has to grant one.
        fault: the kind of fault that concerns this endpoint only; ``None`` for none.
        counted: whether rate limits and faults apply to it.
    """

    path: str
    handler: Callable[[Call], Answer]
    method: Literal["GET", "POST"] = "GET"
    access: Literal["open", "usual", "token"] = "usual"
    scopes: tuple[str, ...] = ()
    fault: FaultKind | None = None
    counted: bool = True


class ApiMiddleware:
    """Answers requests: with an error of a fault, limit or token, or with the handler's answer."""

    def __init__(
        self,
        world: World,
        clock: ServerClock,
        *,
        tokens: Tokens,
        limits: RateLimiter,
        faults: Faults,
        connections: OpenConnections,
    ) -> None:
        """Guard the endpoints of the server that shows this world."""
        self._world = world
        self._gotosocial = world.family == "gotosocial"
        self._clock = clock
        self._tokens = tokens
        self._limits = limits
        self._faults = faults
        self._connections = connections

    def route(self, endpoint: Endpoint) -> Route:
        """Return the route of an endpoint, with all checks before its handler."""

        async def respond(request: Request) -> Response:
            return await self._respond(endpoint, request)

        return Route(endpoint.path, respond, methods=[endpoint.method])

    async def _respond(self, endpoint: Endpoint, request: Request) -> Response:
        now_ms = self._clock.now_ms()
        self._world.advance(now_ms)
        form = _form(await request.body()) if endpoint.method == "POST" else {}
        token = bearer_token(request)
        grant = None if token is None else self._tokens.find(token)
        verdict, fault = Verdict(False, {}), Fault()
        if endpoint.counted:
            verdict = self._count(endpoint, request, token if grant else None, now_ms)
            fault = self._fault_of(endpoint, now_ms)
        if fault.delay_s:
            await self._connections.pause(self._clock.real_s(fault.delay_s))
        error_answer = self._precondition_error(request, verdict, fault)
        if error_answer is None and endpoint.access != "open":
            error_answer = self._authorization_error(endpoint, token, grant)
        answer = error_answer or endpoint.handler(Call(request, now_ms, grant, form))
        return self._response(answer, fault, verdict, now_ms)

    def _count(
        self, endpoint: Endpoint, request: Request, token: str | None, now_ms: int
    ) -> Verdict:
        """Count a request of its client: the token where it is valid, else the address."""
        client = request.client.host if request.client else ""
        if token is not None and not self._gotosocial:
            client = f"token {token}"
        self._limits.usage.paths[endpoint.path] += 1
        paging = not PAGING_MEMBERS.isdisjoint(request.query_params.keys())
        return self._limits.count(client, now_ms, paging=paging)

    def _response(self, answer: Answer, fault: Fault, verdict: Verdict, now_ms: int) -> Response:
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

    def _fault_of(self, endpoint: Endpoint, now_ms: int) -> Fault:
        queued = self._faults.take()
        if queued is not None:
            return queued
        active = self._faults.active(now_ms)
        if "unavailable" in active:
            return Fault(status=503)
        for kind in (*_KINDS_FOR_ALL_ENDPOINTS, endpoint.fault):
            if kind is not None and kind in active:
                return FAULT_OF_KIND[kind]
        return Fault()

    def _precondition_error(
        self, request: Request, verdict: Verdict, fault: Fault
    ) -> Answer | None:
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

    def _authorization_error(
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


def bearer_token(request: Request) -> str | None:
    """Return the token of a request: from the header, else from the query; ``None`` for none."""
    header = request.headers.get("authorization")
    if header:
        return header.removeprefix("Bearer ")
    return request.query_params.get("access_token")


def _form(body: bytes) -> dict[str, str]:
    """Parse a body as JSON, or else as a form."""
    try:
        fields: Any = msgspec.json.decode(body)
        return {str(name): str(value) for name, value in fields.items()}
    except (msgspec.DecodeError, AttributeError):
        return dict(parse_qsl(body.decode("utf-8", "replace")))
