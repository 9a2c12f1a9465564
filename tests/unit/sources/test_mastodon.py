"""The client of Mastodon servers, against a simulated one."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import mastodon
import msgspec
import pytest
import requests

from mastostream import Post, decode
from mastostream.config import Credentials, load_settings
from mastostream.exceptions import (
    ConfigurationError,
    FatalError,
    MastostreamError,
    RetriableError,
)
from mastostream.sources.mastodon import server_url, streaming_url
from mastostream.sources.mastodon.about import about_of
from mastostream.sources.mastodon.client import MastodonClient
from mastostream.sources.mastodon.errors import reset_after_s, translate
from mastostream.testing.simulator import Fault, SimulatedServer
from mastostream.wiring import collector, system_clock

NOW = datetime(2024, 1, 1, tzinfo=UTC)
STOPPED_MS = 1_750_000_000_000


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer(now_ms=lambda: STOPPED_MS, posts_per_s=5, backlog_s=600) as made:
        yield made


@pytest.fixture
def client(server: SimulatedServer) -> Iterator[MastodonClient]:
    made = MastodonClient(server.url, token="s3cret")
    yield made
    made.close()


def ids(page: object) -> list[str]:
    return [json.loads(raw)["id"] for raw in page]  # type: ignore[attr-defined]  # a page


def test_a_page_holds_each_status_as_the_server_sent_it(
    server: SimulatedServer, client: MastodonClient
) -> None:
    page = client.timeline(["news"])
    sent = requests.get(f"{server.url}/api/v1/timelines/tag/news?limit=40", timeout=5)
    assert list(page) == [
        bytes(raw) for raw in msgspec.json.decode(sent.content, type=list[msgspec.Raw])
    ]
    assert all(isinstance(decode(raw), Post) for raw in page)


def test_pages_above_and_below_a_post(client: MastodonClient) -> None:
    top = ids(client.timeline(["news"]))
    assert ids(client.timeline(["news"], max_id=top[9]))[:30] == top[10:]
    assert ids(client.timeline(["news"], min_id=top[5])) == top[:5]


def test_several_hashtags_in_one_request(client: MastodonClient) -> None:
    apart = {post for tag in ("news", "art") for post in ids(client.timeline([tag]))}
    together = ids(client.timeline(["news", "art"]))
    assert set(together) <= apart
    assert set(together) & set(ids(client.timeline(["art"])))
    assert set(ids(client.timeline(["news"]))) != set(together), "no parameter is left over"


def test_statuses_by_their_ids(client: MastodonClient) -> None:
    wanted = ids(client.timeline(["news"]))[:5]
    found = client.statuses([*wanted, "1"])
    assert found is not None
    assert set(ids(found)) == set(wanted)
    alone = client.statuses(wanted[:1])
    assert alone is not None
    assert ids(alone) == wanted[:1]
    assert client.statuses(["1"]) == ()


@pytest.mark.parametrize(("status", "most"), [(405, 1), (404, 1), (422, 2)])
def test_a_server_that_gives_fewer_by_their_ids_is_asked_for_fewer(
    server: SimulatedServer, client: MastodonClient, status: int, most: int
) -> None:
    server.faults.add(Fault(status=status))
    assert client.statuses(["1", "2", "3", "4"]) is None
    assert client.most_ids == most


def test_what_a_server_says_of_itself(client: MastodonClient) -> None:
    about = client.about()
    assert (about.family, about.hashtags_open) == ("mastodon", True)
    assert str(about.streaming_url).startswith("ws://127.0.0.1")


@pytest.mark.parametrize(
    ("version", "family"),
    [
        ("4.5.11", "mastodon"),
        ("4.4.0-nightly.2025-05-01", "mastodon"),
        ("4.3.1+glitch", "mastodon"),
        ("3.5.3+0.20.0-rc1+git-57cb4fe", "gotosocial"),
        ("2.7.2 (compatible; Pleroma 2.5.0)", "pleroma"),
        ("2.7.2 (compatible; Akkoma 3.10.2)", "akkoma"),
        ("2.8.0 (compatible; Pixelfed 0.12)", "other"),
        ("", "other"),
    ],
)
def test_which_program_a_server_runs(version: str, family: str) -> None:
    assert about_of({"version": version}, "h", with_token=False).family == family


def test_an_instance_of_any_shape_is_read() -> None:
    about = about_of(
        {"configuration": [], "urls": {"streaming_api": "wss://s.example"}, "uri": "s.example"},
        "h",
        with_token=False,
    )
    assert (about.domain, about.streaming_url) == ("s.example", "wss://s.example")
    closed = {"configuration": {"timelines_access": {"hashtag_feeds": {"local": "disabled"}}}}
    assert about_of(closed, "h", with_token=True).hashtags_open is False
    asked = {"configuration": {"timelines_access": {"hashtag_feeds": {"local": "authenticated"}}}}
    assert about_of(asked, "h", with_token=True).hashtags_open is True
    assert about_of(asked, "h", with_token=False).hashtags_open is False


@pytest.mark.parametrize(
    ("server_name", "announced", "url"),
    [
        ("s.example", "wss://streaming.s.example", "wss://streaming.s.example"),
        ("s.example", None, "wss://s.example"),
        ("http://127.0.0.1:8080", "wss://127.0.0.1:8080", "ws://127.0.0.1:8080"),
        ("https://s.example", "https://s.example", "wss://s.example"),
        ("https://s.example", "wss://[x", "wss://s.example"),
        ("https://s.example", "wss://", "wss://s.example"),
    ],
)
def test_where_streams_are(server_name: str, announced: str | None, url: str) -> None:
    assert streaming_url(server_name, announced) == url


@pytest.mark.parametrize("name", ["", "a b", "ftp://x", "s.example/path", "@user@s.example"])
def test_a_server_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no server"):
        server_url(name)


def test_limits_are_read_from_the_headers(client: MastodonClient) -> None:
    client.timeline(["news"])
    limits = client.limits
    assert limits is not None
    assert limits.limit == 300
    assert 0 < limits.reset_s <= 900


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=429, headers={"Retry-After": "7"}), RetriableError),
        (Fault(status=503), RetriableError),
        (Fault(cut=True), RetriableError),
        (Fault(status=401), FatalError),
        (Fault(status=403), FatalError),
        (Fault(status=404), FatalError),
        (Fault(status=422), FatalError),
    ],
)
def test_faults_are_told_apart(
    server: SimulatedServer, client: MastodonClient, fault: Fault, kind: type[MastostreamError]
) -> None:
    server.faults.add(fault)
    with pytest.raises(kind) as caught:
        client.timeline(["news"])
    assert "127.0.0.1" in str(caught.value)
    assert getattr(caught.value, "retry_after_s", None) == (7 if fault.status == 429 else None)
    assert len(client.timeline(["news"])) == 40


def test_a_token_is_sent_to_its_own_server_alone(tmp_path: Path) -> None:
    asked: list[tuple[str, bool]] = []

    def credentials_for(host: str, only: bool) -> Credentials:
        asked.append((host, only))
        return Credentials()

    servers = [{"server": "a.example"}, {"server": "https://b.example"}]
    flags = {"data": str(tmp_path), "tags": ["news"], "servers": servers}
    collector(load_settings(None, flags, {}), credentials_for, system_clock()).close()
    assert asked == [("a.example", False), ("b.example", False)]


def every_subclass(kind: type) -> list[type]:
    return [kind, *(each for child in kind.__subclasses__() for each in every_subclass(child))]


@pytest.mark.parametrize(
    "kind", [*every_subclass(mastodon.MastodonError), *every_subclass(requests.RequestException)]
)
def test_every_vendor_error_is_translated(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    translated = translate(error, "host.example", None)
    assert isinstance(translated, MastostreamError)
    assert "host.example" in str(translated)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"X-RateLimit-Reset": "2024-01-01T00:01:30.000Z"}, 90),
        ({"X-RateLimit-Reset": "1704067205", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, 5),
        ({"X-RateLimit-Reset": "2031-01-01T00:00:00Z"}, 900),
        ({"X-RateLimit-Reset": "soon"}, 60),
        ({"X-RateLimit-Reset": "9" * 5_000}, 900),
        ({"Date": "Mon, 01 Jan 99999999999 00:00:00 GMT"}, 60),
        ({}, 60),
    ],
)
def test_how_long_a_429_asks_to_wait(headers: dict[str, str], seconds: float) -> None:
    assert reset_after_s(headers, NOW) == seconds


def test_a_token_is_never_shown() -> None:
    client = MastodonClient("http://127.0.0.1:1", token="s3cret")
    with pytest.raises(RetriableError) as caught:
        client.timeline(["news"])
    client.close()
    assert "s3cret" not in f"{caught.value}{caught.value!r}{client!r}"
