"""What is asked of Kibana over HTTP, and what its answers mean."""

import base64
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from mastostream.dashboards.kibana import LIVE, saved_objects, to_ndjson
from mastostream.dashboards.kibana.errors import translate
from mastostream.dashboards.kibana.kibana_api import Imported, ImportFailure, Kibana
from mastostream.exceptions import (
    ConfigurationError,
    FatalError,
    MastostreamError,
    RetriableError,
)

from .kibana_server import KEY, PASSWORD, USER, KibanaServer, kibana_server

OBJECTS = saved_objects(LIVE)
NDJSON = to_ndjson(OBJECTS)


@pytest.fixture
def server() -> Iterator[KibanaServer]:
    with kibana_server() as running:
        yield running


def imported(server: KibanaServer, *, overwrite: bool = False, **arguments: Any) -> Imported:
    with Kibana(server.url, **arguments) as client:
        return client.import_objects(NDJSON, overwrite=overwrite)


def refused(server: KibanaServer, kind: type[MastostreamError], **arguments: Any) -> str:
    with pytest.raises(kind) as caught:
        imported(server, **arguments)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_all_objects_arrive_as_they_were_sent(server: KibanaServer) -> None:
    assert imported(server) == Imported(count=len(OBJECTS), failures=())
    assert list(server.objects.values()) == list(OBJECTS)
    method, path, query, headers = server.asked[-1]
    assert (method, path) == ("POST", "/api/saved_objects/_import")
    assert query == {"overwrite": ["false"]}
    assert headers["kbn-xsrf"] == "true"
    assert "Authorization" not in headers


def test_a_second_import_changes_nothing_unless_told_to(server: KibanaServer) -> None:
    imported(server)
    server.objects["default", "dashboard", "mastodon-live"] = {"changed": "by hand"}
    again = imported(server)
    assert again.count == 0  # the server says otherwise: see its successCount
    assert len(again.failures) == len(OBJECTS)
    assert {each.reason for each in again.failures} == {"it is there already"}
    assert all(each.exists for each in again.failures)
    assert server.objects["default", "dashboard", "mastodon-live"] == {"changed": "by hand"}
    assert imported(server, overwrite=True) == Imported(count=len(OBJECTS), failures=())
    assert server.objects["default", "dashboard", "mastodon-live"] == OBJECTS[-1]


def test_an_answer_of_200_with_failures_names_each_with_its_reason(server: KibanaServer) -> None:
    server.broken["lens", "mastodon-live-volume"] = "[state]: \x1b[31mexpected\nvalue"
    del server.known["search"]
    done = imported(server)
    assert done.count == len(OBJECTS) - 2
    assert done.failures == (
        ImportFailure(type="lens", id="mastodon-live-volume", reason="[state]: [31mexpected value"),
        ImportFailure(
            type="search",
            id="mastodon-live-top-posts",
            reason="this Kibana has no saved objects of this type",
        ),
    )


def test_missing_references_are_named_and_nothing_was_taken(server: KibanaServer) -> None:
    with Kibana(server.url) as client:
        done = client.import_objects(to_ndjson(OBJECTS[1:]), overwrite=False)
    assert done.count == 0
    assert server.objects == {}
    reasons = {each.reason for each in done.failures}
    assert reasons == {"it refers to what is not there: index-pattern mastodon-engagement"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"type": "ambiguous_conflict", "destinations": []}, "delete all but one"),
        ({"type": "unknown", "statusCode": 500}, "unknown"),
        ({"type": "of the future", "message": "why"}, "why"),
    ],
)
def test_other_failures_have_a_reason_too(
    server: KibanaServer, error: dict[str, Any], reason: str
) -> None:
    failed = {"type": "le\x1bns", "id": "x\n", "meta": {}, "error": error}
    answer = {"success": False, "successCount": 3, "errors": [failed]}
    server.answers["/api/saved_objects/_import"] = (200, json.dumps(answer).encode(), {})
    (failure,) = imported(server).failures
    assert (failure.type, failure.id) == ("lens", "x")
    assert reason in failure.reason


