"""The commands of the archive."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mastostream.cli.main import cli
from mastostream.exceptions import FatalError


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with ten records in its log."""
    monkeypatch.chdir(tmp_path)
    status = {"created_at": "2026-01-01T00:00:00Z", "account": {"acct": "a"}}
    lines = "".join(json.dumps({"id": str(number)} | status) + "\n" for number in range(10))
    (tmp_path / "statuses.jsonl").write_text(lines)
    assert run("replay", "statuses.jsonl").exit_code == 0
    return tmp_path / "mastostream-data"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def messages(done: Result) -> list[dict[str, object]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_archiving_checking_tidying_and_exporting(data: Path, form: str) -> None:
    options = ("--format", form, "--by-date", "--rotate-records", "3", "--folder", "kept")
    (done,) = messages(run("archive", "--once", "--json", *options))
    assert done["archive"] == 10
    assert not (data / "archive").exists()
    partition, done = messages(run("archive", "verify", "--json", "--folder", "kept"))
    assert (partition["files"], partition["records"]) == (4, 10)
    assert (partition["first"], partition["last"]) == (0, 9)
    assert done["problems"] == 0
    (done,) = messages(run("archive", "compact", "--json", "--folder", "kept"))
    assert (done["merged"], done["made"]) == (4, 1)
    single = ("archive", "compact", "--json", "--folder", "kept", "--single", "tweets_data.json")
    (done,) = messages(run(*single))
    assert (done["records"], done["output"]) == (10, "tweets_data.json")
    assert Path("tweets_data.json").read_bytes() == Path("statuses.jsonl").read_bytes()
    assert "is there already" in str(run(*single).exception)
    (done,) = messages(run("replay", "kept", "--json", "--data", "other"))
    assert done["records"] == 10


def test_what_people_read(data: Path) -> None:
    assert "The archive is in mastostream-data/archive" in run("archive", "--once").output
    output = run("archive", "verify").output
    assert "0 problems" in output
    assert "10" in output
    assert "0 files became 0" in run("archive", "compact").output
    assert "10 records are in" in run("archive", "compact", "--single", "all.json").output
    assert "There is no archive of none" in run("archive", "verify", "--topic", "none").output


def test_problems_are_told_each_on_a_line_with_exit_code_4(data: Path) -> None:
    run("archive", "--once", "--compression", "none")
    (path,) = (data / "archive").rglob("M*.jsonl")
    path.write_bytes(path.read_bytes().replace(b"7", b"8"))
    (data / "archive" / "Mastodon_stream" / "\x1b[31mred").touch()
    done = run("archive", "verify")
    assert isinstance(done.exception, FatalError)
    problems = [line for line in done.output.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 2
    assert path.name in "".join(problems)
    assert "\x1b" not in done.output
    done = run("archive", "verify", "--json")
    assert isinstance(done.exception, FatalError)
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert kinds == ["partition", "problem", "problem", "done"]


def test_options_in_front_of_a_command_are_not_lost_in_silence(data: Path) -> None:
    done = run("archive", "--folder", "elsewhere", "verify")
    assert done.exit_code == 2
    assert "--folder goes behind the command: mastostream archive verify --folder" in done.output
    assert run("archive", "nonsense").exit_code == 2


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("s3://bucket/a", "expected a folder, or hdfs://host:port/path"),
        ("hdfs://", "expected hdfs://host:port/path"),
    ],
)
def test_a_folder_that_is_none_is_told(data: Path, folder: str, message: str) -> None:
    for command in (("archive", "--once"), ("archive", "verify"), ("archive", "compact")):
        assert message in str(run(*command, "--folder", folder).exception)


def test_a_namenode_that_is_away_is_not_now(data: Path) -> None:
    os.environ["MASTOSTREAM_HDFS_SETTINGS"] = "dfs.client.failover.max.attempts=1"
    try:
        done = run("archive", "--once", "--folder", "hdfs://localhost:1/kafka_demo")
    finally:
        del os.environ["MASTOSTREAM_HDFS_SETTINGS"]
    assert "HDFS cannot serve hdfs://localhost:1/kafka_demo" in str(done.exception)
