"""Probes what a server really does, for people who want to know why no posts arrive."""

import base64
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal
from urllib.parse import quote

import attrs
import msgspec
import requests

from mastostream.exceptions import RetriableError
from mastostream.ports.source import About, RateLimits
from mastostream.sources.mastodon.about import about_of
from mastostream.sources.mastodon.address import streaming_url
from mastostream.sources.mastodon.errors import translated
from mastostream.sources.mastodon.http_session import HttpSession

__all__ = ["Opening", "ServerFacts", "TokenFacts", "probe_server"]

Opening = Literal["open", "refused", "missing", "silent", "unreachable"]
"""The outcome of opening a stream; ``silent`` is a stream that opens and sends nothing at all."""

STREAM_TIMEOUT_S: Final = 5.0
"""How long a stream may take to open. Mastodon greets a new stream at once."""


@attrs.frozen(kw_only=True)
class TokenFacts:
    """A server's judgement of a token.

    Attributes:
        valid: whether it is accepted; ``None`` if the server could not be asked.
        scopes: the scopes of its application; ``None`` if the server does not say (Mastodon before
            4.3).
    """

    valid: bool | None
    scopes: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class ServerFacts:
    """A server's description of itself, and what it really does.

    Attributes:
        host: the server, with its port if it has one.
        about: its description of itself.
        hashtag_feeds: who may read hashtag timelines, by ``local`` and ``remote``: ``public``,
            ``authenticated`` or ``disabled``; empty if it does not say (Mastodon before 4.5).
        live_feeds: who may read the timelines of all posts, in the same form.
        timeline_status: the HTTP status of a request for a hashtag timeline.
        token: its judgement of the token; ``None`` without a token.
        streaming_url: the URL of its streams, if it has any.
        stream_health: whether its streaming server reports to be healthy; ``None`` if it does not
            say.
        websocket: the outcome of opening a WebSocket; ``None`` if there is no token to try with.
        sse: the outcome of opening a stream of server-sent events; ``None`` without a token.
        statuses_by_ids: whether it returns several statuses at once; ``None`` if that is unclear.
        limits: the rate limit that it announced with the hashtag timeline, if it did.
        clock_difference_s: the server's clock minus ours, in seconds; ``None`` if it sends no date.
    """

    host: str
    about: About
    hashtag_feeds: Mapping[str, str]
    live_feeds: Mapping[str, str]
    timeline_status: int
    token: TokenFacts | None
    streaming_url: str
    stream_health: bool | None
    websocket: Opening | None
    sse: Opening | None
    statuses_by_ids: bool | None
    limits: RateLimits | None
    clock_difference_s: float | None


def probe_server(  # noqa: PLR0913 - each is a choice of the caller's, by name
    server: str,
    *,
    token: str | None = None,
    contact: str = "",
    tag: str = "news",
    timeout_s: float = 20.0,
    stream_timeout_s: float = STREAM_TIMEOUT_S,
) -> ServerFacts:
    """Request a server's description, and try what a collector does: about ten requests.

    Args:
        server: a host name or a URL.
        token: the access token, which is never shown.
        contact: how the server's owner reaches you, sent in the User-Agent.
        tag: the hashtag to try with, without ``#``.
        timeout_s: how many seconds a response may take.
        stream_timeout_s: how many seconds a stream may take to open.

    Raises:
        ConfigurationError: ``server`` is no host name or URL.
        RetriableError: the server cannot be reached, or has an error of its own.
        FatalError: the server refuses to describe itself.
    """
    with HttpSession(server, token=token, contact=contact, timeout_s=timeout_s) as http:
        response = _instance(http)
        with translated(http.host, lambda: response):
            instance = msgspec.json.decode(response.content, type=dict[str, Any])
        clock_difference_s = _clock_difference_s(response)
        about = about_of(instance, http.host, with_token=token is not None)
        address = streaming_url(server, about.streaming_url)
        access = _table(_table(instance.get("configuration")).get("timelines_access"))
        timeline = http.get(f"/api/v1/timelines/tag/{quote(tag, safe='')}", params={"limit": 1})
        limits = http.limits
        stream = _stream_facts(http, address, tag, token, stream_timeout_s)
        return ServerFacts(
            host=http.host,
            about=about,
            hashtag_feeds=_texts(access.get("hashtag_feeds")),
            live_feeds=_texts(access.get("live_feeds")),
            timeline_status=timeline.status_code,
            token=None if token is None else _token_facts(http),
            streaming_url=address,
            **stream,
            statuses_by_ids=_statuses_by_ids(http, timeline),
            limits=limits,
            clock_difference_s=clock_difference_s,
        )


