"""The pool of servers that the processes of a test run share, as far as no Java is needed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mastostream.exceptions import ConfigurationError, FatalError
from mastostream.testing.server_pool import ServerPool


@pytest.fixture
def pool() -> Iterator[ServerPool]:
    pool = ServerPool()
    yield pool
    pool.close()


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_why_a_server_cannot_run_is_told_to_every_process(pool: ServerPool, no_java: None) -> None:
    for member in (pool, ServerPool(pool.folder), pool):
        with pytest.raises(ConfigurationError, match="Java"):
            member.get("kafka")


def test_a_host_that_ends_before_it_said_anything_is_noticed(
    pool: ServerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # so that Python itself cannot start
    for _ in range(2):
        with pytest.raises(FatalError, match=r"host kafka has ended[^$]*Fatal Python"):
            pool.get("kafka")


def test_only_its_owner_ends_a_pool(pool: ServerPool, no_java: None) -> None:
    member = ServerPool(pool.folder)
    member.start("kafka")
    member.close()
    assert pool.folder.exists()
    with pytest.raises(ConfigurationError):
        pool.get("kafka")
    pool.close()
    assert not pool.folder.exists()
    pool.close()


def test_a_pool_ends_with_its_owner_even_if_that_is_killed(no_java: None) -> None:
    program = (
        "import os, signal\n"
        "from mastostream.testing.server_pool import ServerPool\n"
        "pool = ServerPool()\n"
        "pool.start('kafka')\n"
        "print(pool.folder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    folder = Path(ended.stdout.strip())
    while folder.exists():  # if it stays, the test runs into its time-out
        pass
