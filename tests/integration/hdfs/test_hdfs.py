"""The archive on a real HDFS, and what it does when that fails."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest

from mastostream.archiver import Archiver
from mastostream.config import HdfsSettings
from mastostream.exceptions import RetriableError
from mastostream.log.kafka import KafkaClientConfig, KafkaLogWriter
from mastostream.log.sqlite import SqliteLogReader, SqliteLogWriter
from mastostream.ports.clock import SystemClock
from mastostream.ports.filesystem import FileSystem
from mastostream.ports.log import NewRecord
from mastostream.runner import Runner, run_until_idle
from mastostream.services import HdfsServer, KafkaServer
from mastostream.services.downloads import class_path
from mastostream.services.service import silent
from mastostream.services.versions import HADOOP_JARS
from mastostream.sinks.archive import (
    FileArchive,
    TopicPlace,
    list_archive,
    look,
    open_place,
    topic_place,
    value_of,
    values,
    verify_archive,
)
from mastostream.sinks.archive.filesystems.native import NativeHdfs
from mastostream.testing.conformance.archive import (
    ArchiveConformance,
    ArchiveUnderTest,
    FilesUnderTest,
    FileSystemConformance,
    records_of,
)

BIN = Path(sys.executable).parent
PATIENCE_S = 120.0


def until(holds: Callable[[], object]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def new_folder(server: HdfsServer) -> str:
    return f"{server.url}/test-{uuid.uuid4().hex}"


def settings_of(server: HdfsServer, backend: str) -> HdfsSettings:
    return HdfsSettings(backend=backend, webhdfs_url=server.webhdfs_url)  # type: ignore[arg-type]  # a literal


def sink_of(filesystem: FileSystem, folder: str, **options: object) -> FileArchive:
    return FileArchive(folder, "t", clock=SystemClock(), filesystem=filesystem, **options)  # type: ignore[arg-type]  # by name


def kept(place: TopicPlace) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for file in list_archive(place).files:
        read = (value_of(value) for value, _ in values(place.filesystem, file))
        found.setdefault(file.partition, []).extend(read)
    return found


@pytest.fixture(params=["native", "webhdfs"])
def files(request: pytest.FixtureRequest, hdfs_server: HdfsServer) -> FilesUnderTest:
    settings = settings_of(hdfs_server, request.param)
    filesystem, folder = open_place(new_folder(hdfs_server), settings)
    return FilesUnderTest(filesystem=filesystem, folder=folder)


class TestHdfs(FileSystemConformance):
    """Both ways that need no Java."""


class TestArchiveOnHdfs(ArchiveConformance):
    @pytest.fixture(params=["native jsonl", "native parquet", "webhdfs jsonl"])
    def archive(self, request: pytest.FixtureRequest, hdfs_server: HdfsServer) -> ArchiveUnderTest:
        backend, form = request.param.split()
        system, folder = open_place(new_folder(hdfs_server), settings_of(hdfs_server, backend))
        return ArchiveUnderTest(
            sink=partial(sink_of, system, folder, form=form, by_date=True),
            kept=lambda: kept(topic_place(system, folder, "t")),
        )


def admin(server: HdfsServer, *arguments: str) -> str:
    """What ``hdfs dfsadmin`` does."""
    jars = ":".join(map(str, (server.folder / "config", *class_path(HADOOP_JARS, silent))))
    command = ["java", "-cp", jars, "org.apache.hadoop.hdfs.tools.DFSAdmin", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S)
    return done.stdout


@contextmanager
def no_datanode(server: HdfsServer) -> Iterator[None]:
    server.datanode.stop()
    try:
        yield
    finally:
        server.datanode.start()


@contextmanager
def no_namenode(server: HdfsServer) -> Iterator[None]:
    server.namenode.stop()
    try:
        yield
    finally:
        server.namenode.start()


@contextmanager
def safe_mode(server: HdfsServer) -> Iterator[None]:
    admin(server, "-safemode", "enter")
    try:
        yield
    finally:
        admin(server, "-safemode", "leave")


class Appending:
    """Puts numbered records into a log until it is told to stop."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        writer = SqliteLogWriter(self._path)
        while not self._stop.wait(0.05):
            writer.append([NewRecord("t", None, b"%d" % (self.count + n)) for n in range(5)])
            self.count += 5
        writer.close()


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("backend", "fault"),
    [
        ("native", no_datanode),
        ("native", no_namenode),
        ("native", safe_mode),
        ("webhdfs", no_namenode),
    ],
)
def test_what_fails_is_waited_out_and_no_record_is_lost_or_kept_twice(
    hdfs_server: HdfsServer,
    tmp_path: Path,
    backend: str,
    fault: Callable[[HdfsServer], AbstractContextManager[None]],
) -> None:
    filesystem, folder = open_place(new_folder(hdfs_server), settings_of(hdfs_server, backend))
    place = topic_place(filesystem, folder, "t")
    path = tmp_path / "log.sqlite3"
    reader = SqliteLogReader(path, topic="t", group="archive")
    archiver = Archiver(reader, sink_of(filesystem, folder, rotate_records=40))
    with Appending(path) as log, Runner([archiver], clock=SystemClock()) as runner:
        until(lambda: archiver.archived > 100)
        with fault(hdfs_server):
            until(lambda: runner.health()[0].state == "retrying")
            assert "HDFS cannot serve" in str(runner.health()[0].error)
        done = archiver.archived
        until(lambda: archiver.archived > done + 100)
    assert runner.failure() is None
    run_until_idle(
        [Archiver(SqliteLogReader(path, topic="t", group="archive"), sink_of(filesystem, folder))]
    )
    assert kept(place) == {0: [b"%d" % number for number in range(log.count)]}
    found = verify_archive(place)
    assert (found.problems, found.unfinished) == ([], 0)


