"""The configuration of each server, read back as the server reads it."""

import json
import re
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mastostream.exceptions import BusyError, ConfigurationError, MissingExtraError
from mastostream.services import (
    PORTS,
    SERVICES,
    ElasticsearchServer,
    FlinkCluster,
    HdfsServer,
    KafkaServer,
    flink,
    open_service,
    unprivileged,
)
from mastostream.services.kafka import new_cluster_id
from mastostream.services.process import Command, Process


def properties(path: Path) -> dict[str, str]:
    """Read lines of names and values with Java's escapes."""
    lines = path.read_text("latin-1").splitlines()
    pairs = (line.split("=", 1) for line in lines)
    return {name: value.encode().decode("unicode_escape") for name, value in pairs}


def site(path: Path) -> dict[str, str]:
    entries = ET.parse(path).getroot().findall("property")
    return {entry.findtext("name") or "": entry.findtext("value") or "" for entry in entries}


def yaml(path: Path) -> dict[str, object]:
    """Read lines of names and JSON values, the subset of YAML that is written here."""
    lines = path.read_text().splitlines()
    return {name: json.loads(value) for name, value in (line.split(": ", 1) for line in lines)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sérver 1"
    folder.mkdir()
    return folder


def kafka_settings(server: KafkaServer) -> dict[str, str]:
    path = server.folder / "server.properties"
    server._ports.settle()
    server._write(path, server.folder / "data")
    return properties(path)


def test_kafka_listens_on_loopback_and_needs_no_second_broker(folder: Path) -> None:
    settings = kafka_settings(KafkaServer(folder, port=12345))
    listeners = settings["listeners"].split(",")
    assert [listener.rpartition(":")[0] for listener in listeners] == [
        "PLAINTEXT://127.0.0.1",
        "CONTROLLER://127.0.0.1",
    ]
    assert listeners[0].endswith(":12345")
    assert settings["advertised.listeners"] == "PLAINTEXT://localhost:12345"
    assert settings["controller.quorum.voters"] == "1@" + listeners[1].removeprefix("CONTROLLER://")
    assert settings["log.dirs"] == str(folder / "data")
    assert {settings[name] for name in settings if name.endswith(".factor")} == {"1"}
    assert settings["transaction.state.log.min.isr"] == "1"
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["group.initial.rebalance.delay.ms"] == "0"
    assert settings["message.max.bytes"] == settings["replica.fetch.max.bytes"] == "8388608"


def test_elasticsearch_listens_on_loopback_and_works_on_a_full_disk(folder: Path) -> None:
    home = folder / "distribution"
    (home / "config").mkdir(parents=True)
    shipped = "# comment\n-XX:+UseG1GC\n-Xlog:gc*:file=logs/gc.log\n-XX:HeapDumpPath=data\n"
    (home / "config" / "jvm.options").write_text(shipped)
    server = ElasticsearchServer(
        folder, port=12345, settings={"thread_pool.write.queue_size": 1}, heap_mb=300
    )
    server._ports.settle()
    (folder / "config").mkdir()
    server._configure(home, folder / "config")
    settings = yaml(folder / "config" / "elasticsearch.yml")
    assert (settings["network.host"], settings["http.port"]) == ("127.0.0.1", 12345)
    assert settings["discovery.type"] == "single-node"
    assert settings["xpack.security.enabled"] is False
    assert settings["thread_pool.write.queue_size"] == 1
    assert settings["path.data"] == str(folder / "data")
    watermarks = [str(settings[name]) for name in settings if "watermark" in name]
    assert len(watermarks) == 3
    assert all(watermark.endswith("mb") for watermark in watermarks)
    options = (folder / "config" / "jvm.options").read_text().splitlines()
    assert {"-Xms300m", "-Xmx300m", "-XX:+UseG1GC"} <= set(options)
    assert not [line for line in options if "logs/gc.log" in line or line.endswith("=data")]


def test_hdfs_listens_on_loopback_and_keeps_one_copy(folder: Path) -> None:
    server = HdfsServer(folder, port=12345, http_port=12346, settings={"dfs.blocksize": 1048576})
    server._ports.settle()
    for name in ("datanode", "datanode-http", "datanode-ipc"):
        server._ports.internal(name)
    server._configure(folder)
    assert site(folder / "core-site.xml")["fs.defaultFS"] == "hdfs://localhost:12345"
    settings = site(folder / "hdfs-site.xml")
    addresses = {name: value for name, value in settings.items() if name.endswith("address")}
    assert {value.partition(":")[0] for value in addresses.values()} == {"127.0.0.1"}
    assert len(addresses) == len(set(addresses.values())) == 5
    assert addresses["dfs.namenode.rpc-address"] == "127.0.0.1:12345"
    assert settings["dfs.namenode.name.dir"] == str(folder / "namenode")
    assert (settings["dfs.replication"], settings["dfs.permissions.enabled"]) == ("1", "false")
    assert settings["dfs.blocksize"] == "1048576"
    assert (server.url, server.webhdfs_url) == ("hdfs://localhost:12345", "http://localhost:12346")


def test_who_reads_it_while_it_is_written_finds_all_of_it(folder: Path) -> None:
    """A NameNode is starting while the DataNode's configuration is written."""
    server = HdfsServer(folder, port=12345, http_port=12346)
    server._ports.settle()
    for name in ("datanode", "datanode-http", "datanode-ipc"):
        server._ports.internal(name)
    server._configure(folder)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(lambda: [server._configure(folder) for _ in range(100)])
        while not written.done():
            assert site(folder / "core-site.xml")["fs.defaultFS"] == "hdfs://localhost:12345"
            assert site(folder / "hdfs-site.xml")["dfs.replication"] == "1"
        written.result()


def test_flink_listens_on_loopback_and_runs_this_python(folder: Path) -> None:
    home = folder / "pyflink"
    (home / "conf").mkdir(parents=True)
    shipped = "# comment\nenv:\n  java:\n    opts:\n      all: --add-opens=java.base/x=ALL\n"
    (home / "conf" / "config.yaml").write_text(shipped)
    server = FlinkCluster(folder, port=12345, slots=3)
    server._ports.settle()
    for name in ("jobmanager-rpc", "blob"):
        server._ports.internal(name)
    server._configure(home, folder)
    settings = yaml(folder / "config.yaml")
    hosts = [name for name in settings if name.endswith(("address", "bind-host", ".host"))]
    assert len(hosts) == 6
    assert {settings[name] for name in hosts} == {"localhost"}
    assert (settings["rest.port"], settings["taskmanager.numberOfTaskSlots"]) == (12345, 3)
    assert settings["env.java.opts.all"] == "--add-opens=java.base/x=ALL"
    assert settings["python.executable"] == settings["python.client.executable"] != ""


def test_the_number_of_taskmanagers_stays(folder: Path) -> None:
    """A later command finds all of them by the folder, and cannot lose one that runs."""
    names = ["jobmanager", "taskmanager", "taskmanager-2", "taskmanager-3"]
    server = FlinkCluster(folder, taskmanagers=3)
    assert [member.name for member in server.servers] == names
    assert len(FlinkCluster(folder).servers) == 2
    (folder / "taskmanagers").write_text("3")
    assert [member.name for member in FlinkCluster(folder).servers] == names
    third = Process("taskmanager-3", folder)
    third.start(Command(arguments=("sleep", "60")))
    try:
        with pytest.raises(BusyError, match="runs with 3 TaskManagers: end it first"):
            FlinkCluster(folder, taskmanagers=1).launch()
    finally:
        server.kill()
    (folder / "taskmanagers").write_text("none")
    assert len(FlinkCluster(folder).servers) == 2


def test_without_the_wheel_flink_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    # With ``None`` here, Python's import system takes the module for missing.
    monkeypatch.setitem(sys.modules, "pyflink", None)
    with pytest.raises(MissingExtraError, match=r"Flink needs an extra: .*mastostream\[flink\]"):
        flink._flink_home()


def test_own_settings_win_and_are_escaped(folder: Path) -> None:
    own = {"listeners": "a\\b\nc=ü €\U0001f600", "auto.create.topics.enable": True}
    path = folder / "server.properties"
    settings = kafka_settings(KafkaServer(folder, settings=own))
    assert (
        settings["listeners"].encode("utf-16", "surrogatepass").decode("utf-16") == own["listeners"]
    )
    assert settings["auto.create.topics.enable"] == "true"
    assert path.read_text("ascii").count("listeners=") == 2  # of these one is advertised.listeners


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    """One in 64 random ids would begin with a minus sign."""
    ids = {new_cluster_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", cluster_id) for cluster_id in ids)


def test_internal_ports_stay_while_they_are_free(folder: Path) -> None:
    server = KafkaServer(folder)
    first = kafka_settings(server)["controller.quorum.voters"]
    assert kafka_settings(KafkaServer(folder))["controller.quorum.voters"] == first


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_a_folder_of_its_own(tmp_path: Path, name: str) -> None:
    ports = {port: 20_000 + number for number, port in enumerate(PORTS)}
    service = open_service(name, tmp_path, ports)
    assert (service.name, service.folder) == (name, tmp_path / name)
    assert service.address == f"localhost:{ports[name]}"
    assert service.state == "stopped"


def test_who_is_not_root_stays_who_he_is() -> None:
    assert unprivileged.other_user("Elasticsearch", 1000) is None


def test_root_becomes_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "setpriv").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    user = unprivileged.other_user("Elasticsearch", 0)
    assert user is not None
    assert user.uid != 0
    assert user.switch[0] == str(tmp_path / "setpriv")
    assert f"--reuid={user.uid}" in user.switch


def test_root_who_cannot_become_another_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"Elasticsearch refuses to run as root.*setpriv"):
        unprivileged.other_user("Elasticsearch", 0)


def test_a_folder_that_another_user_cannot_enter_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An example is a home directory that other users may not enter."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    user = unprivileged.User(uid=1, gid=1, switch=())
    with pytest.raises(ConfigurationError, match=f"since {closed} is closed.*another --folder"):
        user.check_entry(closed / "elasticsearch")


def test_a_broken_flink_is_said(folder: Path) -> None:
    from mastostream.exceptions import FatalError

    (folder / "conf").mkdir()
    (folder / "conf" / "config.yaml").write_text("nothing: known\n")
    with pytest.raises(FatalError, match="is not that of Flink 2"):
        FlinkCluster(folder)._configure(folder, folder)
