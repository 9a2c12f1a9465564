"""How a server is reached: one clear sentence for each way in which it is not; no secret in any."""

import json
import logging
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import attrs
import pytest

from mastostream.config import ElasticsearchSettings
from mastostream.exceptions import ConfigurationError, MastostreamError, RetriableError
from mastostream.ports.clock import SystemClock
from mastostream.sinks.elasticsearch import ElasticsearchIndex, ElasticsearchIndexReader, set_up
from mastostream.sinks.elasticsearch.cluster_connection import address, check_version, connect

SECRET = "hunter2secret"
PASSWORD = {"ELASTICSEARCH_USERNAME": "elastic", "ELASTICSEARCH_PASSWORD": SECRET}
API_KEY = {"ELASTICSEARCH_API_KEY": SECRET}


@attrs.define
class FakeServer:
    """Answers every request alike, and keeps the headers of each."""

    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"
    product: bool = True
    url: str = ""
    requests: list[dict[str, str]] = attrs.field(factory=list)

    def is_version(self, version: str) -> None:
        self.body = json.dumps({"nodes": {"a": {"version": version}}}).encode()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.requests.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(fake.status)
            self.send_header("Content-Type", fake.content_type)
            self.send_header("Content-Length", str(len(fake.body)))
            if fake.product:
                self.send_header("X-Elastic-Product", "Elasticsearch")
            self.end_headers()
            self.wfile.write(fake.body)

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
    thread.start()
    fake.url = f"http://127.0.0.1:{listening.server_port}"
    yield fake
    listening.shutdown()
    listening.server_close()
    thread.join()


def settings(*hosts: str, ca_file: str = "") -> ElasticsearchSettings:
    return ElasticsearchSettings(hosts=hosts, ca_file=ca_file)


def refused(server: FakeServer | str, secrets: dict[str, str] | None = None) -> MastostreamError:
    url = server if isinstance(server, str) else server.url
    client = connect(settings(url), secrets or {})
    with pytest.raises(MastostreamError) as caught:
        check_version(client, url)
    client.close()
    assert url in str(caught.value)
    return caught.value


def test_the_version_is_read_and_the_credentials_are_sent(server: FakeServer) -> None:
    server.is_version("8.17.4")
    for secrets, expected in (
        ({}, None),
        (PASSWORD, "Basic ZWxhc3RpYzpodW50ZXIyc2VjcmV0"),
        (API_KEY, f"ApiKey {SECRET}"),
        (PASSWORD | API_KEY, f"ApiKey {SECRET}"),
    ):
        client = connect(settings(server.url), secrets)
        assert check_version(client, server.url) == "8.17.4"
        client.close()
        assert server.requests[-1].get("authorization") == expected


@pytest.mark.parametrize("version", ["7.17.9", "9.0.1", "80.1.0"])
def test_another_major_version_is_refused(server: FakeServer, version: str) -> None:
    server.is_version(version)
    error = refused(server)
    assert isinstance(error, ConfigurationError)
    assert version in str(error)


def test_a_version_that_does_not_understand_us_is_told(server: FakeServer) -> None:
    server.status = 406
    header = "Content-Type header [application/vnd.elasticsearch+json] is not supported"
    server.body = json.dumps({"error": header, "status": 406}).encode()
    assert "Elasticsearch 8" in str(refused(server))


@pytest.mark.parametrize(
    ("status", "kind", "part"),
    [
        (401, ConfigurationError, "ELASTICSEARCH_API_KEY"),
        (403, ConfigurationError, "privileges"),
        (404, ConfigurationError, "elasticsearch.hosts"),
        (302, ConfigurationError, "elasticsearch.hosts"),
        (503, RetriableError, "now"),
    ],
)
def test_an_answer_that_is_none(
    server: FakeServer, status: int, kind: type[Exception], part: str
) -> None:
    server.status = status
    error = refused(server, PASSWORD)
    assert isinstance(error, kind)
    assert part in str(error)
    assert SECRET not in str(error)


def test_what_is_not_elasticsearch_is_told(server: FakeServer) -> None:
    server.product = False
    error = refused(server)
    assert isinstance(error, ConfigurationError)
    assert "not Elasticsearch" in str(error)


def test_a_page_of_a_proxy_is_no_answer(server: FakeServer) -> None:
    server.body, server.content_type, server.status = b"<html>", "text/html", 502
    assert isinstance(refused(server), RetriableError)


