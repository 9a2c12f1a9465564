"""The whole pipeline, as its users run it."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mastodon

from mastostream.config import Settings
from mastostream.testing.simulator import SimulatedServer, generate_statuses
from mastostream.wiring import replay_inputs

from .window_recount import check_windows_of

BIN = Path(sys.executable).parent
UNLIMITED = {
    "MASTOSTREAM_COLLECT_REQUESTS_PER_5_MIN": "1000000",
    "MASTOSTREAM_COLLECT_PAGING_REQUESTS_PER_15_MIN": "1000000",
}


def mastostream(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "mastostream"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)


def records(folder: Path, topic: str) -> list[tuple[str | None, bytes]]:
    connection = sqlite3.connect(folder / "mastostream.sqlite3")
    rows = connection.execute(
        "SELECT key, value FROM records JOIN partitions ON partitions.id = records.id >> 40 "
        "WHERE topic = ? ORDER BY records.id",
        (topic,),
    ).fetchall()
    connection.close()
    return rows


def one(folder: Path, query: str) -> Any:
    connection = sqlite3.connect(folder / "mastostream.sqlite3")
    (value,) = connection.execute(query).fetchone()
    connection.close()
    return value


def archived(folder: Path) -> list[bytes]:
    files = replay_inputs(Settings(), str(folder / "archive"))
    return [value for file in files for value, _ in file.values()]


def check_nothing_lost_or_repeated(folder: Path) -> list[str | None]:
    stream = records(folder, "Mastodon_stream")
    logged = [key for key, _ in stream]  # also edits, refreshes and deletes
    keys = [key for key, value in stream if json.loads(value)["mastostream"]["event"] == "new"]
    assert len(keys) == len(set(keys)), "a post was collected twice"
    assert set(keys) == set(logged)
    for topic in ("mastodon-engagement", "mastodon-hashtags"):
        assert [key for key, _ in records(folder, topic)] == logged
        name = f"SELECT count(*) FROM documents WHERE index_name = '{topic}'"
        assert one(folder, name) == len(keys)
    check_windows_of(folder)
    assert archived(folder) == [value for _, value in stream]
    return keys


class ServerClock:
    """Behind the real time, until it is stopped."""

    def __init__(self, behind_ms: int) -> None:
        self.behind_ms = behind_ms
        self.stopped_ms: int | None = None

    def __call__(self) -> int:
        if self.stopped_ms is not None:
            return self.stopped_ms
        return time.time_ns() // 1_000_000 - self.behind_ms

    def stop(self) -> None:
        self.stopped_ms = self()


def test_kill_9_at_random_moments_loses_and_repeats_nothing(
    tmp_path: Path,
    rng: random.Random,
    kills: int,
    record_property: Callable[[str, object], None],
) -> None:
    folder = tmp_path / "data"
    clock = ServerClock(behind_ms=(kills // 5) * 20_000)
    with SimulatedServer(now_ms=clock, posts_per_s=40, rate_limit=None, backlog_s=20) as server:
        command = [BIN / "mastostream", "run", "--server", server.url, "--data", str(folder)]
        command += ["--tag", "news", "--tag", "python", "--interval", "0.1", "-vv"]
        environment = os.environ | UNLIMITED | {"MASTOSTREAM_ARCHIVE_ROTATE_S": "0.5"}
        first = mastostream(*command[1:], "--seconds", "3", env=environment)
        assert first.returncode == 0, first.stderr
        since_ms = clock()
        for kill in range(kills):
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
            )
            time.sleep(rng.uniform(0.4, 2.2))
            assert process.poll() is None, "it ended before it was killed"
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            if kill % 5 == 4:
                clock.behind_ms -= 20_000  # as if it had been off for that long
        record_property("kills", kills)
        clock.stop()
        before = -1
        while before != (before := len(records(folder, "Mastodon_stream"))):
            last = mastostream(*command[1:], "--seconds", "5", env=environment)
            assert last.returncode == 0, last.stderr
        keys = check_nothing_lost_or_repeated(folder)
        for tag in ("news", "python"):
            truth = {
                post.id
                for post in server.world.timeline(tag, clock())
                if since_ms < post.created_ms
            }
            assert not truth - set(keys), "a post was lost"
            assert len(truth) > 8 * kills
    assert len(keys) > 20 * kills


def test_a_server_that_was_not_written_here(mastodon_mock: str, tmp_path: Path) -> None:
    api = mastodon.Mastodon(
        api_base_url=mastodon_mock, access_token="mock_token", version_check_mode="none"
    )
    posted = {str(api.status_post(f"number {number} #news").id) for number in range(60)}
    api.session.close()  # the server closes an idle connection, at no foreseeable moment
    folder = tmp_path / "data"
    arguments = ["run", "--server", mastodon_mock, "--data", str(folder), "--tag", "news"]
    environment = os.environ | {"ACCESS_TOKEN": "mock_token"}
    first = mastostream(*arguments, "--interval", "0.5", "--seconds", "3", env=environment)
    assert first.returncode == 0, first.stderr
    later = {str(api.status_post(f"later {number} #news").id) for number in range(100)}
    second = mastostream(*arguments, "--interval", "0.5", "--seconds", "5", env=environment)
    assert second.returncode == 0, second.stderr
    api.session.close()
    keys = {str(key) for key in check_nothing_lost_or_repeated(folder)}
    assert later <= keys
    assert keys <= posted | later
    assert len(keys & posted) >= 40
    assert "mock_token" not in first.stdout + first.stderr + second.stdout + second.stderr


def test_every_real_status_goes_through_the_whole_pipeline(
    corpus: Sequence[bytes], tmp_path: Path
) -> None:
    source = tmp_path / "statuses.jsonl"
    source.write_bytes(b"\n".join(corpus) + b"\n")
    folder = str(tmp_path / "data")
    for arguments in (
        ["replay", str(source)],
        ["analyze", "--once", "--analysis", "full"],
        ["analyze", "--once", "--mode", "sql", "--analysis", "dashboard"],
        ["index", "--once"],
        ["archive", "--once"],
    ):
        done = mastostream(*arguments, "--data", folder, "--json")
        assert done.returncode == 0, done.stderr
    stream = records(Path(folder), "Mastodon_stream")
    assert [value for _, value in stream] == list(corpus)
    assert archived(Path(folder)) == list(corpus)
    letters = mastostream("dead-letters", "list", "--data", folder, "--json").stdout.splitlines()
    told = [json.loads(line) for line in letters]
    assert all(letter["reasons"] for letter in told)
    results = records(Path(folder), "mastodon-engagement")
    undecodable = {letter["offset"] for letter in told if letter["topic"] == "Mastodon_stream"}
    assert len(results) + len(undecodable) == len(corpus)
    documents = one(
        Path(folder), "SELECT count(*) FROM documents WHERE index_name = 'mastodon-engagement'"
    )
    assert documents == len({key for key, _ in results})


ANALYSIS = """
from mastostream import Analysis, Post


