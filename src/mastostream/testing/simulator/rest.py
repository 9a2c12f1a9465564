"""The part of the REST API that a collector uses: timelines, posts, and the server itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from starlette.requests import Request

from mastostream.core.hashtags import normalize_hashtag
from mastostream.testing.simulator.answers import Answer, error
from mastostream.testing.simulator.api_middleware import Call, Endpoint
from mastostream.testing.simulator.faults import Faults
from mastostream.testing.simulator.ids import cursor_number
from mastostream.testing.simulator.instance import Access, instance_v1, instance_v2
from mastostream.testing.simulator.posts import SimulatedPost
from mastostream.testing.simulator.timelines import Entry, Paging
from mastostream.testing.simulator.tokens import Tokens
from mastostream.testing.simulator.world import PUBLIC, World

__all__ = ["Rest"]

MAX_LIMIT: Final = 40
MOST_LOOKED_UP: Final = 20
_MOST_MORE_TAGS: Final = 3
_READ: Final = ("read", "read:statuses")


class Rest:
    """Answers for one server."""

    def __init__(self, world: World, faults: Faults, tokens: Tokens) -> None:
        """Show this world."""
        self._tokens = tokens
        self._world = world
        self._faults = faults
        self._gotosocial = world.family == "gotosocial"

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return all that can be asked for."""
        about: Final = "open" if self._gotosocial else "usual"
        return (
            Endpoint(
                path="/api/v1/timelines/tag/{tag}",
                answer=self._tag_timeline,
                access="token" if self._gotosocial else "usual",
                scopes=_READ,
                fault="closed_feed",
            ),
            Endpoint(
                path="/api/v1/timelines/public",
                answer=self._public_timeline,
                scopes=_READ,
                fault="closed_feed",
            ),
            Endpoint(
                path="/api/v1/statuses",
                answer=self._lookup,
                scopes=_READ,
                fault=None if self._gotosocial else "no_lookup",
            ),
            Endpoint(path="/api/v1/statuses/{id}", answer=self._status, scopes=_READ),
            Endpoint(path="/api/v1/instance", answer=self._instance_v1, access=about),
            Endpoint(path="/api/v2/instance", answer=self._instance_v2, access=about),
        )

    def _tag_timeline(self, call: Call) -> Answer:
        tag = call.request.path_params["tag"]
        tags = [tag]
        if self._gotosocial:
            if not self._world.knows(tag):
                return error(404, "Not Found")
        else:
            tags += call.request.query_params.getlist("any[]")[:_MOST_MORE_TAGS]
        spelled = dict.fromkeys(map(normalize_hashtag, tags))
        return self._timeline(call, [tag for tag in spelled if tag])

    def _public_timeline(self, call: Call) -> Answer:
        return self._timeline(call, [PUBLIC])

    def _timeline(self, call: Call, tags: Sequence[str]) -> Answer:
        paging = self._paging(call.request.query_params)
        if paging is None:
            return Answer(200, [])
        wanted = self._wanted(call.request)
        page = self._world.page(tags, paging, call.now_ms, wanted)
        body = [self._world.status(entry, call.now_ms) for entry in page]
        return Answer(200, body, _links(call.request, page))

    def _paging(self, query: Mapping[str, str]) -> Paging | None:
        """Read the members that page; ``None`` for a page with nothing in it."""
        found: dict[str, int | None] = {}
        for member in ("max_id", "min_id", "since_id"):
            if not query.get(member):
                found[member] = None
                continue
            found[member] = cursor_number(self._world.family, query[member])
            if found[member] is None and member != "max_id":
                return None
        return Paging(
            limit=_limit(query.get("limit")),
            below=found["max_id"],
            just_above=found["min_id"],
            since=found["since_id"],
        )

    def _wanted(self, request: Request) -> Callable[[Entry], bool]:
        if self._gotosocial:
            return lambda _: True
        query = request.query_params
        every = {normalize_hashtag(tag) for tag in query.getlist("all[]")}
        none = {normalize_hashtag(tag) for tag in query.getlist("none[]")}
        local, remote = (query.get(member) in ("true", "1") for member in ("local", "remote"))

        def wanted(entry: Entry) -> bool:
            post = entry if isinstance(entry, SimulatedPost) else entry.post
            tags = set(map(normalize_hashtag, post.tags)) if every or none else set()
            elsewhere = local if not post.at_home else remote
            return every <= tags and not none & tags and not elsewhere

        return wanted

    def _lookup(self, call: Call) -> Answer:
        if self._gotosocial:
            return Answer(405, "405 method not allowed")
        query = call.request.query_params
        wanted = dict.fromkeys([*query.getlist("id[]"), *query.getlist("id")])
        if len(wanted) > MOST_LOOKED_UP:
            return error(422, f"Validation failed: more than {MOST_LOOKED_UP} ids")
        found = (self._world.find(post_id, call.now_ms) for post_id in wanted)
        return Answer(
            200, [self._world.status(entry, call.now_ms) for entry in found if entry is not None]
        )

    def _status(self, call: Call) -> Answer:
        entry = self._world.find(call.request.path_params["id"], call.now_ms)
        if entry is None:
            return error(404, "Not Found" if self._gotosocial else "Record not found")
        return Answer(200, self._world.status(entry, call.now_ms))

    def _instance_v1(self, call: Call) -> Answer:
        return Answer(
            200, instance_v1(self._world.host, self._world.family, _streaming(call.request))
        )

    def _instance_v2(self, call: Call) -> Answer:
        access: Access = "authenticated" if self._tokens.required else "public"
        if "closed_feed" in self._faults.active(call.now_ms):
            access = "disabled"
        about = instance_v2(self._world.host, self._world.family, _streaming(call.request), access)
        return Answer(200, about)


def _streaming(request: Request) -> str:
    return str(request.base_url).replace("http", "ws", 1).rstrip("/")


def _limit(text: str | None) -> int:
    if text is None or not text.isdecimal():
        return 20
    return max(1, min(MAX_LIMIT, int(text)))


def _links(request: Request, page: Sequence[Entry]) -> dict[str, str]:
    if not page:
        return {}
    url = request.url.remove_query_params(("max_id", "min_id", "since_id"))
    older = url.include_query_params(max_id=page[-1].id)
    newer = url.include_query_params(min_id=page[0].id)
    links = f'<{older}>; rel="next", <{newer}>; rel="prev"'
    return {"Link": quote(links, safe="<>;:/?&=%\"', ")}
