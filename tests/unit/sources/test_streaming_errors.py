"""What refusals and the network's errors mean, and where a stream is asked for."""

import ssl
from collections.abc import Iterator

import aiohttp
import pytest

from mastostream.exceptions import FatalError, RetriableError
from mastostream.ports.stream import Feed
from mastostream.sources.mastodon.streaming.errors import VENDOR_ERRORS, refusal, translate
from mastostream.sources.mastodon.streaming.session import address, proxy_of

HANDED_ON: tuple[type[BaseException], ...] = (
    aiohttp.WebSocketError,  # comes as a message of the type ERROR
    aiohttp.WSMessageTypeError,  # receive_str() only
    aiohttp.EofStream,  # inside aiohttp only
    Warning,
)


def family(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


def feed(url: str) -> Feed:
    return Feed(name="f", url=url, tags=("a",), transport="sse")


@pytest.mark.parametrize("kind", sorted(set(family(aiohttp.ClientError)), key=str))
def test_every_error_of_aiohttp_means_something(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    error.__dict__.update(status=503, headers=None)
    ours = translate(error, "h.example", 0)
    assert isinstance(ours, RetriableError | FatalError)
    assert str(ours).startswith("h.example ")
    expected = any(word in kind.__name__.lower() for word in ("url", "redirect"))
    assert isinstance(ours, FatalError) == expected


def test_every_error_that_aiohttp_shows_is_translated() -> None:
    shown = [getattr(aiohttp, name) for name in aiohttp.__all__]
    errors = [kind for kind in shown if isinstance(kind, type) and issubclass(kind, Exception)]
    assert errors
    assert not [kind for kind in errors if not issubclass(kind, (*VENDOR_ERRORS, *HANDED_ON))]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED"), "certificate"),
        (TimeoutError(), "in time"),
        (ConnectionResetError(), "the connection broke"),
        (aiohttp.ServerDisconnectedError(), "the connection broke"),
        (aiohttp.ClientPayloadError("x"), "the connection broke"),
    ],
)
def test_a_broken_network_is_waited_for(error: Exception, reason: str) -> None:
    ours = translate(error, "h.example", 0)
    assert isinstance(ours, RetriableError)
    assert reason in str(ours)


def test_a_limit_says_when_it_ends() -> None:
    headers = {"Date": "Mon, 01 Jan 2024 00:00:00 GMT"}
    headers["X-RateLimit-Reset"] = "2024-01-01T00:02:00.000Z"
    error = refusal("h.example", 429, headers, 0)
    assert isinstance(error, RetriableError)
    assert error.retry_after_s == 120


@pytest.mark.parametrize(
    ("url", "sse", "websocket"),
    [
        ("https://h.example", "https://h.example/x", "wss://h.example/x"),
        ("wss://h.example/", "https://h.example/x", "wss://h.example/x"),
        ("ws://h.example:1/a/", "http://h.example:1/a/x", "ws://h.example:1/a/x"),
        ("http://[::1]:1", "http://[::1]:1/x", "ws://[::1]:1/x"),
    ],
)
def test_the_scheme_follows_the_transport(url: str, sse: str, websocket: str) -> None:
    assert address(feed(url), websocket=False, path="/x") == sse
    assert address(feed(url), websocket=True, path="/x") == websocket


def test_the_proxy_is_that_of_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    assert proxy_of(feed("wss://h.example")) is None
    monkeypatch.setenv("https_proxy", "http://p.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_of(feed("wss://h.example")) == "http://p.example:3128"
    assert proxy_of(feed("ws://h.example")) is None
    assert proxy_of(feed("wss://inside.example")) is None
    monkeypatch.setenv("https_proxy", "socks5://p.example")
    assert proxy_of(feed("wss://h.example")) is None
