"""``flink``, and the flags of ``analyze`` for it, where no Flink is needed."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mastostream.cli.flink_commands import _cluster
from mastostream.cli.main import cli
from mastostream.config import Settings
from mastostream.exceptions import ConfigurationError, RetriableError

SAVEPOINTS = "execution.checkpointing.savepoint-dir"


def flink(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["flink", *arguments])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def target(jobmanager: Any, monkeypatch: pytest.MonkeyPatch, folder: None) -> None:
    jobmanager.holds(("a", "one[bold]\x1b[2J", "RUNNING"), ("b", "two", "CANCELED"))
    monkeypatch.setenv("MASTOSTREAM_FLINK_TARGET", jobmanager.target)


def test_status_shows_jobs_whatever_their_names() -> None:
    result = flink("status")
    assert result.exit_code == 0, result.exception
    assert "one[bold]?[2J" in result.stdout.replace("\n", "")
    assert "RUNNING" in result.stdout
    assert "2/2" in result.stdout
    assert "last failure of one[bold]?[2J: Lost: it is gone" in result.stdout
    assert "last failure of two" not in result.stdout
    assert "one[bold]?[2J has left out 6 values that are no JSON" in result.stdout
    assert "\x1b" not in result.stdout


def test_status_for_programs() -> None:
    first, second = map(json.loads, flink("status", "--json").stdout.splitlines())
    assert first == {
        "kind": "job",
        "id": "a" * 32,
        "name": "one[bold]?[2J",
        "state": "RUNNING",
        "running_tasks": 2,
        "tasks": 2,
        "restarts": 3,
        "started_at": "2023-11-14T22:13:20+00:00",
        "checkpoint_at": "2023-11-14T22:14:20+00:00",
        "dropped": 6,
        "failure": "Lost: it is gone",
    }
    assert second["state"] == "CANCELED"


def test_the_flag_wins_over_the_setting() -> None:
    result = flink("status", "--target", "localhost:1")
    assert isinstance(result.exception, RetriableError)
    assert "no Flink can be reached at localhost:1" in str(result.exception)


def test_without_a_target_it_is_this_machine() -> None:
    with _cluster(Settings().flink) as cluster:
        assert cluster.target == "localhost:8081"


def test_a_savepoint_is_where_it_says(jobmanager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is the flag's, else the setting's; only the path is on standard output."""
    jobmanager.answers[f"POST /jobs/{'a' * 32}/savepoints"] = (202, {"request-id": "r"})
    savepoint = {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/s/1"}}
    jobmanager.answers[f"GET /jobs/{'a' * 32}/savepoints/r"] = (200, savepoint)
    monkeypatch.setenv("MASTOSTREAM_FLINK_SETTINGS", f"{SAVEPOINTS}=file:/of-settings")
    for arguments, folder in (((), "file:/of-settings"), (("--folder", "file:/f"), "file:/f")):
        result = flink("savepoint", "a" * 32, *arguments)
        assert result.stdout == "file:/s/1\n"
        (body,) = [body for request, body in jobmanager.asked[-3:] if request[:4] == "POST"]
        assert body["target-directory"] == folder


def test_a_job_is_cancelled(jobmanager: Any) -> None:
    jobmanager.answers[f"PATCH /jobs/{'a' * 32}?mode=cancel"] = (202, {})
    result = flink("cancel", "two")
    assert isinstance(result.exception, ConfigurationError)
    assert "has ended" in str(result.exception)


def test_draining_is_for_the_end() -> None:
    result = flink("savepoint", "one", "--drain")
    assert result.exit_code == 2
    assert "--drain goes with --stop" in result.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--target", "x:1"),
        ("--target", ""),
        ("--detached",),
        ("--from-savepoint", "file:/x"),
        ("--python-archive", "x.zip"),
    ],
)
def test_flags_of_flink_are_refused_by_another_engine(flags: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, ["analyze", *flags])
    assert result.exit_code == 2
    assert f"{flags[0]} goes with --engine flink" in result.stderr


def test_an_archive_is_for_a_cluster() -> None:
    flags = ["--python-archive", "x.zip", "--target", "local"]
    result = CliRunner().invoke(cli, ["analyze", "--engine", "flink", *flags])
    assert result.exit_code == 2
    assert "--python-archive needs a cluster" in result.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--target", "local"), "--detached needs a cluster"),
        (("--once",), "--once does not go with --detached"),
        (("--seconds", "5"), "--seconds does not go with --detached"),
        (("--metrics-port", "0"), "--metrics-port does not go with --detached"),
    ],
)
def test_who_leaves_a_job_alone_cannot_watch_it(flags: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(cli, ["analyze", "--engine", "flink", "--detached", *flags])
    assert result.exit_code == 2
    assert message in result.stderr
