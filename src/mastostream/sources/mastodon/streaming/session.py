"""The HTTP client that all streams share, and the URLs and headers of their requests."""

import ssl
from collections.abc import Mapping
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import requests.utils

from mastostream.ports.stream import Feed

__all__ = ["address", "new_session", "proxy_of", "request_headers"]

_SCHEMES: Final = {"ws": "http", "wss": "https"}


def new_session() -> aiohttp.ClientSession:
    """Return an HTTP client for any number of connections, which may stay open without limit."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=_trust()),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    )


@cache
def _trust() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # The REST client trusts these certificates; without them, such a server could only be polled.
    context.load_verify_locations(requests.utils.DEFAULT_CA_BUNDLE_PATH)
    return context


def address(feed: Feed, *, websocket: bool, path: str) -> str:
    """Return the URL of a feed's stream, whichever scheme the server announced."""
    parts = urlsplit(feed.url)
    scheme = _SCHEMES.get(parts.scheme, parts.scheme)
    if websocket:
        scheme = {"http": "ws", "https": "wss"}.get(scheme, scheme)
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}{path}"


def request_headers(feed: Feed) -> Mapping[str, str]:
    """Return the headers of a feed's requests. They hold the token and must never be shown."""
    headers = {"User-Agent": feed.user_agent, "Accept-Encoding": "identity"}
    if feed.token is not None:
        headers["Authorization"] = f"Bearer {feed.token}"
    return headers


def proxy_of(feed: Feed) -> str | None:
    """Return the HTTP proxy that the environment names for this server, or ``None``.

    The REST client uses the same one. aiohttp could read the environment itself, but then it would
    read ``~/.netrc`` too, and refuse a token if that file names the host.
    """
    url = address(feed, websocket=False, path="")
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    return proxy if proxy is not None and proxy.startswith("http") else None
