"""Logging in, as a person with a browser does it, and without one."""

import json
import os
import secrets
import subprocess
import sys
import threading
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from click.testing import CliRunner, Result

from mastostream.cli.callback import Callback
from mastostream.cli.main import cli
from mastostream.config import load_credentials
from mastostream.exceptions import (
    ConfigurationError,
    FatalError,
    MastostreamError,
    RetriableError,
)
from mastostream.testing.simulator import SimulatedServer

BIN = Path(sys.executable).parent / "mastostream"
METADATA = "/.well-known/oauth-authorization-server"
Login = Callable[..., Result]
OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"
BROWSER = """\
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
    answer.read()
"""


class OAuthServer(ThreadingHTTPServer):
    """What a login needs of a Mastodon server; everybody who comes allows everything.

    Attributes:
        answers: overrides, by path: a status and a body.
        asked: the form or query of each request, by path.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server_port}"
        self.url = f"http://{self.host}"
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: dict[str, dict[str, str]] = {}
        self.key, self.secret, self.token, self.code = (secrets.token_urlsafe(32) for _ in "1234")
        self.denies = False
        self.metadata = {
            "issuer": f"{self.url}/",
            "scopes_supported": ["read", "profile", "read:statuses", "read:accounts"],
            "authorization_endpoint": f"{self.url}/oauth/authorize",
            "token_endpoint": f"{self.url}/oauth/token",
        }

    def answer(self, path: str, form: dict[str, str], token: str) -> tuple[int, Any]:
        self.asked[path] = form
        if path in self.answers:
            return self.answers[path]
        app = self.asked.get("/api/v1/apps", {})
        good = form.get("client_id") == self.key and form.get("client_secret") == self.secret
        code = form.get("code") == self.code
        code = code and form.get("redirect_uri") == app.get("redirect_uris")
        if path == METADATA:
            return 200, self.metadata
        if path == "/api/v1/apps":
            return 200, {"client_id": self.key, "client_secret": self.secret}
        if path == "/oauth/token":
            granted = {"access_token": self.token, "scope": app["scopes"], "token_type": "Bearer"}
            return (200, granted) if good and code else (400, {"error": "invalid_grant"})
        if path == "/api/v1/accounts/verify_credentials" and token == f"Bearer {self.token}":
            return 200, {"id": "1", "acct": "me", "username": "me"}
        return 404, {"error": "Not Found"}


class Handler(BaseHTTPRequestHandler):
    server: OAuthServer

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: texts[0] for name, texts in parse_qs(address.query).items()}
        if address.path == "/oauth/authorize":
            self.server.asked[address.path] = query
            given = {"error": "access_denied"} if self.server.denies else {"code": self.server.code}
            self.send_response(302)
            target = f"{query['redirect_uri']}?{urlencode(given | {'state': query['state']})}"
            self.send_header("Location", target)
            self.end_headers()
            return
        self._give(self.server.answer(address.path, query, self.headers.get("Authorization", "")))

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: texts[0] for name, texts in parse_qs(sent).items()}
        self._give(self.server.answer(urlsplit(self.path).path, form, ""))

    def _give(self, answer: tuple[int, Any]) -> None:
        status, body = answer
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with OAuthServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join(timeout=5)


def allow(address: str) -> bool:
    """Open what is given, as somebody who allows it would."""

    def visit() -> None:
        with urllib.request.urlopen(address, timeout=10) as answer:
            answer.read()

    threading.Thread(target=visit).start()
    return True


@pytest.fixture
def login(tmp_path: Path, browser: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    browser.opens = allow

    def run(*arguments: str, pasted: str = "") -> Result:
        return CliRunner().invoke(cli, ["login", *arguments], input=pasted)

    return run


def secrets_of(server: OAuthServer) -> tuple[str, str, str]:
    return server.secret, server.token, server.key


def test_a_browser_brings_the_code(server: OAuthServer, tmp_path: Path) -> None:
    script = tmp_path / "browser.py"
    script.write_text(BROWSER)
    done = subprocess.run(
        [BIN, "login", "--server", server.url],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"BROWSER": f"{sys.executable} {script} %s"},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    credentials = load_credentials(tmp_path, {}, server.host)
    assert (
        credentials.client_secret,
        credentials.access_token,
        credentials.client_key,
    ) == secrets_of(server)
    assert load_credentials(tmp_path, {}).access_token is None  # another server's, perhaps
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "browser.py"]
    assert f"logged in to {server.host} as me" in done.stdout
    shown = done.stdout + done.stderr
    assert not any(secret in shown for secret in (server.secret, server.token, server.code))
    query = server.asked["/oauth/authorize"]
    assert query["redirect_uri"].startswith("http://127.0.0.1:")
    assert len(query["state"]) >= 32


def test_without_any_browser_the_code_is_pasted(
    server: OAuthServer, login: Login, browser: Any
) -> None:
    browser.is_there = False
    assert login("--server", server.url, pasted=f"{server.code}\n").exit_code == 0
    assert server.asked["/api/v1/apps"]["redirect_uris"] == OUT_OF_BAND


def test_it_asks_for_no_more_than_reading(server: OAuthServer, login: Login) -> None:
    login("--server", server.url)
    for path in ("/api/v1/apps", "/oauth/authorize", "/oauth/token"):
        form = server.asked[path]
        assert form.get("scopes", form.get("scope")) == "read:statuses profile"


@pytest.mark.parametrize(
    "metadata",
    [
        (404, {}),
        (200, "<html>"),
        (200, {"issuer": "x"}),
        (200, {"token_endpoint": None, "grant_types_supported": None, "scopes_supported": None}),
    ],
)
def test_an_older_server_is_asked_for_scopes_that_it_knows(
    server: OAuthServer, login: Login, metadata: tuple[int, Any]
) -> None:
    server.answers[METADATA] = metadata
    assert login("--server", server.url).exit_code == 0
    assert server.asked["/api/v1/apps"]["scopes"] == "read:statuses read:accounts"


@pytest.mark.parametrize("option", ["--no-browser", "--code"])
def test_without_a_browser_the_code_is_pasted(
    server: OAuthServer, login: Login, tmp_path: Path, option: str
) -> None:
    done = login("--server", server.url, option, pasted=f"  {server.code}\n")
    assert done.exit_code == 0, done.stderr
    assert f"{server.url}/oauth/authorize?" in done.stdout
    assert server.asked["/api/v1/apps"]["redirect_uris"] == OUT_OF_BAND
    assert load_credentials(tmp_path, {}, server.host).access_token == server.token


def test_for_programs_each_line_is_json(server: OAuthServer, login: Login) -> None:
    done = login("--server", server.url, "--json", "--no-browser", pasted=f"{server.code}\n")
    lines = done.stdout.splitlines()  # older click echoes what is typed
    opened, logged_in = (json.loads(line) for line in lines if line.startswith("{"))
    assert (opened["kind"], logged_in["kind"]) == ("open", "login")
    assert (logged_in["server"], logged_in["account"]) == (server.host, "me")
    assert logged_in["scopes"] == ["read:statuses", "profile"]


@pytest.mark.parametrize(
    ("config", "arguments", "env", "plain"),
    [
        ("server = '{url}'", [], "", True),
        ("server = '{url}'", ["--server", "{url}/"], "", True),
        ("servers = [{{server = '{url}'}}]", [], "", True),
        ("server = '{url}'", ["--suffix"], "", False),
        ("server = '{url}'", [], "ACCESS_TOKEN_{name}=older\n", False),
        ("server = '{url}'", [], "ACCESS_TOKEN_{name}=\n", True),
        ("", ["--server", "{url}"], "", False),
        ("server = 'a.example'", ["--server", "{url}"], "", False),
        ("servers = [{{server = '{url}'}}, {{server = 'b.c'}}]", ["--server", "{url}"], "", False),
    ],
)
def test_the_plain_names_are_for_the_only_server(
    server: OAuthServer,
    login: Login,
    tmp_path: Path,
    config: str,
    arguments: list[str],
    env: str,
    plain: bool,
) -> None:
    names = {"url": server.url, "name": server.host.replace(".", "_").replace(":", "_")}
    (tmp_path / "mastostream.toml").write_text(config.format(**names))
    (tmp_path / ".env").write_text(env.format(**names))
    done = login(*(argument.format(**names) for argument in arguments))
    assert done.exit_code == 0, done.stderr
    plain_token = load_credentials(tmp_path, {}).access_token
    assert plain_token == (server.token if plain else None)
    assert load_credentials(tmp_path, {}, server.host, plain).access_token == server.token


def test_other_lines_stay_and_the_file_becomes_private(
    server: OAuthServer, login: Login, tmp_path: Path
) -> None:
    (tmp_path / "mastostream.toml").write_text(f"server = '{server.url}'\n")
    env = tmp_path / "elsewhere.env"
    before = (
        "# mine\nOTHER='a\nb'\nexport ACCESS_TOKEN=old\nCLIENT_KEY=\nACCESS_TOKEN=older\nLAST=1"
    )
    env.write_text(before)
    env.chmod(0o644)
    (tmp_path / ".env").symlink_to(env)
    assert login().exit_code == 0
    assert (tmp_path / ".env").is_symlink()
    assert env.stat().st_mode & 0o777 == 0o600
    assert env.read_text() == (
        f"# mine\nOTHER='a\nb'\nACCESS_TOKEN={server.token}\nCLIENT_KEY={server.key}\n"
        f"LAST=1\nCLIENT_SECRET={server.secret}\n"
    )


def test_it_says_when_the_environment_hides_what_it_has_written(
    server: OAuthServer, login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mastostream.toml").write_text(f"server = '{server.url}'\n")
    monkeypatch.setenv("ACCESS_TOKEN", "another")
    done = login()
    assert "the environment has ACCESS_TOKEN, which comes before .env" in done.stderr


def test_a_user_who_denies_is_told_so(server: OAuthServer, login: Login, tmp_path: Path) -> None:
    server.denies = True
    error = login("--server", server.url).exception
    assert isinstance(error, FatalError)
    assert "the login was not allowed" in str(error)
    assert not (tmp_path / ".env").exists()


@pytest.mark.parametrize(
    ("answers", "kind", "message"),
    [
        ({"/api/v1/apps": (422, {"error": "no"})}, FatalError, "refuses (422) to register"),
        ({"/api/v1/apps": (403, "<html>")}, FatalError, "refuses (403) to register"),
        ({"/api/v1/apps": (200, "<html>")}, FatalError, "does not understand"),
        ({"/api/v1/apps": (200, [])}, FatalError, "does not understand"),
        (
            {"/api/v1/apps": (200, {"client_id": 5, "client_secret": "x"})},
            FatalError,
            "that are none",
        ),
        (
            {"/api/v1/apps": (200, {"client_id": "browser.py", "client_secret": "s" * 20})},
            FatalError,
            "that are none",
        ),
        ({"/api/v1/apps": (500, "trouble")}, RetriableError, "has trouble of its own (500)"),
        ({"/api/v1/apps": (429, {})}, RetriableError, "allows no more requests"),
        ({"/oauth/token": (400, {"error": "invalid_grant"})}, FatalError, "refuses (400) the code"),
        ({"/oauth/token": (503, {})}, RetriableError, "has trouble of its own (503)"),
        (
            {"/oauth/token": (200, {"access_token": "a b", "scope": ""})},
            FatalError,
            "allowed less than",
        ),
        ({"/oauth/token": (200, {"access_token": "x"})}, FatalError, "that are none"),
        ({"/oauth/token": (200, {})}, FatalError, "does not understand"),
        ({"/api/v1/accounts/verify_credentials": (403, {})}, FatalError, "refuses (403) the token"),
        (
            {METADATA: (200, {"token_endpoint": "ftp://a.example"})},
            FatalError,
            "does not understand",
        ),
        ({METADATA: (200, {"authorization_endpoint": "x:y"})}, FatalError, "does not understand"),
    ],
)
def test_what_goes_wrong_is_told_without_any_secret(
    server: OAuthServer,
    login: Login,
    tmp_path: Path,
    answers: dict[str, tuple[int, Any]],
    kind: type[MastostreamError],
    message: str,
) -> None:
    (tmp_path / "browser.py").touch()
    server.answers |= answers
    done = login("--server", server.url, "--no-browser", pasted=f"{server.code}\n")
    error = done.exception
    assert isinstance(error, kind)
    assert message in str(error)
    shown = done.output + str(error)
    assert not any(secret in shown for secret in (server.secret, server.token))
    assert not (tmp_path / ".env").exists()


def test_an_error_keeps_nothing_of_what_the_server_sent(server: OAuthServer, login: Login) -> None:
    server.answers["/oauth/token"] = (200, f"no JSON, but {server.token}")
    error = login("--server", server.url, "--no-browser", pasted=f"{server.code}\n").exception
    assert isinstance(error, FatalError)
    assert server.token not in "".join(traceback.format_exception(error))


def test_a_server_that_does_not_repeat_the_scopes_has_granted_them(
    server: OAuthServer, login: Login, tmp_path: Path
) -> None:
    server.answers["/oauth/token"] = (200, {"access_token": server.token})
    done = login("--server", server.url, "--no-browser", pasted=f"{server.code}\n")
    assert done.exit_code == 0, done.stderr
    assert load_credentials(tmp_path, {}, server.host).access_token == server.token


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["--server", "no server/"], ConfigurationError, "is no server"),
        (["--server", "http://127.0.0.1:1"], RetriableError, "nothing listens there"),
        ([], ConfigurationError, "say with --server which one it is"),
    ],
)
def test_a_mistake_is_told(
    login: Login, tmp_path: Path, arguments: list[str], kind: type[MastostreamError], message: str
) -> None:
    (tmp_path / "mastostream.toml").write_text("servers = [{server = 'a.b'}, {server = 'c.d'}]")
    error = login(*arguments).exception
    assert isinstance(error, kind)
    assert message in str(error)


def test_a_file_that_cannot_be_read_is_told_before_the_login(
    server: OAuthServer, login: Login, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    error = login("--server", server.url).exception
    assert isinstance(error, ConfigurationError)
    assert "cannot read" in str(error)
    assert server.asked == {}


def test_a_file_that_cannot_be_written_is_told_and_nothing_is_left(
    server: OAuthServer, login: Login, tmp_path: Path
) -> None:
    (tmp_path / ".env").mkdir()
    error = login("--server", server.url).exception
    assert isinstance(error, MastostreamError)
    assert "cannot" in str(error)
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_a_login_to_the_simulated_server_is_what_the_doctor_accepts(login: Login) -> None:
    with SimulatedServer(token="another") as simulated:
        assert login("--server", simulated.url).exit_code == 0
        done = CliRunner().invoke(cli, ["doctor", "--json", "--server", simulated.url])
    checks = {line["what"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.exit_code == 0, checks
    assert checks["token"]["detail"].startswith("accepted for: read:statuses")
    assert checks["streaming"]["detail"].endswith("WebSocket open, server-sent events open")


def get(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:  # it is the answer, too
            return error.code


def test_only_an_answer_with_the_state_of_this_login_counts() -> None:
    with Callback("the-state") as callback:
        for query in ("code=evil&state=wrong", "code=evil", "state=the-state", "", "state=%ff"):
            assert get(f"{callback.url}?{query}") == 400
        assert get(f"{callback.url}favicon.ico?code=evil&state=the-state") == 400
        with pytest.raises(RetriableError, match="no browser"):
            callback.wait(0.01)
        assert get(f"{callback.url}?code=good&state=the-state") == 200
        assert get(f"{callback.url}?code=evil&state=the-state") == 200
        assert callback.wait(5) == "good"


def test_an_idle_connection_of_a_browser_holds_nothing_up() -> None:
    import socket

    with Callback("the-state") as callback:
        with socket.create_connection(("127.0.0.1", urlsplit(callback.url).port or 0)):
            assert get(f"{callback.url}?error=access_denied&state=the-state") == 200
        with pytest.raises(FatalError, match="not allowed"):
            callback.wait(5)


def test_the_listener_is_on_the_loopback_and_ends_with_the_block() -> None:
    with Callback("the-state") as callback:
        assert callback.url.startswith("http://127.0.0.1:")
    with pytest.raises(urllib.error.URLError):
        get(callback.url)
