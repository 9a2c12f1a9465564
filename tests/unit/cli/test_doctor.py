"""What the doctor finds, and what it says to do."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest
from click.testing import CliRunner

from mastostream.cli.doctor_mastodon import mastodon_diagnostics
from mastostream.cli.main import cli
from mastostream.config import credential_name
from mastostream.exceptions import FatalError
from mastostream.ports.source import About, RateLimits
from mastostream.services import free_port
from mastostream.sources.mastodon.probe import ServerFacts, TokenFacts

READS = TokenFacts(valid=True, scopes=("read:statuses", "profile"))
ABOUT = About(
    domain="a.example",
    family="mastodon",
    version="4.5.1",
    hashtags_open=True,
    streaming_url="wss://s.a.example",
)
GOOD = ServerFacts(
    host="a.example",
    about=ABOUT,
    hashtag_feeds={"local": "public", "remote": "public"},
    live_feeds={},
    timeline_status=200,
    token=READS,
    streaming_url="wss://s.a.example",
    stream_health=True,
    websocket="open",
    sse="open",
    statuses_by_ids=True,
    limits=RateLimits(300, 290, 100.0),
    clock_difference_s=0.4,
)
WITHOUT = attrs.evolve(GOOD, token=None, websocket=None, sse=None)
GOTOSOCIAL = attrs.evolve(
    GOOD,
    about=attrs.evolve(ABOUT, family="gotosocial", hashtags_open=None, streaming_url=None),
    hashtag_feeds={},
    sse="missing",
    stream_health=None,
)
CLOSED = attrs.evolve(
    WITHOUT,
    about=attrs.evolve(ABOUT, hashtags_open=False),
    hashtag_feeds={"local": "authenticated", "remote": "disabled"},
)


def doctor(
    facts: ServerFacts, *, must_stream: bool = False, **changes: Any
) -> dict[str, tuple[str, str]]:
    """Let the doctor see a server, and return what it finds there: state and detail."""
    facts = attrs.evolve(facts, **changes)
    diagnostics = mastodon_diagnostics(
        facts, server="a.example", tag="news", must_stream=must_stream
    )
    return {diagnostic.what: (diagnostic.state, diagnostic.detail) for diagnostic in diagnostics}


def test_where_all_is_well_all_is_ok() -> None:
    diagnostics = doctor(GOOD)
    assert {state for state, _ in diagnostics.values()} == {"ok"}
    assert diagnostics["server"][1] == "a.example runs Mastodon 4.5.1"
    assert diagnostics["token"][1] == "accepted for: read:statuses profile"
    assert diagnostics["limits"][1] == "290 of 300 requests left for 100 s"


@pytest.mark.parametrize(
    ("facts", "changes", "what", "state", "message"),
    [
        (GOOD, {"about": attrs.evolve(ABOUT, family="other")}, "server", "warning", "as Mastodon"),
        (GOTOSOCIAL, {}, "server", "ok", "runs GoToSocial"),
        (WITHOUT, {"timeline_status": 401}, "hashtags", "wrong", "only with a token"),
        (WITHOUT, {"timeline_status": 401}, "hashtags", "wrong", "mastostream login --server a.ex"),
        (GOOD, {"timeline_status": 403}, "hashtags", "wrong", "closed to this token"),
        (CLOSED, {}, "hashtags", "wrong", "local posts: authenticated, remote posts: disabled"),
        (CLOSED, {"token": READS}, "hashtags", "wrong", "closed to this token"),
        (GOTOSOCIAL, {"timeline_status": 404}, "hashtags", "ok", "never heard of #news"),
        (GOOD, {"timeline_status": 404}, "hashtags", "warning", "it answers 404"),
        (GOOD, {"timeline_status": 503}, "hashtags", "warning", "it answers 503"),
        (
            GOOD,
            {"hashtag_feeds": {"local": "public", "remote": "disabled"}},
            "hashtags",
            "warning",
            "only in part: local posts: public, remote posts: disabled",
        ),
        (
            WITHOUT,
            {"hashtag_feeds": {"local": "public", "remote": "authenticated"}},
            "hashtags",
            "warning",
            "with a token it may show more: mastostream login",
        ),
        (GOOD, {"live_feeds": {"local": "public"}}, "live feeds", "ok", "local posts: public"),
        (WITHOUT, {}, "token", "ok", "none"),
        (GOOD, {"token": TokenFacts(valid=False)}, "token", "wrong", "mastostream login"),
        (GOOD, {"token": TokenFacts(valid=None)}, "token", "warning", "did not say"),
        (GOOD, {"token": TokenFacts(valid=True)}, "token", "ok", "does not say for what"),
        (
            GOOD,
            {"token": TokenFacts(valid=True, scopes=("profile",))},
            "token",
            "warning",
            "streams need read:statuses: mastostream login",
        ),
        (
            GOOD,
            {"token": TokenFacts(valid=True, scopes=("read", "write:statuses"))},
            "token",
            "warning",
            "reading is enough",
        ),
        (GOOD, {"token": TokenFacts(valid=True, scopes=("read",))}, "token", "ok", "for: read"),
        (WITHOUT, {}, "streaming", "ok", "streams need a token: mastostream login"),
        (GOOD, {"sse": "missing"}, "streaming", "ok", "WebSocket open, server-sent events missing"),
        (GOOD, {"websocket": "silent", "sse": "refused"}, "streaming", "warning", "are read inst"),
        (GOOD, {"stream_health": False}, "streaming", "warning", "says that it is not well"),
        (GOTOSOCIAL, {}, "streaming", "ok", "(not announced): WebSocket open"),
        (GOTOSOCIAL, {}, "streaming", "ok", "sends nothing by it: its timelines are read"),
        (GOOD, {"statuses_by_ids": False}, "counts", "ok", "one post at a time"),
        (GOOD, {"statuses_by_ids": None}, "counts", "warning", "unclear"),
        (GOOD, {"limits": None}, "limits", "ok", "it does not say"),
        (GOOD, {"limits": RateLimits(300, 30, 60.0)}, "limits", "warning", "wait until then"),
        (GOOD, {"limits": RateLimits(300, 31, 60.0)}, "limits", "ok", "31 of 300"),
        (GOOD, {"clock_difference_s": -31.0}, "clock", "warning", "-31 s"),
        (GOOD, {"clock_difference_s": 31.0}, "clock", "warning", "(NTP)"),
    ],
)
def test_each_finding_says_what_to_do(
    facts: ServerFacts,
    changes: dict[str, Any],
    what: str,
    state: str,
    message: str,
) -> None:
    diagnostic = doctor(facts, **changes)[what]
    assert diagnostic[0] == state
    assert message in diagnostic[1]


def test_a_server_that_does_not_date_its_answers_is_not_blamed() -> None:
    assert "clock" not in doctor(GOOD, clock_difference_s=None)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (WITHOUT, "streams need a token"),
        (attrs.evolve(GOOD, websocket="missing", sse="missing"), "set collect.mode to 'poll'"),
    ],
)
def test_streams_that_must_be_and_are_not_are_wrong(facts: ServerFacts, message: str) -> None:
    state, detail = doctor(facts, must_stream=True)["streaming"]
    assert (state, message in detail) == ("wrong", True)


class Asked(ThreadingHTTPServer):
    """Says that it is a Mastodon server, and keeps each path and token that it is asked with."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.host = f"127.0.0.1:{self.server_port}"
        self.url = f"http://{self.host}"
        self.requests: list[tuple[str, str | None]] = []

    @property
    def tokens(self) -> set[str | None]:
        return {token for _, token in self.requests}

    @property
    def tags(self) -> set[str]:
        tags = "/api/v1/timelines/tag/"
        return {urlsplit(path).path.removeprefix(tags) for path, _ in self.requests if tags in path}


