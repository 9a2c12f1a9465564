"""What the doctor finds, and what it says to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from mastostream.cli import doctor as module
from mastostream.cli.main import cli
from mastostream.exceptions import FatalError, RetriableError
from mastostream.ports.source import About, Limits
from mastostream.sources.mastodon.facts import ServerFacts, TokenFacts

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
    limits=Limits(300, 290, 100.0),
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
Doctor = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Let the doctor see a server, and return what it finds there: state and detail."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASTOSTREAM_SERVER", "a.example")

    def run(facts: ServerFacts, **changes: Any) -> dict[str, tuple[str, str]]:
        found = attrs.evolve(facts, **changes)
        monkeypatch.setattr(module, "server_facts", lambda *_, **__: found)
        done = CliRunner().invoke(cli, ["doctor", "--json"])
        lines = list(map(json.loads, done.stdout.splitlines()))
        wrong = any(line["state"] == "wrong" for line in lines)
        assert isinstance(done.exception, FatalError) == wrong
        return {line["what"]: (line["state"], line["detail"]) for line in lines if line["server"]}

    return run


def test_where_all_is_well_all_is_ok(doctor: Doctor) -> None:
    found = doctor(GOOD)
    assert {state for state, _ in found.values()} == {"ok"}
    assert found["server"][1] == "a.example runs Mastodon 4.5.1"
    assert found["token"][1] == "accepted for: read:statuses profile"
    assert found["limits"][1] == "290 of 300 requests left for 100 s"


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
        (GOOD, {"limits": Limits(300, 30, 60.0)}, "limits", "warning", "wait until then"),
        (GOOD, {"limits": Limits(300, 31, 60.0)}, "limits", "ok", "31 of 300"),
        (GOOD, {"clock_difference_s": -31.0}, "clock", "warning", "-31 s"),
        (GOOD, {"clock_difference_s": 31.0}, "clock", "warning", "(NTP)"),
    ],
)
def test_each_finding_says_what_to_do(
    doctor: Doctor,
    facts: ServerFacts,
    changes: dict[str, Any],
    what: str,
    state: str,
    message: str,
) -> None:
    found = doctor(facts, **changes)[what]
    assert found[0] == state
    assert message in found[1]


def test_a_server_that_does_not_date_its_answers_is_not_blamed(doctor: Doctor) -> None:
    assert "clock" not in doctor(GOOD, clock_difference_s=None)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (WITHOUT, "streams need a token"),
        (attrs.evolve(GOOD, websocket="missing", sse="missing"), "set collect.mode to 'poll'"),
    ],
)
def test_streams_that_must_be_and_are_not_are_wrong(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, facts: ServerFacts, message: str
) -> None:
    monkeypatch.setenv("MASTOSTREAM_COLLECT_MODE", "stream")
    state, detail = doctor(facts)["streaming"]
    assert (state, message in detail) == ("wrong", True)


def test_each_of_several_servers_is_asked_with_its_own_token_and_hashtag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def facts(server: str, *, token: str | None, tag: str, **_: object) -> ServerFacts:
        asked.append((server, token, tag))
        if server == "down.example":
            raise RetriableError("down.example cannot be reached")
        return GOOD

    monkeypatch.setattr(module, "server_facts", facts)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mastostream.toml").write_text(
        "tags = ['#a']\nservers = [{server = 'a.example'}, {server = 'down.example'},\n"
        "{server = 'http://b.example:81', tags = ['b']}]"
    )
    (tmp_path / ".env").write_text("ACCESS_TOKEN=plain\nACCESS_TOKEN_B_EXAMPLE_81=of-b\n")
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    assert asked == [
        ("a.example", None, "a"),
        ("down.example", None, "a"),
        ("http://b.example:81", "of-b", "b"),
    ]
    lines = list(map(json.loads, done.stdout.splitlines()))
    states = [(line["server"], line["what"], line["state"]) for line in lines]
    assert ("down.example", "server", "wrong") in states
    assert ("http://b.example:81", "server", "ok") in states
    assert isinstance(done.exception, FatalError)
    table = CliRunner().invoke(cli, ["doctor"], env={"COLUMNS": "200"}).stdout
    assert "http://b.example:81" in table
    assert "of-b" not in table + done.stdout


def test_offline_no_server_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "server_facts", None)
    done = CliRunner().invoke(cli, ["doctor", "--json", "--offline"])
    assert {json.loads(line)["what"] for line in done.stdout.splitlines()} == {
        "python",
        "sqlite",
        "disk",
        "data",
    }
