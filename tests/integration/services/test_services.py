"""``services``: real servers that are started, killed in any way, and started again."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from mastostream.exceptions import ConfigurationError, FatalError
from mastostream.services import (
    ElasticsearchServer,
    FlinkCluster,
    HdfsServer,
    KafkaServer,
    Service,
    find_java,
    free_port,
)
from mastostream.services.loopback import is_free, listening
from mastostream.testing.servers import REQUIRE
from mastostream.testing.temporary import temporary_server

pytestmark = pytest.mark.campaign

BIN = Path(sys.executable).parent
PATIENCE_S = 60.0
NAMES = ("kafka", "hdfs", "elasticsearch")


@pytest.fixture(scope="module", autouse=True)
def java() -> None:
    try:
        find_java()
    except ConfigurationError as error:
        if os.environ.get(REQUIRE):
            raise
        pytest.skip(str(error))


class Services:
    """The command, with ports of its own, and a folder whose name asks for trouble."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mastostream sérvers "))
        self.folder.chmod(0o755)  # Elasticsearch may run as another user
        self.ports: dict[str, int] = {}
        for name in ("kafka", "hdfs", "hdfs-http", "elasticsearch"):
            self.ports[name] = free_port(tuple(self.ports.values()))

    def command(self, *arguments: str) -> list[str | Path]:
        return [BIN / "mastostream", "services", *arguments, "--folder", str(self.folder), "--json"]

    def run(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, timeout=800
        )
        assert done.returncode == code, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def up(self, *names: str) -> list[dict[str, Any]]:
        return self.run("up", *names, *self.port_options)

    @property
    def port_options(self) -> Sequence[str]:
        return [f"--port={name}={port}" for name, port in self.ports.items()]

    def states(self) -> Mapping[str, str]:
        return {each["server"]: each["state"] for each in self.run("status")}

    def pids(self) -> list[int]:
        """Every process whose command line names the folder, by the kernel."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if os.fsencode(f"{self.folder}/") in path.read_bytes():
                    found.append(int(path.parent.name))
        return found


@pytest.fixture(scope="module")
def all_three() -> Iterator[Services]:
    found = Services()
    found.up(*NAMES)
    yield found
    found.run("down")
    assert found.pids() == []
    shutil.rmtree(found.folder)


@pytest.fixture
def services() -> Iterator[Services]:
    found = Services()
    yield found
    found.run("down")
    assert found.pids() == []
    shutil.rmtree(found.folder)


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def send(address: str, topic: str, value: bytes) -> None:
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": address, "acks": "all"})
    producer.produce(topic, value)
    assert producer.flush(30) == 0


def first_value(address: str, topic: str) -> bytes | None:
    from confluent_kafka import Consumer

    settings = {"bootstrap.servers": address, "group.id": "g", "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    try:
        message = consumer.poll(60)
        return None if message is None else message.value()
    finally:
        consumer.close()


def test_up_again_changes_nothing(all_three: Services) -> None:
    before = sorted(all_three.pids())
    told = all_three.up(*NAMES)
    assert [(each["name"], each["state"], each["started"]) for each in told] == [
        (name, "running", False) for name in NAMES
    ]
    assert [each["address"] for each in told] == [
        f"localhost:{all_three.ports[name]}" for name in NAMES
    ]
    assert sorted(all_three.pids()) == before


def test_the_ports_stay_what_they_were(all_three: Services) -> None:
    told = all_three.run("up", *NAMES)
    assert told[0]["address"] == f"localhost:{all_three.ports['kafka']}"
    other = free_port()
    all_three.run("up", "kafka", f"--port=kafka={other}", code=2)


def test_nothing_listens_but_on_the_loopback(all_three: Services) -> None:
    pids = set(all_three.pids())
    found = {where for pid, where in listening() if pid in pids}
    assert {port for _, port in found} >= set(all_three.ports.values())
    assert {host for host, _ in found} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_the_servers_are_of_these_versions(all_three: Services) -> None:
    url = f"http://localhost:{all_three.ports['elasticsearch']}/_nodes"
    (node,) = requests.get(url, timeout=30).json()["nodes"].values()
    assert node["version"] == "8.17.4"
    url = f"http://localhost:{all_three.ports['hdfs-http']}/jmx"
    query = {"qry": "Hadoop:service=NameNode,name=NameNodeInfo"}
    (bean,) = requests.get(url, params=query, timeout=30).json()["beans"]
    assert bean["SoftwareVersion"] == "3.4.1"


def test_the_logs_are_those_of_the_servers(all_three: Services) -> None:
    for name, words in (("kafka", "KafkaRaftServer"), ("namenode", "NameNode")):
        lines = [each["line"] for each in all_three.run("logs", name, "--lines", "2000")]
        assert any(words in line for line in lines)


def test_kill_9_of_each_server_loses_nothing(all_three: Services) -> None:
    addresses = {name: f"localhost:{port}" for name, port in all_three.ports.items()}
    document = f"http://{addresses['elasticsearch']}/kept/_doc/1"
    file = f"http://{addresses['hdfs-http']}/webhdfs/v1/kept/file"
    send(addresses["kafka"], "kept", b"a record")
    requests.put(document, json={"kept": True}, timeout=60).raise_for_status()
    put = requests.put(file, params={"op": "CREATE"}, data=b"a file", timeout=60)
    put.raise_for_status()
    for each in all_three.run("status"):
        if each["pid"]:
            os.kill(each["pid"], signal.SIGKILL)
    wait_until(lambda: "running" not in all_three.states().values())
    states = all_three.states()
    assert states["kafka"] == states["namenode"] == states["elasticsearch"] == "crashed"
    told = all_three.up(*NAMES)
    assert [(each["state"], each["started"]) for each in told] == [("running", True)] * 3
    assert first_value(addresses["kafka"], "kept") == b"a record"
    assert requests.get(document, timeout=60).json()["_source"] == {"kept": True}
    assert requests.get(file, params={"op": "OPEN"}, timeout=60).content == b"a file"


def test_down_and_up_keep_the_data(all_three: Services) -> None:
    document = f"http://localhost:{all_three.ports['elasticsearch']}/ended/_doc/1"
    requests.put(document, json={"kept": True}, timeout=60).raise_for_status()
    told = all_three.run("down")
    assert [(each["name"], each["ended"]) for each in told] == [
        (name, True) for name in reversed(NAMES)
    ]
    assert all_three.pids() == []
    assert all(is_free(port) for port in all_three.ports.values())
    assert set(all_three.states().values()) == {"stopped"}
    all_three.up(*NAMES)
    assert requests.get(document, timeout=60).json()["_source"] == {"kept": True}


@pytest.mark.parametrize("seed", range(4))
def test_up_may_be_killed_at_any_moment(services: Services, seed: int) -> None:
    """While it formats, starts or waits: the next one ends the work, and one server runs."""
    chance = random.Random(seed)
    for _ in range(4):
        with subprocess.Popen(
            services.command("up", "kafka", *services.port_options),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.3, 3.5))
            process.kill()
    services.up("kafka")
    assert services.states()["kafka"] == "running"
    assert len(services.pids()) == 1
    send(f"localhost:{services.ports['kafka']}", f"topic-{seed}", b"works")


def test_a_foreign_process_on_the_port_is_named_and_left_alone(services: Services) -> None:
    code = f"import http.server as h; h.test(port={services.ports['kafka']}, bind='127.0.0.1')"
    command = [BIN / "python", "-c", code]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as foreign:
        try:
            wait_until(lambda: not is_free(services.ports["kafka"]))
            (told,) = services.run("up", "kafka", *services.port_options, code=2)
            assert f"process {foreign.pid} (" in told["error"]
            services.run("down", "kafka")
            assert foreign.poll() is None
        finally:
            foreign.kill()
    services.up("kafka")


def test_a_server_that_dies_shows_why() -> None:
    server = temporary_server(ElasticsearchServer, settings={"no.such.setting": 1})
    told = r"(?s)ended while it was starting.*unknown setting \[no\.such\.setting\]"
    with pytest.raises(FatalError, match=told), server:
        pass


def test_elasticsearch_takes_settings_and_a_password() -> None:
    options = {"settings": {"thread_pool.write.queue_size": 1}, "password": "s3cret ü"}
    with temporary_server(ElasticsearchServer, **options) as server:
        url = f"{server.url}/_nodes/settings"
        assert requests.get(url, timeout=30).status_code == 401
        known = ("elastic", options["password"].encode())
        (node,) = requests.get(url, auth=known, timeout=30).json()["nodes"].values()
        assert node["settings"]["thread_pool"]["write"]["queue_size"] == "1"
        server.kill()
        server.start()
        assert requests.get(url, auth=known, timeout=30).ok


@pytest.mark.alone  # it ends a server that other tests use
def test_each_part_of_hdfs_can_be_ended_and_started(hdfs_server: HdfsServer) -> None:
    file = f"{hdfs_server.webhdfs_url}/webhdfs/v1/parts"
    put = requests.put(file, params={"op": "CREATE"}, data=b"a file", timeout=60)
    put.raise_for_status()

    def readable() -> bool:
        return requests.get(file, params={"op": "OPEN"}, timeout=60).content == b"a file"

    for server in hdfs_server.servers:
        for end in (server.stop, server.kill):
            assert end()
            assert hdfs_server.state == "stopped"
            assert server.start()
            assert hdfs_server.state == "running"
            # The DataNode finds out by one request that its connection to the NameNode is gone.
            wait_until(readable)


@pytest.mark.alone  # it ends a server that other tests use
def test_each_part_of_flink_can_be_ended_and_started(flink_cluster: FlinkCluster) -> None:
    for server in flink_cluster.servers:
        for end in (server.stop, server.kill):
            assert end()
            assert server.start()
            assert flink_cluster.state == "running"
    pids = {server.pid for server in flink_cluster.servers}
    hosts = {host for pid, (host, _) in listening() if pid in pids}
    assert hosts <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert requests.get(f"{flink_cluster.url}/overview", timeout=30).json()["slots-total"] >= 4


@pytest.mark.parametrize("kind", [KafkaServer])
def test_temporary_servers_end_with_their_process(kind: type[Service]) -> None:
    """Even with one that is killed, as a test run may be."""
    code = (
        "import os, sys, time\n"
        "from mastostream import services\n"
        "from mastostream.testing.temporary import temporary_server\n"
        f"with temporary_server(services.{kind.__name__}) as server:\n"
        "    print(server.folder, server.servers[0].pid, flush=True)\n"
        "    time.sleep(1000)\n"
    )
    command = [BIN / "python", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder, pid = process.stdout.readline().split()
        assert Path(folder).exists()
        process.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() and not Path(folder).parent.exists())