def test_no_success_without_a_reason_is_no_success(server: KibanaServer) -> None:
    answer = b'{"success": false, "successCount": 15}'
    server.answers["/api/saved_objects/_import"] = (200, answer, {})
    assert "does not say why" in refused(server, FatalError)


# who asks


@pytest.mark.parametrize(
    ("secrets", "header"),
    [
        ({"ELASTICSEARCH_API_KEY": KEY}, f"ApiKey {KEY}"),
        (
            {"ELASTICSEARCH_USERNAME": USER, "ELASTICSEARCH_PASSWORD": PASSWORD},
            "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
        ),
        (
            {
                "ELASTICSEARCH_API_KEY": KEY,
                "ELASTICSEARCH_USERNAME": "other",
                "ELASTICSEARCH_PASSWORD": "wrong",
            },
            f"ApiKey {KEY}",
        ),
    ],
)
def test_it_says_who_asks(server: KibanaServer, secrets: dict[str, str], header: str) -> None:
    server.secured = True
    assert imported(server, secrets=secrets).count == len(OBJECTS)
    assert {headers["Authorization"] for *_, headers in server.asked} == {header}


def test_without_credentials_it_says_where_to_put_them(server: KibanaServer) -> None:
    server.secured = True
    message = refused(server, ConfigurationError)
    assert "asks who you are (401): set ELASTICSEARCH_API_KEY" in message


def test_wrong_credentials_are_told_and_not_shown(server: KibanaServer) -> None:
    server.secured = True
    message = refused(server, ConfigurationError, secrets={"ELASTICSEARCH_API_KEY": "wr0ng"})
    assert "does not accept the credentials (401)" in message
    assert "wr0ng" not in message


