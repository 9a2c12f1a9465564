"""The REST API as far as a collector uses it: timelines, single posts, and the instance."""

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

_MAX_LIMIT: Final = 40
"""Largest page of a timeline."""

_MAX_IDS: Final = 20
"""How many posts one request of ``/api/v1/statuses?id[]=`` may name."""

_MAX_ANY_TAGS: Final = 3
"""How many hashtags of ``any[]`` Mastodon uses; it ignores the others."""

_READ: Final = ("read", "read:statuses")


class Rest:
    """The REST endpoints of one server, in the way of its family."""

    def __init__(self, world: World, faults: Faults, tokens: Tokens) -> None:
        """Answer with the posts of this world."""
        self._tokens = tokens
        self._world = world
        self._faults = faults
        self._gotosocial = world.family == "gotosocial"

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints of this API."""
        instance_access: Final = "open" if self._gotosocial else "usual"
        return (
            Endpoint(
                path="/api/v1/timelines/tag/{tag}",
                handler=self._tag_timeline,
                access="token" if self._gotosocial else "usual",
                scopes=_READ,
                fault="closed_feed",
            ),
            Endpoint(
                path="/api/v1/timelines/public",
                handler=self._public_timeline,
                scopes=_READ,
                fault="closed_feed",
            ),
            Endpoint(
                path="/api/v1/statuses",
                handler=self._lookup,
                scopes=_READ,
                fault=None if self._gotosocial else "no_lookup",
            ),
            Endpoint(path="/api/v1/statuses/{id}", handler=self._status, scopes=_READ),
            Endpoint(path="/api/v1/instance", handler=self._instance_v1, access=instance_access),
            Endpoint(path="/api/v2/instance", handler=self._instance_v2, access=instance_access),
        )

    def _tag_timeline(self, call: Call) -> Answer:
        tag = call.request.path_params["tag"]
        tags = [tag]
        if self._gotosocial:
            if not self._world.knows_tag(tag):
                return error(404, "Not Found")
        else:
            tags += call.request.query_params.getlist("any[]")[:_MAX_ANY_TAGS]
        normalized = dict.fromkeys(map(normalize_hashtag, tags))
        return self._timeline(call, [tag for tag in normalized if tag])

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
        """Read the pagination parameters; ``None`` where the page is empty whatever there is."""
        cursors: dict[str, int | None] = {}
        for name in ("max_id", "min_id", "since_id"):
            if not query.get(name):
                cursors[name] = None
                continue
            cursors[name] = cursor_number(self._world.family, query[name])
            if cursors[name] is None and name != "max_id":
                return None
        return Paging(
            limit=_limit(query.get("limit")),
            below=cursors["max_id"],
            just_above=cursors["min_id"],
            since=cursors["since_id"],
        )

    def _wanted(self, request: Request) -> Callable[[Entry], bool]:
        if self._gotosocial:
            return lambda _: True
        query = request.query_params
        all_tags = {normalize_hashtag(tag) for tag in query.getlist("all[]")}
        no_tags = {normalize_hashtag(tag) for tag in query.getlist("none[]")}
        local, remote = (query.get(name) in ("true", "1") for name in ("local", "remote"))

        def wanted(entry: Entry) -> bool:
            post = entry if isinstance(entry, SimulatedPost) else entry.post
            tags = set(map(normalize_hashtag, post.tags)) if all_tags or no_tags else set()
            excluded = local if not post.at_home else remote
            return all_tags <= tags and not no_tags & tags and not excluded

        return wanted

    def _lookup(self, call: Call) -> Answer:
        if self._gotosocial:
            return Answer(405, "405 method not allowed")
        query = call.request.query_params
        post_ids = dict.fromkeys([*query.getlist("id[]"), *query.getlist("id")])
        if len(post_ids) > _MAX_IDS:
            return error(422, f"Validation failed: more than {_MAX_IDS} ids")
        entries = (self._world.find(post_id, call.now_ms) for post_id in post_ids)
        return Answer(
            200, [self._world.status(entry, call.now_ms) for entry in entries if entry is not None]
        )

    def _status(self, call: Call) -> Answer:
        entry = self._world.find(call.request.path_params["id"], call.now_ms)
        if entry is None:
            return error(404, "Not Found" if self._gotosocial else "Record not found")
        return Answer(200, self._world.status(entry, call.now_ms))

    def _instance_v1(self, call: Call) -> Answer:
        url = _streaming_url(call.request)
        return Answer(200, instance_v1(self._world.host, self._world.family, url))

    def _instance_v2(self, call: Call) -> Answer:
        access: Access = "authenticated" if self._tokens.required else "public"
        if "closed_feed" in self._faults.active(call.now_ms):
            access = "disabled"
        url = _streaming_url(call.request)
        return Answer(200, instance_v2(self._world.host, self._world.family, url, access))


def _streaming_url(request: Request) -> str:
    return str(request.base_url).replace("http", "ws", 1).rstrip("/")


def _limit(text: str | None) -> int:
    if text is None or not text.isdecimal():
        return 20
    return max(1, min(_MAX_LIMIT, int(text)))


def _links(request: Request, page: Sequence[Entry]) -> dict[str, str]:
    if not page:
        return {}
    url = request.url.remove_query_params(("max_id", "min_id", "since_id"))
    older = url.include_query_params(max_id=page[-1].id)
    newer = url.include_query_params(min_id=page[0].id)
    links = f'<{older}>; rel="next", <{newer}>; rel="prev"'
    return {"Link": quote(links, safe="<>;:/?&=%\"', ")}
