"""What a server really does, by trying: for people who want to know why nothing comes."""

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
"""What became of the try to open a stream: ``silent`` is one that opens and says nothing at all."""

STREAM_TIMEOUT_S: Final = 5.0
"""Mastodon greets a new stream at once."""


@attrs.frozen(kw_only=True)
class TokenFacts:
    """What a server makes of a token.

    Attributes:
        valid: ``None`` where the server could not be asked.
        scopes: of its application; ``None`` where the server does not say (Mastodon before 4.3).
    """

    valid: bool | None
    scopes: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class ServerFacts:
    """What a server says of itself, and what it does.

    Attributes:
        host: the server, with its port where it has one.
        about: what it says of itself.
        hashtag_feeds: who may read hashtags, by ``local`` and ``remote``: ``public``,
            ``authenticated`` or ``disabled``; empty where it does not say (Mastodon before 4.5).
        live_feeds: the same of the timelines of all posts.
        timeline_status: what it answered when it was asked for a hashtag.
        token: ``None`` without one.
        streaming_url: where its streams are, or would be.
        stream_health: whether its streaming server says that it is well; ``None`` where it does
            not say.
        websocket: ``None`` where it was not tried, for want of a token.
        sse: the same of server-sent events.
        statuses_by_ids: whether it gives several statuses at once; ``None`` where that is unclear.
        limits: what its last answer said of the limit.
        clock_difference_s: the server's clock minus ours.
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
    """Ask a server about itself and try what a collector does: about ten requests.

    Args:
        server: a host name or a URL.
        token: never shown.
        contact: how the server's owner reaches you, sent in the User-Agent.
        tag: the hashtag to try with, without ``#``.
        timeout_s: how long an answer may take.
        stream_timeout_s: how long a stream may take to show that it is open.

    Raises:
        ConfigurationError: ``server`` is no host name or URL.
        RetriableError: it cannot be reached, or has trouble of its own.
        FatalError: it refuses to say what it is.
    """
    with HttpSession(server, token=token, contact=contact, timeout_s=timeout_s) as http:
        answer = _instance(http)
        with translated(http.host, lambda: answer):
            instance = msgspec.json.decode(answer.content, type=dict[str, Any])
        clock_difference_s = _clock_difference_s(answer)
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
    """Ask the server about itself, as it understands it, and even if it dislikes the token."""
    answer = http.get("/api/v2/instance")
    if answer.status_code == 401:
        answer = http.get("/api/v2/instance", with_token=False)
    if answer.status_code in (400, 404, 405):
        answer = http.get("/api/v1/instance")
    if not answer.ok:
        raise http.refusal(answer)
    return answer


def _clock_difference_s(answer: requests.Response) -> float | None:
    try:
        theirs = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None
    if theirs.tzinfo is None:
        return None
    return (theirs - datetime.now(UTC)).total_seconds()


def _token_facts(http: HttpSession) -> TokenFacts:
    """See whether the token is accepted, and for what.

    Any token may ask after its application from Mastodon 4.3 on, which lists the scopes; before
    that, and elsewhere, the account says whether there is one.
    """
    try:
        answer = http.get("/api/v1/apps/verify_credentials")
        scopes = _table(_json(answer)).get("scopes")
        if answer.ok:
            listed = tuple(map(str, scopes)) if isinstance(scopes, list) else None
            return TokenFacts(valid=True, scopes=listed)
        status = http.get("/api/v1/accounts/verify_credentials").status_code
    except RetriableError:
        return TokenFacts(valid=None)
    # 403 is a token whose scopes are too narrow for this, 422 one that belongs to no account.
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
    """Shake hands (RFC 6455, section 4.1), and leave."""
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
        ) as answer:
            return "open" if answer.status_code == 101 else _not_open(answer.status_code)
    except RetriableError:
        return "unreachable"


def _open_sse(http: HttpSession, base: str, tag: str, timeout_s: float) -> Opening:
    """Open a stream of server-sent events, wait for its first byte, and leave."""
    try:
        path = "/api/v1/streaming/hashtag"
        with _stream(http, path, base, timeout_s, params={"tag": tag}) as answer:
            if answer.status_code != 200:
                return _not_open(answer.status_code)
            try:
                return "open" if next(answer.iter_content(1), b"") else "silent"
            except requests.RequestException:
                return "silent"
    except RetriableError:
        return "unreachable"


def _status(http: HttpSession, path: str, **options: Any) -> int | None:
    """Return an answer's status; ``None`` without an answer."""
    try:
        return http.get(path, **options).status_code
    except RetriableError:
        return None


def _stream(
    http: HttpSession, path: str, base: str, timeout_s: float, **options: Any
) -> requests.Response:
    """Open a stream: only what comes before its body is waited for. Errors as ``Visit.get``."""
    return http.get(path, base=base, stream=True, timeout=timeout_s, **options)


def _not_open(status: int) -> Opening:
    return "refused" if status in (401, 403) else "missing"


def _statuses_by_ids(http: HttpSession, timeline: requests.Response) -> bool | None:
    page = _json(timeline)
    newest = _table(page[0]).get("id") if isinstance(page, list) and page else None
    status = _status(http, "/api/v1/statuses", params={"id[]": str(newest or 1)})
    return {200: True, 400: False, 404: False, 405: False}.get(status or 0)


def _json(answer: requests.Response) -> object:
    try:
        return msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> dict[str, str]:
    return {str(name): str(text) for name, text in _table(value).items()}