def test_a_missing_privilege_is_named(server: KibanaServer) -> None:
    server.may_import = False
    message = refused(server, FatalError)
    assert "(403: Unable to bulk_create dashboard,index-pattern,lens,search)" in message
    assert "'Saved Objects Management: All'" in message


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ({"ELASTICSEARCH_USERNAME": USER}, "go together"),
        ({"ELASTICSEARCH_PASSWORD": PASSWORD}, "go together"),
        ({"ELASTICSEARCH_API_KEY": "a b"}, "one word"),
        ({"ELASTICSEARCH_API_KEY": "a\r\nHost: b"}, "one word"),
        ({"ELASTICSEARCH_API_KEY": "schlüssel"}, "one word"),
    ],
)
def test_credentials_that_cannot_be_right_are_not_sent(
    secrets: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Kibana("http://127.0.0.1:1", secrets=secrets)


def test_credentials_of_netrc_are_not_for_kibana(
    server: KibanaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    imported(server)
    assert not any("Authorization" in headers for *_, headers in server.asked)


def test_a_redirect_is_told_and_not_followed(server: KibanaServer) -> None:
    """A server that sends on could send the credentials anywhere."""
    with kibana_server() as other:
        headers = {"Location": f"{other.url}/login\x1b[2J"}
        server.answers["/api/status"] = (302, b"", headers)
        message = refused(server, ConfigurationError, secrets={"ELASTICSEARCH_API_KEY": KEY})
        assert f"sends on to {other.url}/login[2J (302): set kibana.url" in message
        assert other.asked == []


# spaces and addresses


def test_objects_go_into_the_space(server: KibanaServer) -> None:
    server.spaces.add("news")
    with Kibana(server.url, space="news") as client:
        objects = saved_objects(LIVE, "news")
        done = client.import_objects(to_ndjson(objects), overwrite=False)
        assert done.failures == ()
        url = client.dashboard_url("mastodon-live-news")
    assert {space for space, *_ in server.objects} == {"news"}
    assert url == f"{server.url}/s/news/app/dashboards#/view/mastodon-live-news"


def test_a_space_that_is_not_there_is_told_before_anything_is_sent(server: KibanaServer) -> None:
    """Kibana's import would not notice."""
    message = refused(server, ConfigurationError, space="nowhere")
    assert "has no space 'nowhere': create it there" in message
    assert server.objects == {}


def test_the_default_space_needs_no_path(server: KibanaServer) -> None:
    imported(server, space="default")
    assert server.asked[-1][1] == "/api/saved_objects/_import"
    with Kibana(server.url) as client:
        assert client.dashboard_url("a b") == f"{server.url}/app/dashboards#/view/a%20b"


@pytest.mark.parametrize("space", ["../x", "News", "a/b", "a b", "ä", "?"])
def test_a_space_is_an_id(space: str) -> None:
    with pytest.raises(ConfigurationError, match="expected the id of a space"):
        Kibana("http://127.0.0.1:1", space=space)


def test_a_path_before_kibana_stays() -> None:
    with kibana_server("/kibana") as server:
        assert imported(server).count == len(OBJECTS)
        with Kibana(f"{server.url}/") as client:
            assert client.dashboard_url("x") == f"{server.url}/app/dashboards#/view/x"


@pytest.mark.parametrize(
    "url",
    [
        "localhost:5601",
        "ftp://a.example",
        "http://",
        "",
        "http://a:99999",
        "http://[::1",
        "/kibana",
    ],
)
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"kibana\.url: expected such as"):
        Kibana(url)


def test_an_address_holds_no_password() -> None:
    with pytest.raises(ConfigurationError, match="do not belong there") as caught:
        Kibana("http://user:s3cret@localhost:5601")
    assert "s3cret" not in str(caught.value)


# which Kibana


@pytest.mark.parametrize(("version", "good"), [("8.9.0", True), ("9.1.2", True), ("8.8.2", False)])
def test_a_kibana_that_is_too_old_is_told_before_anything_is_sent(
    server: KibanaServer, version: str, good: bool
) -> None:
    server.version = version
    if good:
        assert imported(server).count == len(OBJECTS)
    else:
        message = refused(server, FatalError)
        assert f"is {version}: the dashboard needs 8.9 or later" in message
        assert server.objects == {}


def test_a_kibana_that_hides_its_version_may_still_refuse(server: KibanaServer) -> None:
    server.answers["/api/status"] = (200, b'{"status":{"overall":{"level":"available"}}}', {})
    server.known["lens"] = (8, 6, 0)
    message = refused(server, FatalError)
    assert "is too old for these objects (422: Document" in message
    assert "[8.9.0] when the last known version is [8.6.0]" in message


def test_the_version_is_returned_to_those_it_is_shown_to(server: KibanaServer) -> None:
    server.secured = True
    with Kibana(server.url) as client:
        assert client.version() == ""
    with Kibana(server.url, secrets={"ELASTICSEARCH_API_KEY": KEY}) as client:
        assert client.version() == "8.17.4"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<!DOCTYPE html>"),
        (200, b"{}"),
        (200, b'{"status": "green"}'),
        (200, b""),
        (404, b"not found"),
        (400, b'{"error":"no handler found for uri [/api/status] and method [GET]"}'),
        (405, b'{"error":"Incorrect HTTP method"}'),
    ],
)
def test_a_server_that_is_no_kibana_is_told(server: KibanaServer, status: int, body: bytes) -> None:
    server.answers["/api/status"] = (status, body, {})
    message = refused(server, ConfigurationError)
    assert "answers, but not as Kibana does: check kibana.url" in message


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (503, b"Kibana server is not ready yet", "is not ready (503): it is starting"),
        (503, b'{"status":{"overall":{"level":"unavailable"}}}', "is not ready (503)"),
        (500, b'{"message":"a\\nb"}', "has trouble (500: a b): try again later"),
        (502, b"<html>", "has trouble (502): try again later"),
        (429, b"", "has trouble (429)"),
    ],
)
def test_trouble_is_for_later(server: KibanaServer, status: int, body: bytes, message: str) -> None:
    for path in ("/api/status", "/api/saved_objects/_import"):
        server.answers = {path: (status, body, {})}
        assert message in refused(server, RetriableError)


