"""Tokens: how they are got, what they allow, and what is said without the right one."""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mastodon
import pytest
import requests

from mastostream.testing.fakes import FakeClock
from mastostream.testing.simulator import SimulatedServer

from .clients import START, get

OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"
TIMELINE = "/api/v1/timelines/tag/news"
ME = "/api/v1/accounts/verify_credentials"


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer(clock=FakeClock(START), token="right") as running:
        yield running


def post(server: SimulatedServer, path: str, **form: str) -> requests.Response:
    return requests.post(server.url + path, form, timeout=5)


def register(server: SimulatedServer, **more: str) -> Any:
    form = {"client_name": "c", "redirect_uris": OUT_OF_BAND, "scopes": "read"} | more
    return post(server, "/api/v1/apps", **form).json()


def token_form(app: Any, **more: str) -> dict[str, str]:
    return {key: app[key] for key in ("client_id", "client_secret")} | more


def test_the_usual_client_logs_in(server: SimulatedServer) -> None:
    client_id, secret = mastodon.Mastodon.create_app(
        "collector", api_base_url=server.url, scopes=["read"]
    )
    api = mastodon.Mastodon(
        client_id=client_id,
        client_secret=secret,
        api_base_url=server.url,
        version_check_mode="none",
    )
    page = requests.get(api.auth_request_url(scopes=["read"]), timeout=5).text
    code = re.findall(r"<code[^>]*>(\w+)<", page)[0]
    token = api.log_in(code=code, scopes=["read"])
    assert get(server, TIMELINE, token).status_code == 200
    assert api.app_verify_credentials().name == "collector"
    assert api.account_verify_credentials().username == "simulated"
    api.session.close()


def test_a_browser_is_sent_back_with_the_code_and_the_state(server: SimulatedServer) -> None:
    back = "http://127.0.0.1:9/callback"
    app = register(server, redirect_uris=f"{OUT_OF_BAND}\n{back}")
    verifier = "v" * 50
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "client_id": app["client_id"],
        "redirect_uri": back,
        "response_type": "code",
        "state": "s t",
        "code_challenge": urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
    }
    answer = requests.get(server.url + "/oauth/authorize", query, allow_redirects=False, timeout=5)
    assert answer.status_code == 302
    sent = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert sent["state"] == ["s t"]
    form = token_form(app, grant_type="authorization_code", redirect_uri=back)
    (code,) = sent["code"]
    wrong = post(server, "/oauth/token", **form, code=code, code_verifier="other")
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    again = requests.get(server.url + "/oauth/authorize", query, allow_redirects=False, timeout=5)
    (code,) = parse_qs(urlsplit(again.headers["Location"]).query)["code"]
    got = post(server, "/oauth/token", **form, code=code, code_verifier=verifier).json()
    assert (got["token_type"], got["scope"]) == ("Bearer", "read")
    assert get(server, TIMELINE, got["access_token"]).status_code == 200
    used = post(server, "/oauth/token", **form, code=code, code_verifier=verifier)
    assert used.status_code == 400


def test_an_application_has_a_token_without_a_user(server: SimulatedServer) -> None:
    app = register(server, scopes="read write:statuses")
    form = token_form(app, grant_type="client_credentials", scope="read:statuses")
    token = post(server, "/oauth/token", **form).json()["access_token"]
    about = get(server, "/api/v1/apps/verify_credentials", token).json()
    assert (about["name"], about["scopes"]) == ("c", ["read", "write:statuses"])
    assert get(server, TIMELINE, token).status_code == 200
    assert get(server, ME, token).json() == {"error": "This method requires an authenticated user"}
    too_much = token_form(app, grant_type="client_credentials", scope="admin:read")
    assert post(server, "/oauth/token", **too_much).json()["error"] == "invalid_scope"
    wrong = form | {"client_secret": "guessed"}
    assert post(server, "/oauth/token", **wrong).json()["error"] == "invalid_client"


def test_a_token_of_too_small_a_scope_is_refused(server: SimulatedServer) -> None:
    app = register(server, scopes="write")
    form = token_form(app, grant_type="client_credentials", scope="write")
    token = post(server, "/oauth/token", **form).json()["access_token"]
    answer = get(server, TIMELINE, token)
    assert answer.status_code == 403
    assert answer.json() == {"error": "This action is outside the authorized scopes"}


def test_everything_wants_the_token_that_the_server_was_made_with(
    server: SimulatedServer,
) -> None:
    for path in (TIMELINE, "/api/v2/instance", "/api/v1/statuses/1", ME):
        for token in (None, "wrong"):
            answer = get(server, path, token)
            assert answer.status_code == 401
            assert answer.json() == {"error": "The access token is invalid"}
    for path in (TIMELINE, "/api/v2/instance", ME):
        assert get(server, path, "right").status_code == 200
        assert get(server, path, access_token="right").status_code == 200
    about = get(server, "/api/v2/instance", "right").json()
    assert about["configuration"]["timelines_access"]["live_feeds"]["local"] == "authenticated"


def test_a_revoked_token_is_refused_and_it_is_said(server: SimulatedServer) -> None:
    assert get(server, TIMELINE, "right").status_code == 200
    server.revoke("right")
    answer = get(server, TIMELINE, "right")
    assert answer.status_code == 401
    assert answer.json() == {"error": "The access token was revoked"}


def test_an_open_server_takes_none_or_any() -> None:
    with SimulatedServer(clock=FakeClock(START)) as server:
        assert get(server, TIMELINE).status_code == 200
        assert get(server, TIMELINE, "any").status_code == 200
        assert get(server, ME).status_code == 401
        server.revoke("any")
        assert get(server, TIMELINE, "any").status_code == 401