@pytest.mark.campaign
@pytest.mark.alone  # it ends a server that other tests use
def test_a_datanode_that_dies_before_it_confirms_is_noticed(hdfs_server: HdfsServer) -> None:
    """hdfs-native itself would wait for ever."""
    url = urlsplit(new_folder(hdfs_server))
    filesystem, folder = NativeHdfs(str(url.hostname), url.port, patience_s=5.0), url.path
    filesystem.make_folder(folder)
    file = filesystem.create(f"{folder}/file")
    file.write(b"12345")
    assert hdfs_server.datanode.pid is not None
    os.kill(hdfs_server.datanode.pid, signal.SIGSTOP)
    death = threading.Timer(1.0, hdfs_server.datanode.kill)
    death.start()
    try:
        with pytest.raises(RetriableError, match="no DataNode has confirmed"):
            file.seal()
        file.close()
    finally:  # other tests go on with it
        death.join()
        hdfs_server.datanode.start()


@pytest.mark.campaign
def test_an_archiver_that_starts_before_its_hdfs_waits(
    hdfs_server: HdfsServer, tmp_path: Path
) -> None:
    filesystem, folder = open_place(new_folder(hdfs_server), settings_of(hdfs_server, "native"))
    path = tmp_path / "log.sqlite3"
    writer = SqliteLogWriter(path)
    writer.append([NewRecord("t", None, b"1")])
    writer.close()
    archiver = Archiver(
        SqliteLogReader(path, topic="t", group="archive"), sink_of(filesystem, folder)
    )
    with no_namenode(hdfs_server):
        runner = Runner([archiver], clock=SystemClock())
        runner.__enter__()
        until(lambda: runner.health()[0].state == "retrying")
    until(lambda: archiver.archived == 1)
    runner.__exit__(None, None, None)
    assert kept(topic_place(filesystem, folder, "t")) == {0: [b"1"]}


@pytest.mark.campaign
@pytest.mark.alone  # it ends a server that other tests use
def test_a_file_that_was_kept_is_there_after_everything_was_killed(hdfs_server: HdfsServer) -> None:
    """``seal`` has written through, and the rename is in the NameNode's journal."""
    filesystem, folder = open_place(new_folder(hdfs_server), settings_of(hdfs_server, "native"))
    place = topic_place(filesystem, folder, "t")
    sink = sink_of(filesystem, folder)
    sink.reload()
    sink.write(records_of([b"1", b"2"]))
    assert sink.flush(force=True) == {0: 2}
    hdfs_server.namenode.kill()
    hdfs_server.datanode.kill()
    hdfs_server.namenode.start()
    hdfs_server.datanode.start()
    assert kept(place) == {0: [b"1", b"2"]}
    sink.close()


@pytest.mark.campaign
def test_two_archivers_of_one_topic_keep_each_record_once(
    hdfs_server: HdfsServer, tmp_path: Path
) -> None:
    """Each reads everything: the log shares nothing, only the files' names keep them apart."""
    folder = new_folder(hdfs_server)
    path = tmp_path / "log.sqlite3"
    stages = []
    for number in range(2):
        filesystem, at = open_place(folder, settings_of(hdfs_server, "native"))
        reader = SqliteLogReader(path, topic="t", group=f"archive-{number}")
        stages.append(Archiver(reader, sink_of(filesystem, at, rotate_records=30 + number)))
    with (
        Appending(path) as log,
        Runner(stages[:1], clock=SystemClock()) as one,
        Runner(stages[1:], clock=SystemClock()) as other,
    ):
        until(lambda: len(kept(topic_place(filesystem, at, "t")).get(0, ())) > 200)
    assert one.failure() is None
    assert other.failure() is None
    filesystem, at = open_place(folder, settings_of(hdfs_server, "webhdfs"))
    last = Archiver(SqliteLogReader(path, topic="t", group="last"), sink_of(filesystem, at))
    run_until_idle([last])
    place = topic_place(filesystem, at, "t")
    assert kept(place) == {0: [b"%d" % number for number in range(log.count)]}
    assert not look(place).temporaries


