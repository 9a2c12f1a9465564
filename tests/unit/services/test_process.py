"""A process is identified reliably, and no other process ever gets a signal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mastostream.exceptions import FatalError
from mastostream.services.process import Command, Process, run_tool

PATIENCE_S = 20.0


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(") ")[2].split()[0] != "Z"


def group(leader: int) -> list[int]:
    """Return the processes in the leader's process group, as the kernel lists them."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            pids.append(int(path.parent.name))
    return pids


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process("sleeper", tmp_path)
    yield process
    process.kill()


@pytest.fixture
def foreign() -> Iterator[subprocess.Popen[bytes]]:
    """A process that was not started by :class:`Process`."""
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        yield process
        process.kill()


def sleeper(folder: Path) -> Command:
    """Return a harmless command whose command line names the folder."""
    return Command(arguments=["sh", "-c", "sleep 1000; :", str(folder)])


def record_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text()


def test_another_object_finds_the_process_by_its_folder(process: Process, tmp_path: Path) -> None:
    assert process.pid is None
    process.start(sleeper(tmp_path))
    again = Process("sleeper", tmp_path)
    assert process.pid is not None
    assert again.pid == process.pid
    assert Process("other", tmp_path).pid is None


def test_stopping_ends_all_that_it_started_and_is_told(process: Process, tmp_path: Path) -> None:
    process.start(sleeper(tmp_path))
    leader = process.pid
    assert leader is not None
    wait_until(lambda: len(group(leader)) == 2)
    assert Process("sleeper", tmp_path).stop(patience_s=0.2)
    assert group(leader) == []
    assert process.pid is None
    assert not process.crashed
    assert not process.stop()


def test_one_that_ignores_the_request_is_killed(process: Process, tmp_path: Path) -> None:
    code = "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True)\n"
    process.start(Command(arguments=[sys.executable, "-c", f"{code}signal.pause()", str(tmp_path)]))
    wait_until(lambda: "ready" in process.log_path.read_text())
    assert process.stop(patience_s=0.2)
    assert process.pid is None


def test_a_request_to_end_is_heard(process: Process, tmp_path: Path) -> None:
    script = "trap 'echo ended well; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    process.start(Command(arguments=["sh", "-c", script, str(tmp_path)]))
    wait_until(lambda: "ready" in process.log_path.read_text())
    assert process.stop()
    assert "ended well" in process.log_path.read_text()


def test_a_crash_is_told_from_an_end(process: Process, tmp_path: Path) -> None:
    process.start(sleeper(tmp_path))
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: process.pid is None)
    assert process.crashed
    process.start(sleeper(tmp_path))
    assert process.pid not in {None, pid}


def test_what_a_dead_leader_left_is_ended(process: Process, tmp_path: Path) -> None:
    """For example, Elasticsearch's server outlives its launcher for a moment."""
    process.start(sleeper(tmp_path))
    leader = process.pid
    assert leader is not None
    wait_until(lambda: len(group(leader)) == 2)
    os.kill(leader, signal.SIGKILL)
    wait_until(lambda: process.pid is None)
    assert len(group(leader)) == 1
    assert process.kill()
    assert group(leader) == []


def test_a_number_that_was_given_to_another_process_is_not_believed(tmp_path: Path) -> None:
    """After a restart of the machine, another process may have the recorded PID.

    Here the other process even names the folder, as a program that reads the log does.
    """
    log = tmp_path / "sleeper.log"
    log.touch()
    with subprocess.Popen(["tail", "-f", str(log)], start_new_session=True) as foreign:
        before = record_of(foreign.pid).split()
        before[21] = str(int(before[21]) - 1)
        (tmp_path / "sleeper.process").write_text(" ".join(before))
        process = Process("sleeper", tmp_path)
        assert process.pid is None
        assert not process.stop()
        (tmp_path / "sleeper.process").write_text(" ".join(before))
        assert not process.kill()
        assert alive(foreign.pid)
        foreign.kill()


def test_a_process_that_does_not_name_the_folder_is_not_believed(
    tmp_path: Path, foreign: subprocess.Popen[bytes]
) -> None:
    """Even if PID and start time agree, as after a copy of the folder."""
    (tmp_path / "sleeper.process").write_text(record_of(foreign.pid))
    process = Process("sleeper", tmp_path)
    assert process.pid is None
    assert not process.stop()
    assert alive(foreign.pid)


@pytest.mark.parametrize("record", ["", "garbage", "1", "99999999 (x) S 1 1 1", "\0\0"])
def test_a_damaged_record_is_no_process(tmp_path: Path, record: str) -> None:
    (tmp_path / "sleeper.process").write_text(record)
    process = Process("sleeper", tmp_path)
    assert process.pid is None
    assert not process.stop()


def test_it_is_recorded_before_it_runs(tmp_path: Path) -> None:
    """The starter may be killed at any moment: even then no server runs without a record."""
    process = Process("sleeper", tmp_path)
    check = f'test -s "{tmp_path}/sleeper.process" && echo recorded'
    process.start(Command(arguments=["sh", "-c", check]))
    wait_until(lambda: process.pid is None)
    assert process.log_path.read_text() == "recorded\n"


def test_it_outlives_the_one_that_started_it(process: Process, tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from mastostream.services.process import Command, Process\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "Process('sleeper', folder).start(Command(arguments=['sleep', '1000']))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert process.pid is not None
    assert process.stop()


def test_it_gets_no_secrets(
    process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCESS_TOKEN", "tok3n")
    process.start(Command(arguments=["env"], environment={"OWN": "value"}))
    wait_until(lambda: process.pid is None)
    output = process.log_path.read_text()
    assert "OWN=value" in output
    assert "tok3n" not in output


def test_the_log_of_the_run_before_is_kept(process: Process, tmp_path: Path) -> None:
    for text in ("first", "second"):
        process.start(Command(arguments=["echo", text]))
        wait_until(lambda: process.pid is None)
    assert process.log_path.read_text() == "second\n"
    assert (tmp_path / "sleeper.log.1").read_text() == "first\n"


def test_a_program_that_is_missing_is_seen_in_the_log(process: Process) -> None:
    process.start(Command(arguments=["/no/such/program"]))
    wait_until(lambda: process.pid is None)
    assert "/no/such/program" in process.log_path.read_text()


def test_a_tool_that_fails_says_how() -> None:
    with pytest.raises(FatalError, match=r"cannot be done:\n  what it said"):
        run_tool(["sh", "-c", "echo what it said >&2; exit 3"], "cannot be done")
    run_tool(["grep", "-q", "text"], "cannot be done", text="some text")
