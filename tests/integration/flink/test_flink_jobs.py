"""Jobs on a Flink cluster of two TaskManagers: failures, savepoints, and archives of Python."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import uv

from mastostream import Account, Post, encode
from mastostream.core.topic_names import STREAM
from mastostream.engines.flink import Cluster
from mastostream.exceptions import RetriableError
from mastostream.log.kafka import KafkaClientConfig, KafkaLogReader, KafkaLogWriter, ensure_topics
from mastostream.ports.log import NewRecord
from mastostream.services import FlinkCluster, KafkaServer
from mastostream.testing.conformance.log import new_topic
from mastostream.testing.servers import server_or_skip

pytestmark = pytest.mark.campaign
BIN = Path(sys.executable).parent
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE_S = 240.0
OWN = """
from mastostream import Analysis
from {helper} import BUILD

def mark(post):
    return {{"key": post.key, "build": BUILD}}

MARK = Analysis(name="mark", topic="{topic}", function=mark)
"""

JobStatus = Mapping[str, Any]


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    """A broker of its own, as the tests stop it, and as names of topics are fixed."""
    with server_or_skip(KafkaServer) as server:
        yield server


@pytest.fixture(scope="module")
def place(broker: KafkaServer) -> KafkaClientConfig:
    place = KafkaClientConfig(servers=broker.address, partitions=4)
    ensure_topics(place, [STREAM])
    return place


@pytest.fixture(scope="module")
def cluster() -> Iterator[FlinkCluster]:
    """A cluster that spreads tasks, so that each of its two TaskManagers has some of every job."""
    spread = {"taskmanager.load-balance.mode": "SLOTS"}
    with server_or_skip(FlinkCluster, taskmanagers=2, settings=spread) as server:
        yield server
        # The classes of jobs stay loaded for a while. A TaskManager would end when its metaspace is
        # full of them.
        assert all(taskmanager.pid for taskmanager in server.taskmanagers)


class Own:
    """A user's analysis in a folder of its own; it copies the keys of posts to a topic."""

    def __init__(self, folder: Path, place: KafkaClientConfig, cluster: FlinkCluster) -> None:
        self.folder = folder
        self.place = place
        self.topic = new_topic()
        self.group = new_topic()
        self.name = f"{self.group}-flink-mark"
        self.settings: dict[str, str] = {}
        self._target = cluster.address
        ensure_topics(place, [self.topic])
        folder.mkdir()
        (folder / "own.py").write_text(OWN.format(topic=self.topic, helper="building"))
        self.build(1)

    def build(self, number: int) -> None:
        """Write a build of the analysis. Its records have this number."""
        package = self.folder / "building"
        package.mkdir(exist_ok=True)
        (package / "number.txt").write_text(str(number))
        (package / "__init__.py").write_text(
            "from pathlib import Path\n"
            "BUILD = int((Path(__file__).parent / 'number.txt').read_text())\n"
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "mastostream", *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={
                **os.environ,
                "MASTOSTREAM_LOG": "kafka",
                "MASTOSTREAM_KAFKA_SERVERS": self.place.servers,
                "MASTOSTREAM_KAFKA_GROUP": self.group,
                "MASTOSTREAM_FLINK_TARGET": self._target,
                "MASTOSTREAM_FLINK_CHECKPOINT_S": "1",
                "MASTOSTREAM_FLINK_PARALLELISM": "2",
                **self.settings,
            },
        )

    def start(self, *arguments: str) -> None:
        command = ("analyze", "--engine", "flink", "--analysis", "own:MARK", "--detached")
        done = self.command(*command, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["name"] == self.name

    def job(self) -> JobStatus:
        """Return its newest job, as ``flink status`` shows it."""
        done = self.command("flink", "status", "--json")
        assert done.returncode == 0, done.stderr
        jobs = map(json.loads, done.stdout.splitlines())
        return next(job for job in jobs if job["name"] == self.name)

    def fails(self, reason: str) -> None:
        """Wait until ``flink status`` says that it fails for this reason."""
        statuses: list[JobStatus] = []

        def holds() -> bool:
            statuses.append(self.job())
            return reason in statuses[-1]["failure"]

        until(holds, statuses)

    def written(self) -> Counter[str]:
        return keys(self.place, self.topic)

    def cancel(self) -> None:
        done = self.command("flink", "cancel", self.name)
        assert (done.returncode, done.stdout) == (0, f"{self.name}: canceled\n"), done.stderr


def posts(count: int) -> list[NewRecord]:
    records = []
    for _ in range(count):
        key = new_topic()
        post = Post(id=key, created_at=NOW, account=Account(acct="a"))
        records.append(NewRecord(STREAM, key, encode(post)))
    return records


def send(place: KafkaClientConfig, count: int) -> set[str]:
    records = posts(count)
    with closing(KafkaLogWriter(place)) as writer:
        writer.append(records)
    return {str(record.key) for record in records}


@contextmanager
def sending(place: KafkaClientConfig) -> Iterator[None]:
    """Send posts in the background, each exactly once, also while the broker is away."""
    enough = threading.Event()

    def run() -> None:
        with closing(KafkaLogWriter(place)) as writer:
            while not enough.wait(0.1):
                records = posts(5)
                while True:
                    try:
                        writer.append(records)
                        break
                    except RetriableError:
                        continue  # the writer waits for the same records

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def read(place: KafkaClientConfig, topic: str) -> list[tuple[str, bytes]]:
    """Return the keys and values that are committed in a topic now."""
    with closing(KafkaLogReader(place, topic=topic, group=new_topic())) as reader:
        return [(str(record.key), record.value) for record in reader.read(1_000_000, 0.0)]


def keys(place: KafkaClientConfig, topic: str) -> Counter[str]:
    return Counter(key for key, _ in read(place, topic))


def until(holds: Callable[[], object], observed: Sequence[object] = ()) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"it did not come true; seen were {observed[-5:]}"
        time.sleep(0.3)


def together(*calls: Callable[[], object]) -> None:
    """Make the calls in parallel, as each of them starts Java."""
    errors: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


def reaches(jobs: Sequence[Own], place: KafkaClientConfig) -> None:
    """Send posts, and wait until all these jobs have written them."""
    wanted = send(place, 20)
    for job in jobs:
        until(lambda job=job: wanted <= set(job.written()))


def restarted(cluster: FlinkCluster, jobs: Sequence[Own]) -> list[int]:
    with Cluster(cluster.address) as there:
        return [there.detailed(there.named(job.name)).restarts or 0 for job in jobs]


def test_jobs_survive_a_killed_taskmanager_and_a_broker_that_pauses(
    place: KafkaClientConfig, broker: KafkaServer, cluster: FlinkCluster, tmp_path: Path
) -> None:
    """With exactly-once each record is written once. With at-least-once no record is lost."""
    exactly = Own(tmp_path / "exactly", place, cluster)
    exactly.settings = {"MASTOSTREAM_KAFKA_DELIVERY": "exactly-once"}
    at_least = Own(tmp_path / "at-least", place, cluster)
    jobs = [exactly, at_least]
    with sending(place):
        for job in jobs:  # one after the other, so that each has a task on each TaskManager
            job.start()
        reaches(jobs, place)
        victim = cluster.taskmanagers[1]
        assert victim.kill()
        until(lambda: all(restarts >= 1 for restarts in restarted(cluster, jobs)))
        victim.start()
        reaches(jobs, place)
        assert broker.stop()
        time.sleep(4)
        broker.start()
        reaches(jobs, place)
    sent = keys(place, STREAM)
    assert set(sent.values()) == {1}
    for job in jobs:
        until(lambda job=job: set(sent) <= set(job.written()))
    time.sleep(3)  # what is written twice would be committed now
    assert exactly.written() == sent
    assert set(at_least.written()) == set(sent)
    together(exactly.cancel, at_least.cancel)


def test_a_newer_build_goes_on_from_a_savepoint(
    place: KafkaClientConfig, cluster: FlinkCluster, tmp_path: Path
) -> None:
    own = Own(tmp_path / "own", place, cluster)
    own.settings = {"MASTOSTREAM_KAFKA_DELIVERY": "exactly-once"}
    send(place, 50)
    own.start()
    until(lambda: own.written() == keys(place, STREAM))
    done = own.command("flink", "savepoint", own.name, "--stop")
    assert (done.returncode, done.stdout) == (2, "")
    assert "say one with --folder" in done.stderr
    folder = f"file://{tmp_path}/savepoints"
    done = own.command("flink", "savepoint", own.name, "--folder", folder, "--json")
    assert not json.loads(done.stdout)["stopped"]
    own.settings["MASTOSTREAM_FLINK_SETTINGS"] = f"execution.checkpointing.savepoint-dir={folder}"
    done = own.command("flink", "savepoint", own.name, "--stop")
    assert done.returncode == 0, done.stderr
    (path,) = done.stdout.splitlines()
    assert own.job()["state"] == "FINISHED"
    before = own.written()
    missed = send(place, 50)
    own.build(2)
    (tmp_path / "own" / "own.py").write_text(
        OWN.format(topic=own.topic, helper="building").replace("post.key", "str(post.key)")
    )
    # The same job beside another: the plan is not that of the savepoint.
    second = ("--analysis", "hashtags", "--from-savepoint", path)
    own.name = own.name.replace("mark", "hashtags+mark")
    own.start(*second)
    until(lambda: missed <= set(own.written()))
    after = send(place, 20)
    until(lambda: after <= set(own.written()))
    time.sleep(2)
    assert own.written() == keys(place, STREAM)
    builds = {key: json.loads(value)["build"] for key, value in read(place, own.topic)}
    assert {builds[key] for key in before} == {1}
    assert {builds[key] for key in missed | after} == {2}
    done = own.command(
        "analyze", "--engine", "flink", "--analysis", "own:MARK", "--analysis", "hashtags"
    )
    assert done.returncode == 2
    assert f"a job named {own.name} runs" in done.stderr
    done = own.command("flink", "savepoint", own.name, "--stop", "--drain", "--json")
    assert json.loads(done.stdout)["stopped"], done.stderr
    assert own.job()["state"] == "FINISHED"


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has apache-flink, but neither mastostream nor what it needs."""
    folder = tmp_path_factory.mktemp("bare")
    tool = uv.find_uv_bin()
    python = folder / "venv" / "bin" / "python"
    needed = f"apache-flink=={version('apache-flink')}"
    for arguments in (
        ("venv", "--python", sys.executable, folder / "venv"),
        ("pip", "install", "--python", python, needed),
    ):
        subprocess.run([tool, *arguments], check=True, capture_output=True)
    for name in ("mastostream", "msgspec", "cattrs"):
        done = subprocess.run([python, "-c", f"import {name}"], check=False, capture_output=True)
        assert done.returncode
    return python


def test_an_archive_brings_all_to_taskmanagers_that_have_only_flink(
    place: KafkaClientConfig, cluster: FlinkCluster, bare_python: Path, tmp_path: Path
) -> None:
    """Without an archive the job restarts again and again, and ``flink status`` says why."""
    without = Own(tmp_path / "without", place, cluster)
    own = Own(tmp_path / "own", place, cluster)
    without.settings = own.settings = {
        "MASTOSTREAM_FLINK_SETTINGS": f"python.executable={bare_python}"
    }
    done = own.command("flink", "package", "it.zip")
    assert done.returncode == 0, done.stderr
    assert "mastostream" in done.stdout
    assert "pyflink" not in done.stdout
    together(without.start, lambda: own.start("--python-archive", "it.zip"))
    wanted = send(place, 20)
    until(lambda: wanted <= set(own.written()))
    assert own.written() == keys(place, STREAM)
    without.fails("No module named 'mastostream'")
    shown = own.command("flink", "status")
    assert "RUNNING" in shown.stdout
    assert "No module named 'mastostream'" in shown.stdout
    unknown = own.command("flink", "cancel", "nobody's")
    assert unknown.returncode == 2
    assert own.name in unknown.stderr
    together(without.cancel, own.cancel)
    assert {own.job()["state"], without.job()["state"]} == {"CANCELED"}
    ended = own.command("flink", "cancel", own.name)
    assert ended.returncode == 2
    assert "has ended" in ended.stderr
