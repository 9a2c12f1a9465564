"""The command line, as a person or a program uses it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from mastostream.testing.simulator import SimulatedServer, generate_statuses

BIN = Path(sys.executable).parent / "mastostream"
Command = Callable[..., Any]
STATUS = '{"id":"1","created_at":"2026-01-01T00:00:00Z","account":{"acct":"a"}}\n'


def mastostream(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | environ,
        timeout=60,
    )


def test_init_writes_a_file_that_is_valid_and_keeps_what_is_there(
    command: Command, tmp_path: Path
) -> None:
    assert mastostream(tmp_path, "init").returncode == 0
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    (tmp_path / ".env").write_text("ACCESS_TOKEN=mine\n")
    assert "kept" in command(tmp_path, "init").stdout
    assert (tmp_path / ".env").read_text() == "ACCESS_TOKEN=mine\n"
    done = mastostream(tmp_path, "doctor", "--offline", "--json")
    assert done.returncode == 0, done.stderr
    assert {json.loads(line)["state"] for line in done.stdout.splitlines()} == {"ok"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run"], 2, "no hashtag to follow"),
        (["run", "--tag", ""], 2, "'' is no hashtag"),
        (["run", "--tag", "../a b"], 2, "'../a b' is no hashtag"),
        (["run", "--tag", "a", "--server", "no server/"], 2, "expected a name such as"),
        (["analyze", "--analysis", "none"], 2, "has no analysis 'none'"),
        (["analyze", "--analysis", "nowhere:X"], 2, "cannot import 'nowhere'"),
        (["analyze", "--analysis", "json:dumps"], 2, "has no Analysis named 'dumps'"),
        (["analyze", "--languages", "en,English"], 2, "'English' is no language: expected a tag"),
        (["analyze", "--languages", " , "], 2, "--languages: expected at least one language"),
        (["analyze", "--close-windows"], 2, "--close-windows goes with --once"),
        (["replay", "none.jsonl"], 2, "there is no file or folder none.jsonl"),
        (["run", "--config", "none.toml"], 2, "there is no file none.toml"),
        (["nonsense"], 2, "No such command"),
        (["index", "--once", "--data", "/proc/none"], 4, "cannot write /proc/none"),
        (["doctor", "--server", "127.0.0.1:1"], 4, "something is wrong"),
        (["dead-letters", "show", "7"], 2, "there is no dead letter 7"),
        (["archive", "--topic", "../elsewhere"], 2, "expected letters, digits"),
    ],
)
def test_a_mistake_gets_one_sentence_and_an_exit_code(
    command: Command, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = command(tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mastostream.sqlite3").write_bytes(b"no database at all" * 100)
    done = mastostream(tmp_path, "index", "--once", "--data", "d")
    assert done.returncode == 4
    assert "move it away" in done.stderr


def test_an_archive_of_another_log_is_told(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mastostream.toml").write_text('[archive]\nfolder = "kept"\n')
    for folder, lines in (("old", 3), ("new", 2)):
        (tmp_path / "statuses.jsonl").write_text(STATUS * lines)
        assert command(tmp_path, "replay", "statuses.jsonl", "--data", folder).returncode == 0
    assert command(tmp_path, "archive", "--once", "--data", "old").returncode == 0
    done = mastostream(tmp_path, "archive", "--once", "--data", "new")
    assert done.returncode == 4
    assert "the archive is another log's" in done.stderr


def test_metrics_and_health_are_served_while_it_runs(tmp_path: Path) -> None:
    with SimulatedServer() as server:
        process = subprocess.Popen(
            [BIN, "run", "--server", server.url, "--tag", "news", "--metrics-port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=tmp_path,
        )
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        with urllib.request.urlopen(url, timeout=10) as answer:
            metrics = answer.read().decode()
        with urllib.request.urlopen(url.replace("metrics", "health"), timeout=10) as answer:
            health = json.load(answer)
        process.terminate()
        process.communicate(timeout=15)
    assert process.returncode == 0
    assert 'mastostream_records_total{stage="collect"}' in metrics
    assert "mastostream_records_lost" in metrics
    assert health["ok"] is True


def test_health_is_not_ok_while_the_only_server_cannot_be_reached(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [BIN, "run", "--server", f"http://127.0.0.1:{port}", "--tag", "news"]
    with subprocess.Popen(
        [*command, "--metrics-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            health: dict[str, Any] = {"ok": True}
            status = 200
            for _ in range(600):
                answer = requests.get(url, timeout=10)
                status, health = answer.status_code, answer.json()
                if not health["ok"]:
                    break
                time.sleep(0.1)
        finally:
            process.terminate()
    assert (status, health["ok"]) == (503, False)
    collect = health["stages"].pop("collect")
    assert collect["ok"] is False
    assert "127.0.0.1" in collect["error"]
    assert "cannot be reached" in collect["error"]
    assert all(stage["ok"] for stage in health["stages"].values())


def test_an_analysis_that_fails_for_every_post_ends_with_its_own_code(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from mastostream import Analysis\n"
        "BAD = Analysis(name='bad', topic='bad', function=lambda post: 1 / 0)\n"
    )
    (tmp_path / "posts.jsonl").write_bytes(b"\n".join(generate_statuses(20)))
    assert mastostream(tmp_path, "replay", "posts.jsonl").returncode == 0
    done = mastostream(tmp_path, "analyze", "--once", "--analysis", "own:BAD")
    assert done.returncode == 5
    assert "analysis bad fails for 20 of 20 posts (ZeroDivisionError" in done.stderr
    assert "outputs 0, dead letters 20" in done.stdout
    assert "dead-letters list" in done.stderr


def test_a_server_that_refuses_ends_the_run_with_what_to_do(tmp_path: Path) -> None:
    with SimulatedServer(token="right") as server:
        arguments = ["run", "--server", server.url, "--tag", "news", "--interval", "0.1"]
        done = mastostream(tmp_path, *arguments, "--seconds", "50", ACCESS_TOKEN="wr0ng")
    assert done.returncode == 4
    assert "ACCESS_TOKEN" in done.stderr
    assert "wr0ng" not in done.stdout + done.stderr


def test_completion_is_printed(tmp_path: Path) -> None:
    assert "_MASTOSTREAM_COMPLETE" in mastostream(tmp_path, "completion", "bash").stdout


def test_hostile_text_is_shown_on_a_terminal_of_ascii(command: Command, tmp_path: Path) -> None:
    bad = '{"id":"1","création":"\u202e💥"}\n'
    (tmp_path / "statuses.jsonl").write_text(bad + STATUS * 9, encoding="utf-8")
    mastostream(tmp_path, "replay", "statuses.jsonl")
    mastostream(tmp_path, "analyze", "--once")
    listed = mastostream(tmp_path, "dead-letters", "list", PYTHONIOENCODING="ascii")
    others = [
        command(tmp_path, "dead-letters", *arguments, encoding="ascii")
        for arguments in (["show", "0"], ["list", "--json"])
    ]
    for done in (listed, *others):
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        assert "missing" in done.stdout
