"""Fixtures for all tests."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "project",
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # a machine that is busy is no fault of the code
)
settings.load_profile("project")


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