class _Answer(BaseHTTPRequestHandler):
    server: Asked

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Authorization")))
        about = {"domain": "a.example", "version": "4.5.1", "uri": "a.example"}
        known = {"/api/v2/instance": about, "/api/v1/timelines/tag/": []}
        answer = next((known[path] for path in known if self.path.startswith(path)), None)
        data = json.dumps(answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def recording_server() -> Iterator[Asked]:
    with Asked() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_each_of_several_servers_is_asked_with_its_own_token_and_hashtag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    down = f"http://127.0.0.1:{free_port()}"
    with recording_server() as a, recording_server() as b:
        (tmp_path / "mastostream.toml").write_text(
            f"tags = ['#a']\nservers = [{{server = '{a.url}'}}, {{server = '{down}'}},\n"
            f"{{server = '{b.url}', tags = ['b'], mode = 'stream'}}]"
        )
        name = credential_name("ACCESS_TOKEN", b.host)
        (tmp_path / ".env").write_text(f"ACCESS_TOKEN=plain\n{name}=of-b\n")
        done = CliRunner().invoke(cli, ["doctor", "--json"])
        table = CliRunner().invoke(cli, ["doctor"], env={"COLUMNS": "200"}).stdout
    assert (a.tokens, a.tags) == ({None}, {"a"})
    assert ("Bearer of-b" in b.tokens, b.tags) == (True, {"b"})
    assert not any("plain" in str(token) for token in a.tokens | b.tokens)
    lines = list(map(json.loads, done.stdout.splitlines()))
    states = [(line["server"], line["what"], line["state"]) for line in lines]
    assert (down, "server", "wrong") in states
    assert (b.url, "server", "ok") in states
    assert (b.url, "streaming", "wrong") in states, "it was told to read nothing but streams"
    assert isinstance(done.exception, FatalError)
    assert b.url in table
    assert "of-b" not in table + done.stdout


def test_offline_no_server_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with recording_server() as server:
        monkeypatch.setenv("MASTOSTREAM_SERVER", server.url)
        done = CliRunner().invoke(cli, ["doctor", "--json", "--offline"])
        assert not server.requests
        CliRunner().invoke(cli, ["doctor", "--json"])
        assert server.requests
    assert {json.loads(line)["what"] for line in done.stdout.splitlines()} == {
        "python",
        "sqlite",
        "disk",
        "data",
    }
