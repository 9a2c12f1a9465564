"""``services`` where no server is needed: what is asked, shown and refused."""

import json
import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mastostream.cli.main import cli
from mastostream.exceptions import BusyError, ConfigurationError
from mastostream.services import SERVICES, KafkaServer


def services(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["services", *arguments, "--folder", str(folder)])


def test_nothing_runs_and_nothing_is_made_by_looking(tmp_path: Path) -> None:
    folder = tmp_path / "servers"
    result = services(folder, "status", "--json")
    servers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [server["server"] for server in servers] == [
        *("kafka", "namenode", "datanode", "elasticsearch", "jobmanager", "taskmanager")
    ]
    assert list(dict.fromkeys(server["service"] for server in servers)) == list(SERVICES)
    assert {(server["state"], server["pid"]) for server in servers} == {("stopped", None)}
    assert services(folder, "status").stdout.count("stopped") == 6
    assert services(folder, "down").stdout == ""
    assert services(folder, "down", "kafka").stdout == "kafka: did not run\n"
    assert not folder.exists()


def test_the_folder_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTOSTREAM_SERVICES_FOLDER", str(tmp_path / "mine"))
    result = CliRunner().invoke(cli, ["services", "status", "--json"])
    logs = [json.loads(line)["log"] for line in result.stdout.splitlines()]
    assert all(log.startswith(str(tmp_path / "mine")) for log in logs)


@pytest.mark.parametrize(
    "port", ["kafka", "kafka=", "kafka=x", "kafka=0", "kafka=65536", "kibana=1"]
)
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    result = services(tmp_path, "up", "--port", port)
    assert result.exit_code == 2
    assert "expected NAME=PORT with a name of kafka" in result.stderr


def test_an_unknown_service_is_refused(tmp_path: Path) -> None:
    result = services(tmp_path, "up", "kibana")
    assert result.exit_code == 2
    assert "'kibana' is not one of" in result.stderr


def test_the_logs_of_what_is_unknown_or_never_ran(tmp_path: Path) -> None:
    result = services(tmp_path, "logs", "kibana")
    assert result.exit_code == 2
    assert "choose one of kafka, hdfs" in result.stderr
    result = services(tmp_path, "logs", "namenode")
    assert isinstance(result.exception, ConfigurationError)
    assert "start it with 'mastostream services up hdfs'" in str(result.exception)


def test_logs_are_the_last_lines_of_each_server(tmp_path: Path) -> None:
    (tmp_path / "hdfs").mkdir()
    (tmp_path / "hdfs" / "namenode.log").write_text("one\ntwo\nthree\x1b[2J\n")
    (tmp_path / "hdfs" / "datanode.log").write_text("four\n")
    result = services(tmp_path, "logs", "hdfs", "--lines", "2")
    assert result.stdout.splitlines() == [
        *("namenode | two", "namenode | three [2J", "datanode | four")
    ]
    assert services(tmp_path, "logs", "datanode").stdout == "four\n"
    result = services(tmp_path, "logs", "datanode", "--json")
    assert json.loads(result.stdout) == {"kind": "log", "server": "datanode", "line": "four"}


def test_one_that_cannot_start_does_not_keep_the_others(tmp_path: Path) -> None:
    """Each is tried, each error is told, and the last one ends the command."""
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        ports = [first.getsockname()[1], second.getsockname()[1]]
        result = services(
            *(tmp_path, "up", "kafka", "elasticsearch", "--json"),
            *("--port", f"kafka={ports[0]}", "--port", f"elasticsearch={ports[1]}"),
        )
    assert isinstance(result.exception, BusyError)
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(message["name"], message["state"]) for message in messages] == [
        ("kafka", "stopped"),
        ("elasticsearch", "stopped"),
    ]
    for message, port in zip(messages, ports, strict=True):
        assert f"port {port}, and process {os.getpid()}" in message["error"]


def test_a_crash_is_shown(tmp_path: Path) -> None:
    server = KafkaServer(tmp_path / "kafka")
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "kafka.process").write_text(Path("/proc/self/stat").read_text())
    assert server.state == "crashed"
    assert "crashed" in services(tmp_path, "status").stdout