def test_it_asks_once(server: KibanaServer) -> None:
    """Somebody waits at a terminal: a sentence is worth more than a minute of tries."""
    server.answers["/api/status"] = (503, b"", {"Retry-After": "30"})
    refused(server, RetriableError)
    refused(server, RetriableError)
    assert server.asked == []


def test_other_refusals_are_told_in_kibanas_words(server: KibanaServer) -> None:
    server.answers["/api/saved_objects/_import"] = (413, b'{"message":"too large"}', {})
    assert "refuses the request (413: too large)" in refused(server, FatalError)


# the network


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def test_a_server_that_cannot_be_reached_is_told() -> None:
    with (
        Kibana(f"http://127.0.0.1:{free_port()}") as client,
        pytest.raises(RetriableError, match="nothing listens there: start it"),
    ):
        client.version()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (requests.ConnectionError("NameResolutionError(...)"), "no server of this name"),
        (requests.exceptions.ProxyError("refused"), "the proxy on the way"),
        (requests.exceptions.InvalidHeader("x"), "set ELASTICSEARCH_API_KEY"),
    ],
)
def test_other_troubles_of_the_network_are_told_apart(
    error: requests.RequestException, message: str
) -> None:
    assert message in str(translate(error, "http://k.example:5601"))


def test_a_server_that_is_silent_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Kibana(url, timeout_s=0.05) as client, pytest.raises(RetriableError, match="in time"):
            client.version()


def test_a_connection_that_breaks_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            connection, _ = listening.accept()
            connection.recv(10)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Kibana(url) as client, pytest.raises(RetriableError, match="the connection broke"):
            client.version()
        thread.join()


def family(kind: type[BaseException]) -> Iterator[type[Any]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


@pytest.mark.parametrize("kind", sorted(set(family(requests.RequestException)), key=str))
def test_every_error_of_requests_means_something(kind: type[Any]) -> None:
    error = kind.__new__(kind, "x", "x", 0)
    ours = translate(error, "http://k.example:5601")
    assert isinstance(ours, RetriableError | ConfigurationError)
    assert ": " in str(ours)
    wrong = ("Schema", "InvalidURL", "InvalidProxyURL", "InvalidHeader", "SSL")
    assert isinstance(ours, ConfigurationError) == any(word in kind.__name__ for word in wrong)


# certificates


class Status(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"status":{"overall":{"level":"available"}},"version":{"number":"8.17.4"}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    try:
        subprocess.run([*command, *subject, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl here to make a certificate with")
    return folder


@pytest.fixture
def tls_url(certificate: Path) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Status)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_certificate_of_ones_own_is_trusted_by_its_file(
    tls_url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Kibana(tls_url) as client, pytest.raises(ConfigurationError, match=r"kibana\.ca_file"):
        client.version()
    ca_file = str(certificate / "cert.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate / "key.pem"))
    with Kibana(tls_url, ca_file=ca_file) as client:
        assert client.version() == "8.17.4"


def test_a_ca_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    for name in ("none.pem", "bad.pem"):
        with pytest.raises(ConfigurationError, match=r"kibana\.ca_file: no certificate"):
            Kibana("https://localhost:1", ca_file=str(tmp_path / name))


def test_http_and_https_mixed_up_are_told(server: KibanaServer, tls_url: str) -> None:
    url = server.url.replace("http:", "https:")
    with Kibana(url) as client, pytest.raises(ConfigurationError, match="http or https"):
        client.version()
    url = tls_url.replace("https:", "http:")
    with Kibana(url) as client, pytest.raises(RetriableError, match="begins with https"):
        client.version()