def shout(post: Post) -> dict[str, object] | None:
    if "!" not in post.content:
        return None
    return {"key": post.key, "observed_at": post.observed_at, "text": post.content}


SHOUTS = Analysis(name="shouts", topic="shouts", function=shout)
"""


def test_an_analysis_of_ones_own_and_dead_letters_that_are_tried_again(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ANALYSIS)
    status = {"id": "1", "created_at": "2024-01-01T00:00:00Z", "account": {"acct": "a"}}
    lines = [json.dumps(status | {"content": "hey!"}), '{"id":"2","account":{"acct":5}}', "{broken"]
    lines += [json.dumps(status | {"id": str(number)}) for number in range(10, 30)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    for arguments in (
        ["replay", "in.jsonl"],
        ["analyze", "--once", "--analysis", "mine:SHOUTS"],
    ):
        done = mastostream(*arguments, "--data", "d", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert [key for key, _ in records(tmp_path / "d", "shouts")] == ["1"]
    listed = mastostream("dead-letters", "list", "--data", "d", "--json", cwd=tmp_path)
    letters = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [letter["offset"] for letter in letters] == [1, 2]
    assert "$.account.acct: expected str, got int" in letters[0]["reasons"]
    shown = mastostream("dead-letters", "show", "1", "--raw", "--data", "d", cwd=tmp_path)
    assert shown.stdout == "{broken"
    for expected in ("2 records sent again", "0 records sent again"):
        again = mastostream("dead-letters", "replay", "--data", "d", cwd=tmp_path)
        assert expected in again.stdout
    assert [value for _, value in records(tmp_path / "d", "Mastodon_stream")] == [
        line.encode() for line in lines + lines[1:3]
    ]


def test_a_second_process_on_one_data_folder_is_refused(tmp_path: Path) -> None:
    with SimulatedServer() as server:
        arguments = ["run", "--server", server.url, "--tag", "news", "--data", str(tmp_path)]
        first = subprocess.Popen(
            [BIN / "mastostream", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert first.stdout is not None
        first.stdout.readline()
        second = mastostream(*arguments)
        first.terminate()
        rest = first.stdout.read()
        first.stdout.close()
        assert first.wait(10) == 0
    assert second.returncode == 2
    assert f"pid {first.pid}" in second.stderr
    assert "The data is in" in rest


def test_sigterm_drains_what_has_come_within_five_seconds(tmp_path: Path) -> None:
    """Also while the server takes its time with an answer."""
    burst = list(generate_statuses(2_000))
    with SimulatedServer(posts_per_s=5) as server:
        command = [BIN / "mastostream", "collect", "--server", server.url, "--tag", "news"]
        process = subprocess.Popen(
            [*command, "--data", str(tmp_path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"ACCESS_TOKEN": "any"},
        )
        try:
            while not server.listeners():
                time.sleep(0.05)
            time.sleep(1)
            server.faults.begin("slow")
            for status in burst:
                server.push("update", status, "news")
            time.sleep(1)
            process.terminate()
            assert process.wait(5) == 0
        finally:
            process.kill()
    keys = {key for key, _ in records(tmp_path, "Mastodon_stream")}
    assert {json.loads(status)["id"] for status in burst} <= keys
