"""Flink and the local engine, on the same topics of a real Kafka: they write the same records."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from mastostream import Account, Deletion, Post, Stamp, encode
from mastostream.core.topic_names import DEAD_LETTERS, ENGAGEMENT, HASHTAGS, STREAM
from mastostream.log.kafka import KafkaClientConfig, KafkaLogReader, KafkaLogWriter, ensure_topics
from mastostream.ports.log import NewRecord, Record
from mastostream.services import FlinkCluster, KafkaServer
from mastostream.testing.conformance.log import new_prefix, new_topic, read_all
from mastostream.testing.simulator import generate_statuses

from .flink_inputs import arbitrary, history

BIN = Path(sys.executable).parent
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OUTPUTS = (ENGAGEMENT, HASHTAGS, "mastodon-filtered", DEAD_LETTERS, "twice")
OWN = """
from mastostream import Analysis

def twice(post):
    if post.favourites_count % 7 == 0:
        raise ValueError("a mistake of the user's")
    return [{"key": f"{post.key}-{number}", "language": post.language} for number in range(2)]

TWICE = Analysis(name="twice", topic="twice", function=twice)
"""


@pytest.fixture(scope="module")
def place(kafka_server: KafkaServer) -> KafkaClientConfig:
    """Topics that no other test uses."""
    return KafkaClientConfig(servers=kafka_server.address, partitions=3, topic_prefix=new_prefix())


@pytest.fixture(scope="module")
def values(
    place: KafkaClientConfig,
    real_statuses: Sequence[bytes],
    tmp_path_factory: pytest.TempPathFactory,
    thorough: bool,
) -> list[bytes]:
    """Posts, some of them twice, deletions, and values that are neither."""
    statuses = [*generate_statuses(500)]
    folder = tmp_path_factory.mktemp("simulated") if thorough else None
    records = history(real_statuses, folder)
    records += arbitrary(datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    statuses += [record.value for record in records]
    for number in range(100):
        stamp = Stamp(key=f"d{number}", event="delete", observed_at=NOW)
        statuses.append(encode(Deletion(id=f"d{number}", mastostream=stamp)))
        post = Post(id=f"p{number}", created_at=NOW, account=Account(acct="a"), content="<b>#x</b>")
        statuses += [encode(post)] * 2
    statuses += [b"", b"not json", b'{"id":"1"}', b"\xff\x00", b'{"a":' * 2_000]
    send(place, statuses)
    return statuses


def send(place: KafkaClientConfig, values: Sequence[bytes]) -> None:
    ensure_topics(place, [STREAM])
    with closing(KafkaLogWriter(place)) as writer:
        writer.append(
            [NewRecord(STREAM, f"k{number}", value) for number, value in enumerate(values)]
        )


def analyze(
    place: KafkaClientConfig, folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    command = [BIN / "mastostream", "analyze", "--log", "kafka", "--once", *arguments]
    environment = environment_of(place, folder)
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env=environment
    )


def environment_of(place: KafkaClientConfig, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MASTOSTREAM_KAFKA_SERVERS": place.servers,
        "MASTOSTREAM_KAFKA_TOPIC_PREFIX": place.topic_prefix,
        "MASTOSTREAM_KAFKA_GROUP": new_topic(),
        "MASTOSTREAM_DATA": str(folder / "data"),
    }


def written(place: KafkaClientConfig) -> dict[str, Counter[tuple[object, ...]]]:
    """Return all records of each output, without the times of dead letters."""
    outputs = {}
    for topic in OUTPUTS:
        ensure_topics(place, [topic])
        reader = KafkaLogReader(place, topic=topic, group=new_topic())
        outputs[topic] = Counter(map(comparable, read_all(reader)))
        reader.close()
    return outputs


def comparable(record: Record) -> tuple[object, ...]:
    headers = sorted((name, data) for name, data in record.headers if name != "time")
    return (record.key, record.value, tuple(headers))


def test_flink_writes_what_the_local_engine_writes(
    place: KafkaClientConfig, values: list[bytes], on_flink: Sequence[str], tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    names = ("full", "language", "own:TWICE")
    chosen = [word for name in names for word in ("--analysis", name)]
    both_write_the_same(place, tmp_path, (*chosen, "--languages", "en,de"), on_flink)
    assert all(topic.total() for topic in written(place).values())


@pytest.mark.campaign
def test_real_statuses_are_among_them(corpus: Sequence[bytes], values: list[bytes]) -> None:
    assert set(corpus) <= set(values)


@pytest.mark.campaign
def test_a_function_that_fails_may_fail_the_job(
    place: KafkaClientConfig, values: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.setenv("MASTOSTREAM_FLINK_ON_ERROR", "fail")
    monkeypatch.setenv("MASTOSTREAM_FLINK_SETTINGS", "restart-strategy.type=none")
    done = analyze(place, tmp_path, "--engine", "flink", "--analysis", "own:TWICE")
    assert done.returncode == 4, done.stderr
    assert "ValueError: a mistake of the user's" in done.stderr


def both_write_the_same(
    place: KafkaClientConfig, tmp_path: Path, arguments: Sequence[str], on_flink: Sequence[str]
) -> None:
    before = written(place)
    local = analyze(place, tmp_path, *arguments)
    failing = "own:TWICE" in arguments  # its function fails for most posts
    assert local.returncode == (5 if failing else 0), local.stderr
    by_local = written(place)
    flink = analyze(place, tmp_path, *on_flink, *arguments)
    assert flink.returncode == 0, flink.stderr
    by_flink = written(place)
    for topic in OUTPUTS:
        assert by_flink[topic] - by_local[topic] == by_local[topic] - before[topic], topic
    assert sum(map(Counter.total, by_flink.values())) > sum(map(Counter.total, before.values()))


@pytest.mark.campaign
def test_a_job_on_a_session_cluster_goes_on_until_it_is_told_to_stop(
    place: KafkaClientConfig, values: list[bytes], flink_cluster: FlinkCluster, tmp_path: Path
) -> None:
    """Posts that arrive while it runs are analyzed. Ctrl-C cancels the job on the cluster."""
    before = written(place)[ENGAGEMENT].total()
    others = states(flink_cluster)
    target = flink_cluster.address
    command = [BIN / "mastostream", "analyze", "--log", "kafka", "--engine", "flink"]
    command += ["--target", target, "--analysis", "engagement"]
    environment = environment_of(place, tmp_path)
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)
    try:
        until(lambda: process.poll() is None and written(place)[ENGAGEMENT].total() > before)
        with closing(KafkaLogWriter(place)) as writer:
            post = Post(id="last", created_at=NOW, account=Account(acct="a"))
            writer.append([NewRecord(STREAM, "last", encode(post))])
        until(lambda: any(key == "last" for key, _, _ in written(place)[ENGAGEMENT]))
        assert list(states(flink_cluster, others).values()) == ["RUNNING"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    until(lambda: list(states(flink_cluster, others).values()) == ["CANCELED"])


def states(cluster: FlinkCluster, others: Collection[str] = ()) -> dict[str, str]:
    """Return the states of the jobs by their ids, without ``others``."""
    jobs = requests.get(f"{cluster.url}/jobs/overview", timeout=10).json()["jobs"]
    return {job["jid"]: job["state"] for job in jobs if job["jid"] not in others}


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.5)


BOTH = ("--analysis", "users", "--analysis", "count")


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--mode", "sql", *BOTH], 2, "window-users has no topic"),
        (["--mode", "sql", *BOTH, "--print"], 2, "one analysis at a time"),
        (["--print"], 2, "--print goes with --mode sql"),
        (["--log", "sqlite"], 2, "Flink reads from Kafka"),
        (["--target", "nowhere"], 2, "flink.target"),
        (["--target", "localhost:1"], 3, "no Flink can be reached at localhost:1"),
    ],
)
def test_what_cannot_run_gets_one_sentence(
    place: KafkaClientConfig, tmp_path: Path, arguments: Sequence[str], code: int, message: str
) -> None:
    done = analyze(place, tmp_path, "--engine", "flink", *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