def test_a_server_that_has_no_node_yet(server: FakeServer) -> None:
    assert isinstance(refused(server), RetriableError)


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    error = refused(url)
    assert isinstance(error, RetriableError)
    assert "cannot reach" in str(error)


def test_a_server_without_tls_is_told(server: FakeServer) -> None:
    assert "http://" in str(refused(server.url.replace("http:", "https:")))


def certificate(folder: Path) -> Path:
    path, signed = folder / "server.pem", folder / "ca.pem"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    kind = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    command = ["openssl", "req", *kind, *names, "-keyout", path, "-out", signed]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + signed.read_bytes())
    return path


def test_a_certificate_is_trusted_only_by_the_one_that_signed_it(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"nodes":{"a":{"version":"8.17.4"}}}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        url = f"https://127.0.0.1:{listening.server_port}"
        try:
            error = refused(url)
            assert isinstance(error, ConfigurationError)
            assert "elasticsearch.ca_file" in str(error)
            client = connect(settings(url, ca_file=str(tmp_path / "ca.pem")), {})
            assert check_version(client, url) == "8.17.4"
            client.close()
        finally:
            listening.shutdown()
            thread.join()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_that_cannot_be_read(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"ca_file"):
        connect(settings("https://localhost:9200", ca_file=str(path)), {})


@pytest.mark.parametrize(
    "host",
    [
        f"https://elastic:{SECRET}@localhost:9200",
        f"https://{SECRET}@localhost:9200",
        f"http://elastic:{SECRET}@[::1",
        f"http://elastic:{SECRET}@localhost:x",
        f"elastic:{SECRET}@localhost:9200",
    ],
)
def test_a_url_with_a_password_is_refused_without_showing_it(host: str) -> None:
    for attempt in (
        lambda: connect(settings(host), {}),
        lambda: address(settings(host)),
        lambda: ElasticsearchIndex(settings(host), {}, clock=SystemClock()),
        lambda: ElasticsearchIndexReader(settings(host), {}),
        lambda: set_up(settings(host), {}),
    ):
        with pytest.raises(ConfigurationError) as caught:
            attempt()
        assert SECRET not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "host",
    ["localhost:9200", "localhost", "ftp://localhost", "http://", "http://x:0", "", "http://x?a"],
)
def test_a_host_that_is_no_url_is_told(host: str) -> None:
    with pytest.raises(ConfigurationError, match="expected URLs such as"):
        connect(settings(host), {})
    with pytest.raises(ConfigurationError):
        connect(settings(), {})


def test_several_hosts_with_and_without_ports_and_paths() -> None:
    hosts = ("http://a", "https://b", "http://[::1]:9200/es/")
    client = connect(settings(*hosts), {})
    assert {node.base_url for node in client.transport.node_pool.all()} == {
        "http://a:80",
        "https://b:443",
        "http://[::1]:9200/es",
    }
    client.close()
    assert address(settings(*hosts)) == ", ".join(hosts)


@pytest.mark.parametrize(
    "secrets",
    [
        {"ELASTICSEARCH_USERNAME": "elastic"},
        {"ELASTICSEARCH_PASSWORD": SECRET},
        {"ELASTICSEARCH_API_KEY": f"{SECRET}\nX-Header: 1"},
        {"ELASTICSEARCH_API_KEY": f"{SECRET}é"},
    ],
)
def test_credentials_that_cannot_be_used_are_not_shown(secrets: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(settings("http://localhost:9200"), secrets)
    assert SECRET not in str(caught.value)


def test_nothing_is_logged_of_the_credentials(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.status = 401
    error = refused(server, PASSWORD)
    server.status = 200
    server.is_version("8.17.4")
    client = connect(settings(server.url), API_KEY)
    check_version(client, server.url)
    client.close()
    shown = caplog.text + repr(error) + repr(error.__cause__) + str(error.__cause__)
    assert caplog.records
    assert SECRET not in shown
    assert "ZWxhc3RpYzpodW50ZXIyc2VjcmV0" not in shown


def test_without_the_extra_the_command_to_install_it_is_named() -> None:
    code = "import sys; sys.modules['elasticsearch'] = None; import mastostream.sinks.elasticsearch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError: Elasticsearch needs an extra" in done.stderr
    assert "pip install 'mastostream[elasticsearch]'" in done.stderr


def test_the_wiring_loads_no_client_until_it_is_needed() -> None:
    code = "import sys, mastostream.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "elasticsearch" not in {name.partition(".")[0] for name in done.stdout.split()}
