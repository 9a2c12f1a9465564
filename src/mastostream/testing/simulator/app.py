"""The part of Mastodon's REST API that a collector uses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mastostream.testing.simulator.faults import Faults
from mastostream.testing.simulator.world import SimulatedPost, World

__all__ = ["VERSION", "Api"]

VERSION: Final = "4.5.1"
MAX_LIMIT: Final = 40
_PERIOD_S: Final = 300

Answer = tuple[int, Any, dict[str, str]]


class Api:
    """Answers requests about a world."""

    def __init__(
        self,
        world: World,
        faults: Faults,
        now_ms: Callable[[], int],
        *,
        token: str | None,
        rate_limit: int | None,
    ) -> None:
        self.requests = 0
        self._world = world
        self._faults = faults
        self._now_ms = now_ms
        self._token = token
        self._rate_limit = rate_limit
        self._period = -1
        self._in_period = 0

    def app(self) -> Starlette:
        """Return the application."""
        routes = {
            "/api/v1/timelines/tag/{tag}": self._timeline,
            "/api/v1/statuses": self._statuses,
            "/api/v1/statuses/{id}": self._status,
            "/api/v1/instance": self._instance_v1,
            "/api/v2/instance": self._instance_v2,
            "/api/v1/accounts/verify_credentials": self._verify,
        }
        return Starlette(routes=[Route(path, self._wrap(get)) for path, get in routes.items()])

    def _wrap(
        self, get: Callable[[Request, int], Answer]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            self.requests += 1
            now_ms = self._now_ms()
            self._world.advance(now_ms)
            headers = self._limits(now_ms)
            fault = self._faults.take()
            if fault is not None and fault.delay_s:
                await asyncio.sleep(fault.delay_s)
            if fault is not None and fault.status is not None:
                return _json(fault.status, {"error": "simulated fault"}, dict(fault.headers))
            if self._rate_limit is not None and self._in_period > self._rate_limit:
                return _json(429, {"error": "Too many requests"}, headers)
            status, body, more = self._authorized(get, request, now_ms)
            if fault is not None and fault.empty:
                body = []
            if fault is not None and fault.cut:
                return _cut(body)
            return _json(status, body, headers | more)

        return endpoint

    def _authorized(
        self, get: Callable[[Request, int], Answer], request: Request, now_ms: int
    ) -> Answer:
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        if (self._token or sent) and sent != (self._token or "") and not (sent and not self._token):
            return 401, {"error": "The access token is invalid"}, {}
        return get(request, now_ms)

    def _limits(self, now_ms: int) -> dict[str, str]:
        if self._rate_limit is None:
            return {}
        period = now_ms // 1000 // _PERIOD_S
        if period != self._period:
            self._period, self._in_period = period, 0
        self._in_period += 1
        reset = datetime.fromtimestamp((period + 1) * _PERIOD_S, UTC)
        return {
            "X-RateLimit-Limit": str(self._rate_limit),
            "X-RateLimit-Remaining": str(max(0, self._rate_limit - self._in_period)),
            "X-RateLimit-Reset": reset.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    def _timeline(self, request: Request, now_ms: int) -> Answer:
        query = request.query_params
        limit = _limit(query.get("limit"))
        posts = self._world.timeline(request.path_params["tag"], now_ms)
        page = _page(posts, query, limit)
        body = [self._world.status(post, now_ms) for post in page]
        return 200, body, _links(request, page)

    def _statuses(self, request: Request, now_ms: int) -> Answer:
        wanted = [*request.query_params.getlist("id[]"), *request.query_params.getlist("id")]
        found = (self._world.find(post_id, now_ms) for post_id in wanted[:MAX_LIMIT])
        return 200, [self._world.status(post, now_ms) for post in found if post is not None], {}

    def _status(self, request: Request, now_ms: int) -> Answer:
        post = self._world.find(request.path_params["id"], now_ms)
        if post is None:
            return 404, {"error": "Record not found"}, {}
        return 200, self._world.status(post, now_ms), {}

    def _instance_v1(self, request: Request, _: int) -> Answer:
        return (
            200,
            {
                "uri": self._world.host,
                "title": "A simulated server",
                "short_description": "Its posts are generated",
                "description": "Its posts are generated",
                "email": "owner@social.example",
                "version": VERSION,
                "urls": {"streaming_api": str(request.base_url).replace("http", "ws", 1)},
                "stats": {"user_count": 400, "status_count": 0, "domain_count": 30},
                "languages": ["en"],
            },
            {},
        )

    def _instance_v2(self, request: Request, _: int) -> Answer:
        feeds = {"local": "public", "remote": "public"}
        return (
            200,
            {
                "domain": self._world.host,
                "title": "A simulated server",
                "version": VERSION,
                "source_url": "",
                "description": "Its posts are generated",
                "usage": {"users": {"active_month": 400}},
                "languages": ["en"],
                "configuration": {
                    "urls": {"streaming": str(request.base_url).replace("http", "ws", 1)},
                    "timelines_access": {
                        "live_feeds": feeds,
                        "hashtag_feeds": feeds,
                        "trending_link_feeds": feeds,
                    },
                },
                "registrations": {"enabled": False},
                "api_versions": {"mastodon": 7},
                "rules": [],
            },
            {},
        )

    def _verify(self, request: Request, _: int) -> Answer:
        if not request.headers.get("authorization"):
            return 401, {"error": "The access token is invalid"}, {}
        return 200, {"id": "1", "username": "simulated", "acct": "simulated"}, {}


def _limit(text: str | None) -> int:
    if text is None or not text.isdecimal():
        return 20
    return max(1, min(MAX_LIMIT, int(text)))


def _page(posts: list[SimulatedPost], query: Mapping[str, str], limit: int) -> list[SimulatedPost]:
    """Page as Mastodon does: ``min_id`` just above, ``since_id`` the newest above."""
    if query.get("max_id", "").isdecimal():
        posts = [post for post in posts if int(post.id) < int(query["max_id"])]
    if query.get("min_id", "").isdecimal():
        return [post for post in posts if int(post.id) > int(query["min_id"])][-limit:]
    if query.get("since_id", "").isdecimal():
        posts = [post for post in posts if int(post.id) > int(query["since_id"])]
    return posts[:limit]


def _links(request: Request, page: list[SimulatedPost]) -> dict[str, str]:
    if not page:
        return {}
    url = request.url.remove_query_params(("max_id", "min_id", "since_id"))
    older = url.include_query_params(max_id=page[-1].id)
    newer = url.include_query_params(min_id=page[0].id)
    return {"Link": f'<{older}>; rel="next", <{newer}>; rel="prev"'}


def _json(status: int, body: object, headers: dict[str, str]) -> Response:
    return Response(
        msgspec.json.encode(body), status, headers, media_type="application/json; charset=utf-8"
    )


def _cut(body: object) -> Response:
    data = msgspec.json.encode(body)

    async def half() -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]

    headers = {"Content-Length": str(len(data) // 2), "Content-Type": "application/json"}
    return StreamingResponse(half(), 200, headers)