def _instance(http: HttpSession) -> requests.Response:
    """Request the server's description, version 2 or 1, without the token if that is refused."""
    response = http.get("/api/v2/instance")
    if response.status_code == 401:
        response = http.get("/api/v2/instance", with_token=False)
    if response.status_code in (400, 404, 405):
        response = http.get("/api/v1/instance")
    if not response.ok:
        raise http.refusal(response)
    return response


def _clock_difference_s(response: requests.Response) -> float | None:
    try:
        theirs = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    if theirs.tzinfo is None:
        return None
    return (theirs - datetime.now(UTC)).total_seconds()


def _token_facts(http: HttpSession) -> TokenFacts:
    """Find out whether the token is accepted, and its scopes.

    From Mastodon 4.3 on, any token may request its application, which lists the scopes. Before
    that, and on other servers, a request for the account shows whether the token is valid.
    """
    try:
        response = http.get("/api/v1/apps/verify_credentials")
        scopes = _table(_json(response)).get("scopes")
        if response.ok:
            listed = tuple(map(str, scopes)) if isinstance(scopes, list) else None
            return TokenFacts(valid=True, scopes=listed)
        status = http.get("/api/v1/accounts/verify_credentials").status_code
    except RetriableError:
        return TokenFacts(valid=None)
    # 403 means that the scopes are too narrow, 422 that the token belongs to no account.
    return TokenFacts(valid={200: True, 403: True, 422: True, 401: False}.get(status))


def _stream_facts(
    http: HttpSession, address: str, tag: str, token: str | None, timeout_s: float
) -> dict[str, Any]:
    base = address.replace("ws", "http", 1)
    health = _status(http, "/api/v1/streaming/health", base=base, with_token=False)
    tried = token is not None
    return {
        "stream_health": {200: True, None: False}.get(health),
        "websocket": _open_websocket(http, base, tag, timeout_s) if tried else None,
        "sse": _open_sse(http, base, tag, timeout_s) if tried else None,
    }


def _open_websocket(http: HttpSession, base: str, tag: str, timeout_s: float) -> Opening:
    """Do the opening handshake (RFC 6455, section 4.1), then disconnect."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode("ascii"),
    }
    params = {"stream": "hashtag", "tag": tag}
    try:
        with _stream(
            http, "/api/v1/streaming", base, timeout_s, params=params, headers=headers
        ) as response:
            return "open" if response.status_code == 101 else _not_open(response.status_code)
    except RetriableError:
        return "unreachable"


def _open_sse(http: HttpSession, base: str, tag: str, timeout_s: float) -> Opening:
    """Open a stream of server-sent events, wait for its first byte, then disconnect."""
    try:
        path = "/api/v1/streaming/hashtag"
        with _stream(http, path, base, timeout_s, params={"tag": tag}) as response:
            if response.status_code != 200:
                return _not_open(response.status_code)
            try:
                return "open" if next(response.iter_content(1), b"") else "silent"
            except requests.RequestException:
                return "silent"
    except RetriableError:
        return "unreachable"


def _status(http: HttpSession, path: str, **options: Any) -> int | None:
    """Return the HTTP status of a request; ``None`` without a response."""
    try:
        return http.get(path, **options).status_code
    except RetriableError:
        return None


def _stream(
    http: HttpSession, path: str, base: str, timeout_s: float, **options: Any
) -> requests.Response:
    """Request a stream, and return as soon as its headers have arrived.

    Raises:
        RetriableError: see :meth:`HttpSession.get`.
    """
    return http.get(path, base=base, stream=True, timeout=timeout_s, **options)


def _not_open(status: int) -> Opening:
    return "refused" if status in (401, 403) else "missing"


def _statuses_by_ids(http: HttpSession, timeline: requests.Response) -> bool | None:
    page = _json(timeline)
    newest = _table(page[0]).get("id") if isinstance(page, list) and page else None
    status = _status(http, "/api/v1/statuses", params={"id[]": str(newest or 1)})
    return {200: True, 400: False, 404: False, 405: False}.get(status or 0)


def _json(response: requests.Response) -> object:
    try:
        return msgspec.json.decode(response.content)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> dict[str, str]:
    return {str(name): str(text) for name, text in _table(value).items()}
