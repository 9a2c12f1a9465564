"""The example script that submits the built-in job, by itself and by ``flink run``.

Its outputs are compared with those of the local engine.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mastostream import Deletion, Stamp, encode
from mastostream.core.topic_names import COUNTS, DEAD_LETTERS, ENGAGEMENT, HASHTAGS, LATE, STREAM
from mastostream.log.kafka import KafkaClientConfig, KafkaLogReader, KafkaLogWriter, ensure_topics
from mastostream.ports.log import NewRecord, Record
from mastostream.services import FlinkCluster, KafkaServer
from mastostream.testing.conformance.log import new_topic, read_all
from mastostream.testing.simulator import generate_statuses
from mastostream.testing.temporary import temporary_server

pytestmark = pytest.mark.campaign
EXAMPLE = Path(__file__).parents[3] / "examples" / "flink_job.py"
OUTPUTS = (ENGAGEMENT, HASHTAGS, DEAD_LETTERS, "twice")
POSTS = 500
ANALYSES = ("--analysis", "full", "--analysis", "own:TWICE")
OWN = """
from mastostream import Analysis

def twice(post):
    if post.favourites_count % 7 == 0:
        raise ValueError("a mistake of the user's")
    return [{"key": f"{post.key}-{number}", "language": post.language} for number in range(2)]

TWICE = Analysis(name="twice", topic="twice", function=twice)
"""

Outputs = Mapping[str, Counter[tuple[object, ...]]]


@pytest.fixture(scope="module")
def place(kafka_server: KafkaServer) -> Iterator[KafkaClientConfig]:
    """A broker of its own, as names of topics are fixed, with posts, a deletion and bad values."""
    with temporary_server(KafkaServer) as server:
        config = KafkaClientConfig(servers=server.address, partitions=3)
        stamp = Stamp(key="d", event="delete", observed_at=datetime(2026, 1, 1, tzinfo=UTC))
        deletion = encode(Deletion(id="d", mastostream=stamp))
        values = [*generate_statuses(POSTS), deletion, b"", b"not json", b"\xff"]
        ensure_topics(config, [STREAM])
        with closing(KafkaLogWriter(config)) as writer:
            writer.append(
                [NewRecord(STREAM, str(number), value) for number, value in enumerate(values)]
            )
        yield config


@pytest.fixture(scope="module")
def by_local(place: KafkaClientConfig, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """The records that the local engine writes."""
    folder = tmp_path_factory.mktemp("local")
    mastostream = Path(sys.executable).with_name("mastostream")
    command = (mastostream, "analyze", "--log", "kafka", "--data", "data", "--once", *ANALYSES)
    environment = {"MASTOSTREAM_KAFKA_SERVERS": place.servers}
    return added(place, folder, command, environment)


def added(
    place: KafkaClientConfig,
    folder: Path,
    command: Sequence[str | Path],
    environment: Mapping[str, str],
) -> Outputs:
    """Run a command; return the records that it adds to the outputs."""
    (folder / "own.py").write_text(OWN)
    before = written(place)
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "MASTOSTREAM_KAFKA_GROUP": new_topic(), **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    after = written(place)
    return {topic: after[topic] - before[topic] for topic in OUTPUTS}


def written(place: KafkaClientConfig) -> Outputs:
    """Return all records of each output, without the times of dead letters."""
    outputs = {}
    for topic in OUTPUTS:
        ensure_topics(place, [topic])
        with closing(KafkaLogReader(place, topic=topic, group=new_topic())) as reader:
            outputs[topic] = Counter(map(comparable, read_all(reader)))
    return outputs


def comparable(record: Record) -> tuple[object, ...]:
    headers = sorted((name, data) for name, data in record.headers if name != "time")
    return (record.key, record.value, tuple(headers))


def test_by_python_it_writes_what_the_local_engine_writes(
    place: KafkaClientConfig, by_local: Outputs, tmp_path: Path
) -> None:
    assert all(topic.total() for topic in by_local.values())
    command = (sys.executable, EXAMPLE, "--servers", place.servers, "--once", *ANALYSES)
    assert added(place, tmp_path, command, {}) == by_local


def test_by_flink_run_it_does_so_on_a_cluster(
    place: KafkaClientConfig, by_local: Outputs, flink_cluster: FlinkCluster, tmp_path: Path
) -> None:
    job = ("--servers", place.servers, "--once", *ANALYSES)
    command = by_flink_run(flink_cluster, *job)
    assert added(place, tmp_path, command, environment_of_flink(tmp_path)) == by_local


def by_flink_run(cluster: FlinkCluster, *job: str) -> Sequence[str | Path]:
    python = ("-pyexec", sys.executable, "-pyclientexec", sys.executable, "-pyfs", "own.py")
    flink = ("bash", flink_home() / "bin" / "flink", "run", "-m", cluster.address)
    return (*flink, *python, "-py", EXAMPLE, *job)


def environment_of_flink(folder: Path) -> Mapping[str, str]:
    return {"FLINK_HOME": str(flink_home()), "FLINK_LOG_DIR": str(folder)}


def flink_home() -> Path:
    spec = importlib.util.find_spec("pyflink")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def test_in_sql_it_counts_each_post_once(
    place: KafkaClientConfig, flink_cluster: FlinkCluster, tmp_path: Path
) -> None:
    """Each post is in a window, or is late. The job runs on a cluster."""
    job = ("--servers", place.servers, "--once", "--mode", "sql")
    command = by_flink_run(flink_cluster, *job)
    added(place, tmp_path, command, environment_of_flink(tmp_path))
    assert counted(place) == POSTS


def test_it_may_show_instead(place: KafkaClientConfig, tmp_path: Path) -> None:
    """Nothing else is in the output, not even a warning of Java: here, about large pages."""
    job = ("--servers", place.servers, "--once", "--mode", "sql", "--print")
    command = [sys.executable, EXAMPLE, *job, "--analysis", "language"]
    warned = {**os.environ, "JVM_ARGS": "-XX:+UseLargePages"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=warned
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert shown
    assert not [line for line in shown if not line.startswith("WindowLanguages(")]


def counted(place: KafkaClientConfig) -> int:
    """Return the number of posts that are late, or in windows as their last records say."""
    posts = {}
    for topic in (COUNTS, LATE):
        with closing(KafkaLogReader(place, topic=topic, group=new_topic())) as reader:
            for record in read_all(reader):
                posts[topic, record.key] = json.loads(record.value).get("posts", 1)
    return sum(posts.values())


def test_without_kafka_it_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLE, "--servers", "127.0.0.1:1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
