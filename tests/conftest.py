"""Fixtures for all tests, and the order in which they run."""

import fcntl
import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

pytest_plugins = ["mastostream.testing.servers"]

_TURNS = "MASTOSTREAM_TEST_TURNS"
"""A folder that all worker processes of one run share."""

_EXPERIMENTS = "/test_chaos_of_broken_collectors.py::"
"""Of tests that wait more than they compute: each may run in a process of its own."""

settings.register_profile(
    "project",
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # a machine that is busy is no fault of the code
)
settings.register_profile(
    "campaign", settings.get_profile("project"), max_examples=600, derandomize=False
)
settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mastostream")
    group.addoption("--seed", type=int, default=1, help="of all that tests choose at random")
    group.addoption("--thorough", action="store_true", help="with all inputs, also slow ones")
    group.addoption(
        "--kills", type=int, default=5, help="how often a test of kill -9 kills each process"
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[_TURNS] = tempfile.mkdtemp(prefix="mastostream-turns-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(_TURNS, ""), ignore_errors=True)


def pytest_report_header(config: pytest.Config) -> str:
    return f"mastostream: --seed={config.option.seed} --kills={config.option.kills}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the machine for themselves come last, when all others are done."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


class _ByFile(LoadFileScheduling):
    """Gives the tests of one file to one process, but experiments to any."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if _EXPERIMENTS in nodeid else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return _ByFile(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let no other test of any worker process run beside one that is marked ``alone``.

    Each test holds a lock: most share it, those hold it exclusively. Whoever waits for it holds the
    gate meanwhile, so that a test which wants to be alone is not overtaken for ever.
    """
    folder = Path(os.environ[_TURNS])
    with (folder / "gate").open("wb") as gate, (folder / "turn").open("wb") as turn:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(turn, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        return (yield)


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """Of all that a test chooses at random; another one with ``--seed``."""
    return int(pytestconfig.option.seed)


@pytest.fixture(scope="session")
def thorough(pytestconfig: pytest.Config) -> bool:
    """Whether this is the campaign, which has time for inputs that take long to make."""
    return bool(pytestconfig.option.thorough)


@pytest.fixture
def rng(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.fixture
def kills(pytestconfig: pytest.Config) -> int:
    """How often a test kills each process; it records how often it did as the property ``kills``.

    The report of the campaign adds them up.
    """
    return int(pytestconfig.option.kills)


def corpus_folder() -> Path | None:
    """Where real statuses are, if they are: they are never part of the project."""
    folder = Path(
        os.environ.get("MASTOSTREAM_CORPUS", Path(__file__).parents[2] / "shared" / "data")
    )
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def real_statuses() -> Sequence[bytes]:
    """Real statuses of many servers and ages, one JSON object each; none where there are none."""
    folder = corpus_folder()
    if folder is None:
        return []
    import msgspec

    statuses = (folder / "statuses.jsonl").read_bytes().splitlines()
    for line in (folder / "quirks.jsonl").read_bytes().splitlines():
        statuses.append(bytes(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["status"]))
    for line in (folder / "same_uri_versions.jsonl").read_bytes().splitlines():
        versions = msgspec.json.decode(line, type=dict[str, msgspec.Raw])["versions"]
        for version in msgspec.json.decode(versions, type=list[dict[str, msgspec.Raw]]):
            statuses.append(bytes(version["status"]))
    for name in ("rtoot_mastodonsocial.json", "rtoot_malformed.json"):
        statuses.extend((folder / "streaming" / name).read_bytes().split(b"\n"))
    return [status for status in statuses if status.strip()]


@pytest.fixture(scope="session")
def corpus(real_statuses: Sequence[bytes]) -> Sequence[bytes]:
    """The same, where there are some."""
    if not real_statuses:
        pytest.skip("no real statuses here: set MASTOSTREAM_CORPUS to a folder that holds some")
    return real_statuses
