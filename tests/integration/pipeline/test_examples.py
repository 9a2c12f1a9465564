"""The examples on real servers: together they are the whole pipeline."""

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import requests

from mastostream.config import ArchiveSettings, KafkaSettings, Settings
from mastostream.ports.log import Record
from mastostream.services import ElasticsearchServer, HdfsServer, KafkaServer
from mastostream.testing.simulator import SimulatedServer
from mastostream.wiring import export, log_reader, verify

pytestmark = pytest.mark.campaign

EXAMPLES = Path(__file__).parents[3] / "examples"
PATIENCE_S = 90.0
ENOUGH = 50
NAMES = ("producer", "elasticsearch_consumer", "hdfs_consumer", "kafka_analysis")


@attrs.frozen(kw_only=True)
class Pipeline:
    """The servers, and the examples on them."""

    kafka: KafkaServer
    elasticsearch: ElasticsearchServer
    hdfs: HdfsServer
    mastodon: SimulatedServer
    folder: Path

    @property
    def archive(self) -> str:
        return f"{self.hdfs.url}/{self.folder.name}-{self.mastodon.url.rpartition(':')[2]}"

    @property
    def settings(self) -> Settings:
        return Settings(
            log="kafka",
            kafka=KafkaSettings(servers=self.kafka.address),
            archive=ArchiveSettings(folder=self.archive),
        )

    def start(self, name: str, *more: str) -> subprocess.Popen[str]:
        options = {
            "producer": ["--server", self.mastodon.url, "--tag", "news", "--tag", "python"],
            "elasticsearch_consumer": ["--elasticsearch", self.elasticsearch.url],
            "hdfs_consumer": ["--hdfs", self.archive, "--rotate", "1"],
            "kafka_analysis": [],
        }
        command = [sys.executable, EXAMPLES / f"{name}.py", "--kafka", self.kafka.address]
        return subprocess.Popen(
            [*command, *options[name], *more],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def records(self, topic: str) -> Sequence[Record]:
        reader = log_reader(self.settings, topic, uuid.uuid4().hex, shared=False)
        found: list[Record] = []
        while records := reader.read(1_000, 0.0):
            found += records
        reader.close()
        return found

    def mine(self) -> list[tuple[str, dict[str, Any]]]:
        """What was collected from this Mastodon server: keys with statuses."""
        host = self.mastodon.url.partition("://")[2]
        return [
            (status["mastostream"]["key"], status)
            for record in self.records("Mastodon_stream")
            if host.encode() in record.value
            and (status := json.loads(record.value))["mastostream"]["instance"] == host
        ]

    def indexed(self, index: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        url = f"{self.elasticsearch.url}/{index}/_mget"
        answer = requests.post(url, json={"ids": list(keys)}, timeout=30).json()
        return {
            each["_id"]: each["_source"] for each in answer.get("docs", ()) if each.get("found")
        }

    def archived(self) -> list[bytes]:
        assert not verify(self.settings, "Mastodon_stream", lambda _: None).problems
        output = self.folder / f"{uuid.uuid4().hex}.jsonl"
        export(self.settings, "Mastodon_stream", str(output), lambda *_: None)
        return sorted(output.read_bytes().splitlines())


@pytest.fixture
def pipeline(
    kafka_server: KafkaServer,
    elasticsearch_server: ElasticsearchServer,
    hdfs_server: HdfsServer,
    tmp_path: Path,
) -> Iterator[Pipeline]:
    with SimulatedServer(posts_per_s=10, backlog_s=30) as mastodon:
        yield Pipeline(
            kafka=kafka_server,
            elasticsearch=elasticsearch_server,
            hdfs=hdfs_server,
            mastodon=mastodon,
            folder=tmp_path,
        )


def wait_until(holds: Callable[[], object], running: Sequence[subprocess.Popen[str]]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        for process in running:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_from_mastodon_through_kafka_to_elasticsearch_and_hdfs(pipeline: Pipeline) -> None:
    running = [pipeline.start(name) for name in NAMES]
    try:
        wait_until(lambda: len(pipeline.mine()) >= ENOUGH, running)
        running[0].send_signal(signal.SIGINT)
        told, errors = running[0].communicate(timeout=30)
        assert running[0].returncode == 0, errors
        assert "collect stopped" in told.splitlines()[-1]

        collected = dict(pipeline.mine())
        timeline = {post.id for post in pipeline.mastodon.world.timeline("news", 2**53)}
        assert timeline & set(collected)
        for index in ("mastodon-engagement", "mastodon-hashtags"):
            wait_until(
                lambda index=index: len(pipeline.indexed(index, [*collected])) == len(collected),
                running[1:],
            )
        everything = sorted(record.value for record in pipeline.records("Mastodon_stream"))
        wait_until(lambda: pipeline.archived() == everything, running[1:])
        wait_until(
            lambda: {record.key for record in pipeline.records("post-words")} >= set(collected),
            running[1:],
        )
    finally:
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
    for process in running[1:]:
        told, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
        assert "stopped" in told.splitlines()[-1]

    scores = pipeline.indexed("mastodon-engagement", [*collected])
    for key, status in collected.items():
        assert scores[key]["account"] == status["account"]["acct"]
        assert scores[key]["observed_at"][:19] == status["mastostream"]["observed_at"][:19]


def test_started_again_they_go_on_where_they_were(pipeline: Pipeline) -> None:
    for _ in range(2):
        for process in [pipeline.start(name, "--seconds", "5") for name in NAMES]:
            told, errors = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, errors
            assert "stopped" in told.splitlines()[-1]
    new = [key for key, status in pipeline.mine() if status["mastostream"]["event"] == "new"]
    assert new
    assert len(new) == len(set(new)), "collected twice"


@pytest.mark.parametrize("name", NAMES)
def test_without_kafka_they_say_what_to_do(name: str, tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / f"{name}.py", "--kafka", "127.0.0.1:1", "--seconds", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "cannot be reached" in done.stdout + done.stderr
