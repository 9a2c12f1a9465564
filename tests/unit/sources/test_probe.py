"""What is found out about a server by trying."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mastostream.exceptions import ConfigurationError, FatalError, RetriableError
from mastostream.sources.mastodon import user_agent
from mastostream.sources.mastodon.probe import ServerFacts, TokenFacts, probe_server

Answer = tuple[int, Any]
Serve = Callable[[Mapping[str, Answer]], AbstractContextManager["Plain"]]

INSTANCE: Any = {
    "domain": "town.example",
    "version": "4.5.11",
    "configuration": {
        "urls": {},
        "timelines_access": {
            "live_feeds": {"local": "public", "remote": "disabled"},
            "hashtag_feeds": {"local": "public", "remote": "authenticated"},
        },
    },
}
MASTODON: Mapping[str, Answer] = {
    "/api/v2/instance": (200, INSTANCE),
    "/api/v1/timelines/tag/news": (200, [{"id": "77"}]),
    "/api/v1/statuses": (200, []),
    "/api/v1/streaming/health": (200, "OK"),
    "/api/v1/streaming/hashtag": (200, ":)\n"),
    "/api/v1/streaming": (101, ""),
    "/api/v1/apps/verify_credentials": (200, {"scopes": ["read:statuses", "profile"]}),
}
GOTOSOCIAL: Mapping[str, Answer] = {
    "/api/v2/instance": (
        200,
        {"domain": "town.example", "version": "3.5.3+0.20.0-rc1+git-57cb4fe", "configuration": {}},
    ),
    "/api/v1/timelines/tag/news": (404, {"error": "Not Found"}),
    "/api/v1/statuses": (405, "405 method not allowed"),
    "/api/v1/streaming": (101, ""),
    "/api/v1/accounts/verify_credentials": (200, {"id": "01ABC", "acct": "a"}),
}


class Plain(ThreadingHTTPServer):
    """Gives the answers of a table, and 404."""

    daemon_threads = True
    answers: Mapping[str, Answer]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.done = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Plain

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        default = (404, {"error": "Not Found"})
        status, body = self.server.answers.get(urlsplit(self.path).path, default)
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        streams = "streaming/hashtag" in self.path and status == 200
        self.send_response(status)
        self.send_header("X-RateLimit-Limit", "300")
        self.send_header("X-RateLimit-Remaining", "280")
        if status == 101:
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "websocket")
        elif not streams:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        if streams:
            self.server.done.wait(10)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Serve:
    @contextmanager
    def running(answers: Mapping[str, Answer]) -> Iterator[Plain]:
        with Plain() as server:
            server.answers = answers
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            yield server
            server.done.set()
            server.shutdown()
            thread.join(timeout=5)

    return running


def test_a_mastodon_server(serve: Serve) -> None:
    with serve(MASTODON) as server:
        found = probe_server(server.url, token="secret", contact="https://me.example")
    assert found.host == urlsplit(server.url).netloc
    assert (found.about.family, found.about.version) == ("mastodon", "4.5.11")
    assert (found.about.domain, found.about.hashtags_open) == ("town.example", True)
    assert found.hashtag_feeds == {"local": "public", "remote": "authenticated"}
    assert found.live_feeds == {"local": "public", "remote": "disabled"}
    assert found.timeline_status == 200
    assert found.token == TokenFacts(valid=True, scopes=("read:statuses", "profile"))
    assert found.streaming_url == server.url.replace("http", "ws")
    assert (found.stream_health, found.websocket, found.sse) == (True, "open", "open")
    assert found.statuses_by_ids is True
    assert found.limits is not None
    assert found.limits[:2] == (300, 280)
    assert found.clock_difference_s is not None
    assert abs(found.clock_difference_s) < 60
    assert {headers["User-Agent"] for _, headers in server.asked} == {
        user_agent("https://me.example")
    }
    asked = {urlsplit(path).path: parse_qs(urlsplit(path).query) for path, _ in server.asked}
    assert asked["/api/v1/statuses"] == {"id[]": ["77"]}
    assert asked["/api/v1/streaming/hashtag"] == {"tag": ["news"]}
    assert len(server.asked) < 12


def test_a_gotosocial_server(serve: Serve) -> None:
    with serve(GOTOSOCIAL) as server:
        found = probe_server(server.url, token="secret")
    assert found.about.family == "gotosocial"
    assert found.timeline_status == 404
    assert found.token == TokenFacts(valid=True, scopes=None)
    assert (found.stream_health, found.websocket, found.sse) == (None, "open", "missing")
    assert found.statuses_by_ids is False
    assert found.hashtag_feeds == {}


def test_a_server_that_only_knows_version_1_of_its_entity(serve: Serve) -> None:
    old = {"uri": "town.example", "version": "3.4.0", "urls": {"streaming_api": "wss://s.example"}}
    with serve({"/api/v1/instance": (200, old)}) as server:
        found = probe_server(server.url)
    assert found.about.version == "3.4.0"
    assert found.streaming_url == "ws://s.example"  # not encrypted where the server is not
    assert found.clock_difference_s is not None


def test_without_a_token_none_is_sent_and_no_stream_is_opened(serve: Serve) -> None:
    with serve(MASTODON) as server:
        found = probe_server(server.url)
    assert (found.token, found.websocket, found.sse) == (None, None, None)
    assert not any("Authorization" in headers for _, headers in server.asked)


def test_a_token_is_not_sent_where_it_is_not_asked_for(serve: Serve) -> None:
    with serve(MASTODON) as server:
        probe_server(server.url, token="secret")
    asked = {urlsplit(path).path: headers for path, headers in server.asked}
    assert "Authorization" not in asked["/api/v1/streaming/health"]
    assert asked["/api/v1/streaming/hashtag"]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("app", "account", "expected"),
    [
        ((401, {}), (401, {}), TokenFacts(valid=False)),
        ((403, {}), (200, {}), TokenFacts(valid=True)),
        ((403, {}), (403, {}), TokenFacts(valid=True)),
        ((404, {}), (422, {}), TokenFacts(valid=True)),
        ((200, {"name": "old"}), (500, {}), TokenFacts(valid=True)),
        ((200, {"scopes": "read"}), (500, {}), TokenFacts(valid=True)),
        ((200, "no JSON"), (500, {}), TokenFacts(valid=True)),
        ((404, {}), (500, {}), TokenFacts(valid=None)),
    ],
)
def test_what_a_server_makes_of_a_token(
    serve: Serve, app: Answer, account: Answer, expected: TokenFacts
) -> None:
    answers = {
        "/api/v2/instance": (200, INSTANCE),
        "/api/v1/apps/verify_credentials": app,
        "/api/v1/accounts/verify_credentials": account,
    }
    with serve(answers) as server:
        assert probe_server(server.url, token="secret").token == expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [(200, ":)\n", "open"), (200, "", "silent"), (401, "{}", "refused"), (404, "{}", "missing")],
)
def test_what_becomes_of_a_stream(serve: Serve, status: int, body: str, expected: str) -> None:
    with serve({**MASTODON, "/api/v1/streaming/hashtag": (status, body)}) as server:
        found = probe_server(server.url, token="secret", stream_timeout_s=0.3)
    assert found.sse == expected


@pytest.mark.parametrize(("status", "expected"), [(401, "refused"), (400, "missing")])
def test_what_becomes_of_a_websocket(serve: Serve, status: int, expected: str) -> None:
    with serve({**MASTODON, "/api/v1/streaming": (status, "")}) as server:
        assert probe_server(server.url, token="secret").websocket == expected


def test_streams_that_cannot_be_reached(serve: Serve) -> None:
    away = {**INSTANCE, "configuration": {"urls": {"streaming": "ws://127.0.0.1:1"}}}
    with serve({**MASTODON, "/api/v2/instance": (200, away)}) as server:
        found = probe_server(server.url, token="secret")
    assert (found.stream_health, found.websocket, found.sse) == (
        False,
        "unreachable",
        "unreachable",
    )


def test_a_token_that_even_its_instance_dislikes_is_found_out(serve: Serve) -> None:
    class Strict(Handler):
        def do_GET(self) -> None:
            answers = self.server.answers
            if "Authorization" in self.headers:
                self.server.answers = {urlsplit(self.path).path: (401, {"error": "invalid"})}
            super().do_GET()
            self.server.answers = answers

    with serve(MASTODON) as server:
        server.RequestHandlerClass = Strict
        found = probe_server(server.url, token="wrong")
    assert found.token == TokenFacts(valid=False)
    assert found.timeline_status == 401
    assert (found.websocket, found.sse) == ("refused", "refused")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, "trouble"), RetriableError),
        ((429, ""), RetriableError),
        ((403, {}), FatalError),
        ((200, "<html>"), RetriableError),
        ((200, ["no object"]), RetriableError),
    ],
)
def test_a_server_that_says_nothing_of_itself_is_told(
    serve: Serve, answer: Answer, error: type[Exception]
) -> None:
    with serve({"/api/v2/instance": answer}) as server, pytest.raises(error) as caught:
        probe_server(server.url, token="secret")
    assert urlsplit(server.url).netloc in str(caught.value)
    assert "secret" not in repr(caught.value)


def test_an_address_that_is_none_and_a_server_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="is no server"):
        probe_server("no server/")
    with pytest.raises(RetriableError, match="cannot be reached"):
        probe_server("http://127.0.0.1:1")


def test_facts_hold_no_token(serve: Serve) -> None:
    with serve(MASTODON) as server:
        found = probe_server(server.url, token="secret")
    assert isinstance(found, ServerFacts)
    assert "secret" not in repr(found)
