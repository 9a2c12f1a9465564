"""Spark reads the archive, as the example does."""

import os
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mastostream import Post, decode, hashtag_counts
from mastostream.config import HdfsSettings
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import Record
from mastostream.services import HdfsServer
from mastostream.sinks.archive import FileArchive, open_place
from mastostream.testing.simulator import generate_statuses

pytestmark = pytest.mark.campaign

EXAMPLE = Path(__file__).parents[3] / "examples" / "spark_reader.py"
STATUSES = [status for status in generate_statuses(200) if b"\xc3" not in status]
DELETED = (
    b'{"id":"gone","mastostream":{"key":"%s","event":"delete",'
    b'"observed_at":"2100-01-01T00:00:00Z"}}'
)


def spark(folder: str) -> dict[str, list[str]]:
    """Run the example; return what it says, by the first word."""
    done = subprocess.run(
        [sys.executable, EXAMPLE, folder],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"SPARK_LOCAL_IP": "127.0.0.1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        kind, _, rest = line.partition(" ")
        told.setdefault(kind, []).append(rest)
    return told


def filled(place: str, **options: Any) -> str:
    """An archive with each status twice, one of them deleted; return the folder of its topic."""
    filesystem, folder = open_place(place, HdfsSettings())
    sink = FileArchive(
        folder, "t", clock=SystemClock(), filesystem=filesystem, rotate_records=90, **options
    )
    sink.reload()
    first = decode(STATUSES[0])
    assert isinstance(first, Post)
    values = [*STATUSES, *STATUSES, DELETED % first.key.encode(), b"\xff no status"]
    day_ms = 86_400_000
    sink.write(
        [
            Record("t", number % 2, number // 2, number // 200 * day_ms, None, value)
            for number, value in enumerate(values)
        ]
    )
    sink.close()
    return f"{place}/t"


def expected() -> tuple[int, Counter[str]]:
    posts = {}
    for status in STATUSES[1:]:
        post = decode(status)
        assert isinstance(post, Post)
        posts[post.key] = post
    tags = Counter(each.tag for post in posts.values() for each in hashtag_counts(post))
    return len(posts), tags


def check(told: dict[str, list[str]]) -> None:
    posts, tags = expected()
    assert told["records"] == [str(2 * len(STATUSES) + 2)]
    assert told["posts"] == [str(posts)]
    most = sorted(tags.items(), key=lambda each: (-each[1], each[0]))[:10]
    assert told["hashtag"] == [f"{tag!r} {count}" for tag, count in most]


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "none"},
        {"compression": "gzip", "by_date": True},
        {},
        {"compression": "zstd", "by_date": True},
        {"form": "parquet", "by_date": True},
    ],
    ids=str,
)
def test_an_archive_in_a_folder(tmp_path: Path, options: dict[str, Any]) -> None:
    check(spark(filled(str(tmp_path), **options)))


def test_an_archive_in_hdfs(hdfs_server: HdfsServer) -> None:
    check(spark(filled(f"{hdfs_server.url}/test-{uuid.uuid4().hex}")))