def command(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {f"MASTOSTREAM_{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(
        [BIN / "mastostream", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment | {"PATH": "/usr/bin:/bin"},
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done


def told(done: subprocess.CompletedProcess[str]) -> Mapping[str, object]:
    last: Mapping[str, object] = json.loads(done.stdout.splitlines()[-1])
    return last


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("backend", "form"), [("native", "jsonl"), ("native", "parquet"), ("webhdfs", "parquet")]
)
def test_the_commands_from_a_log_to_hdfs_and_back(
    hdfs_server: HdfsServer, tmp_path: Path, backend: str, form: str
) -> None:
    rest = b'"created_at":"2026-01-01T00:00:00Z","account":{"acct":"a"}'
    statuses = [b'{"id":"%d",%b}' % (number, rest) for number in range(500)]
    statuses += [b'{"broken', b'{"a":\t1}']
    (tmp_path / "statuses.jsonl").write_bytes(b"\n".join(statuses))
    folder = new_folder(hdfs_server)
    run = partial(command, tmp_path, hdfs_backend=backend, hdfs_webhdfs_url=hdfs_server.webhdfs_url)
    run("replay", "statuses.jsonl")
    options = ("--folder", folder, "--json")
    archive = ("archive", "--once", "--format", form, "--by-date", "--rotate-records", "100")
    assert told(run(*archive, *options))["archive"] == 502
    assert told(run("archive", "compact", *options))["made"] == 1
    assert told(run("archive", "verify", *options))["problems"] == 0
    single = ("--single", f"{folder}/tweets_data.json")
    assert told(run("archive", "compact", *single, *options))["records"] == 502
    assert told(run("replay", folder, "--data", "again", "--json"))["records"] == 502
    assert (
        told(run("replay", f"{folder}/tweets_data.json", "--data", "one", "--json"))["records"]
        == 502
    )
    assert told(run("archive", "--once", "--data", "one", "--json"))["archive"] == 502
    exported = ("archive", "compact", "--single", "out.json", "--data", "one", "--json")
    assert told(run(*exported))["records"] == 502
    lines = (tmp_path / "out.json").read_bytes().splitlines()
    assert [value_of(line) for line in lines] == statuses


@pytest.mark.campaign
def test_archivers_that_share_partitions_and_are_killed_keep_each_record_once(
    hdfs_server: HdfsServer, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    topic, group = f"test-{uuid.uuid4().hex}", f"test-{uuid.uuid4().hex}"
    folder = new_folder(hdfs_server)
    place = KafkaClientConfig(servers=kafka_server.address, group=group, partitions=4)
    writer = KafkaLogWriter(place)
    rng = random.Random(4)
    environment = {
        "PATH": "/usr/bin:/bin",
        "MASTOSTREAM_KAFKA_SERVERS": kafka_server.address,
        "MASTOSTREAM_KAFKA_GROUP": group,
        "MASTOSTREAM_KAFKA_SETTINGS": "session.timeout.ms=6000",
        "MASTOSTREAM_ARCHIVE_ROTATE_S": "0.5",
    }
    arguments = [BIN / "mastostream", "archive", "--log", "kafka", "--topic", topic]
    arguments += ["--folder", folder, "--rotate-records", "50", "-v"]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(arguments, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)

    sent: list[bytes] = []

    def send(count: int) -> None:
        batch = [b'{"id":"%d"}' % (len(sent) + number) for number in range(count)]
        writer.append([NewRecord(topic, str(uuid.uuid4()), value) for value in batch])
        sent.extend(batch)

    send(200)
    processes = [start(), start()]
    filesystem, path = open_place(folder, settings_of(hdfs_server, "native"))
    found = topic_place(filesystem, path, topic)

    def records() -> int:
        return sum(map(len, kept(found).values()))

    try:
        for round_ in range(6):
            until(lambda: records() >= len(sent) // 2)
            send(rng.randrange(50, 300))
            victim = rng.randrange(2)
            processes[victim].send_signal(signal.SIGKILL if round_ % 2 else signal.SIGTERM)
            processes[victim].wait(PATIENCE_S)
            processes[victim] = start()
        until(lambda: records() >= len(sent))
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(PATIENCE_S)
    writer.close()
    archived = [value for partition in kept(found).values() for value in partition]
    assert sorted(archived) == sorted(sent)
    checked = verify_archive(found)
    assert not checked.problems
    assert len(checked.partitions) == 4
