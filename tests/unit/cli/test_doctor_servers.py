"""What the doctor says of Kafka, Elasticsearch and HDFS."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from mastostream.cli.diagnostics import Diagnostic, run_check
from mastostream.cli.doctor_servers import archive_diagnostics, check_servers, kafka_diagnostics
from mastostream.cli.main import cli
from mastostream.config import ElasticsearchSettings, KafkaSettings, Settings
from mastostream.exceptions import RetriableError
from mastostream.log.kafka import TopicCheck
from mastostream.ports.filesystem import NewFile
from mastostream.services import free_port
from mastostream.sinks.archive import LocalFiles
from mastostream.wiring import TOPICS

CHECK = TopicCheck(
    topic="",
    created=False,
    partitions=4,
    replication=1,
    retention_ms=-1,
    retention_bytes=-1,
    differences=(),
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def the_one(settings: Settings) -> Diagnostic:
    (diagnostic,) = check_servers(settings)
    return diagnostic


def test_what_the_settings_do_not_name_is_not_asked() -> None:
    assert not list(check_servers(Settings()))


@pytest.mark.parametrize(
    ("there", "different", "state", "message"),
    [
        (TOPICS, (), "ok", f"all {len(TOPICS)} topics are there"),
        ((), (), "warning", "has no topics yet: 'mastostream topics' makes"),
        (TOPICS[1:], (), "warning", "has no Mastodon_stream yet"),
        (TOPICS, ("partitions 3, settings say 4",), "warning", f"{TOPICS[0]}: partitions 3"),
    ],
)
def test_kafka_that_answers(
    there: tuple[str, ...], different: tuple[str, ...], state: str, message: str
) -> None:
    checks = tuple(attrs.evolve(CHECK, topic=topic) for topic in there)
    if different:
        checks = (attrs.evolve(checks[0], differences=different), *checks[1:])
    missing = tuple(topic for topic in TOPICS if topic not in there)
    (diagnostic,) = kafka_diagnostics("broker.example:9092", "topics", checks, missing)
    assert (diagnostic.what, diagnostic.state) == ("kafka", state)
    assert "broker.example:9092" in diagnostic.detail
    assert message in diagnostic.detail


@pytest.mark.parametrize(
    ("checks", "missing", "message"),
    [
        ((), ("a.t",), "has no topics a.* yet"),
        ((attrs.evolve(CHECK, topic="a.s"),), ("a.t",), "has no a.t yet"),
        ((CHECK,), (), "all 1 topics a.* are there"),
    ],
)
def test_kafka_is_told_with_the_prefix_of_its_topics(
    checks: tuple[TopicCheck, ...], missing: tuple[str, ...], message: str
) -> None:
    (diagnostic,) = kafka_diagnostics("k:1", "topics a.*", checks, missing)
    assert message in diagnostic.detail


def test_kafka_that_is_not_there() -> None:
    servers = f"127.0.0.1:{free_port()}"
    kafka = KafkaSettings(servers=servers, settings={"socket.timeout.ms": "500"})
    diagnostic = the_one(Settings(log="kafka", kafka=kafka))
    assert (diagnostic.what, diagnostic.state) == ("kafka", "wrong")
    assert f"{servers} cannot be reached" in diagnostic.detail


def test_kafka_with_a_wrong_setting() -> None:
    diagnostic = the_one(Settings(log="kafka", kafka=KafkaSettings(settings={"no.such": "1"})))
    assert diagnostic.state == "wrong"
    assert '"no.such"' in diagnostic.detail


@pytest.fixture
def elasticsearch() -> Iterator[tuple[str, set[str]]]:
    """A server that knows its version and these indices: URL, indices."""
    indices: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(200 if self.path.strip("/") in indices else 404, b"")

        def do_GET(self) -> None:
            self.answer(200, b'{"nodes": {"a": {"version": "8.17.4"}}}')

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Type", "application/vnd.elasticsearch+json;compatible-with=8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", indices
    server.shutdown()
    thread.join()
    server.server_close()


def test_elasticsearch_that_answers(elasticsearch: tuple[str, set[str]]) -> None:
    url, indices = elasticsearch
    settings = Settings(index="elasticsearch", elasticsearch=ElasticsearchSettings(hosts=(url,)))
    indices.add("mastodon-hashtags")
    diagnostic = the_one(settings)
    assert diagnostic.state == "warning"
    assert (
        f"{url} runs Elasticsearch 8.17.4, but has no mastodon-engagement yet" in diagnostic.detail
    )
    assert "'mastostream index --setup' makes" in diagnostic.detail
    indices.add("mastodon-engagement")
    assert the_one(settings).state == "ok"


def test_only_the_indices_with_the_prefix_count(elasticsearch: tuple[str, set[str]]) -> None:
    url, indices = elasticsearch
    chosen = ElasticsearchSettings(hosts=(url,), index_prefix="a-")
    settings = Settings(index="elasticsearch", elasticsearch=chosen)
    indices |= {"mastodon-hashtags", "mastodon-engagement", "a-mastodon-hashtags"}
    assert "but has no a-mastodon-engagement yet" in the_one(settings).detail
    indices.add("a-mastodon-engagement")
    assert "a-mastodon-engagement, a-mastodon-hashtags are there" in the_one(settings).detail


def test_elasticsearch_that_is_not_there() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    settings = Settings(index="elasticsearch", elasticsearch=ElasticsearchSettings(hosts=(url,)))
    diagnostic = the_one(settings)
    assert (diagnostic.what, diagnostic.state) == ("elasticsearch", "wrong")
    assert f"cannot reach Elasticsearch at {url}" in diagnostic.detail


class NoDataNodes(LocalFiles):
    """A file can be begun, and not written."""

    def create(self, path: str) -> NewFile:
        super().create(path).close()
        raise RetriableError("no DataNode answers")


@pytest.mark.parametrize(
    ("files", "state", "message"),
    [
        (LocalFiles(), "ok", "a file can be written"),
        (NoDataNodes(), "wrong", "no DataNode answers"),
    ],
)
def test_an_archive_in_hdfs(tmp_path: Path, files: LocalFiles, state: str, message: str) -> None:
    folder = tmp_path / "archive"
    look = partial(archive_diagnostics, "hdfs://name.example:9000/x", files, str(folder))
    (diagnostic,) = run_check("archive", "", look)
    assert (diagnostic.what, diagnostic.state) == ("archive", state)
    assert message in diagnostic.detail
    assert not list(folder.iterdir()), "it leaves nothing behind"


def test_the_command_asks_them_unless_it_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTOSTREAM_LOG", "kafka")
    monkeypatch.setenv("MASTOSTREAM_KAFKA_SETTINGS", "no.such=1")
    monkeypatch.setenv("MASTOSTREAM_SERVER", f"http://127.0.0.1:{free_port()}")
    offline = CliRunner().invoke(cli, ["doctor", "--json", "--offline"])
    assert offline.exception is None
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    lines = list(map(json.loads, done.stdout.splitlines()))
    wrong = {line["what"]: line["detail"] for line in lines if line["state"] == "wrong"}
    assert set(wrong) == {"kafka", "server"}
    assert "no.such" in wrong["kafka"]
