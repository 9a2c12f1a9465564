"""The newest records of windows, and the same numbers recounted from the posts that are held."""

import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from mastostream.core.topic_names import COUNTS, DASHBOARD, ENGAGEMENT, LATE

__all__ = ["check_counts", "check_windows_of", "newest"]

BIN: Final = Path(sys.executable).parent


@attrs.frozen
class Held:
    """What an index holds of a post in the end."""

    created_at: datetime
    engagement_score: int = 0
    language: str = ""

    @classmethod
    def of(cls, source: Mapping[str, Any]) -> "Held":
        created_at = datetime.fromisoformat(source["created_at"])
        language = (source["language"] or "und").partition("-")[0]
        return cls(created_at, source["engagement_score"], language)


def check_windows_of(data: Path) -> None:
    """Analyze what a data folder has, and compare all windows with the index that is there, too."""
    chosen = ("--analysis", "count", "--analysis", "dashboard", "--data", str(data))
    command = [BIN / "mastostream", "analyze", "--once", "--mode", "sql", *chosen]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(data / "mastostream.sqlite3")) as connection:
        bodies = connection.execute(
            f"SELECT body FROM documents WHERE index_name = '{ENGAGEMENT}' AND NOT deleted"
        ).fetchall()
        topics = {
            topic: [
                bytes(value)
                for (value,) in connection.execute(
                    "SELECT value FROM records JOIN partitions ON partitions.id = records.id >> 40 "
                    "WHERE topic = ? ORDER BY records.id",
                    (topic,),
                )
            ]
            for topic in (COUNTS, DASHBOARD, LATE)
        }
    held = [Held.of(msgspec.json.decode(body)) for (body,) in bodies]
    assert topics[LATE] == []
    check_counts(topics[COUNTS], [post.created_at for post in held])
    check_dashboards(topics[DASHBOARD], held)


def newest(values: Iterable[bytes]) -> dict[str, dict[str, Any]]:
    """Return the records that an index would keep, by key: of equal versions the later."""
    kept: dict[str, dict[str, Any]] = {}
    for value in values:
        record = msgspec.json.decode(value)
        before = kept.get(record["key"])
        if before is None or _observed(before) <= _observed(record):
            kept[record["key"]] = record
    return kept


def check_counts(records: Iterable[bytes], written: Iterable[datetime]) -> None:
    """Each window of 10 s counts the posts that were written in it; one that emptied counts 0."""
    counted = {_start(record): record["posts"] for record in newest(records).values()}
    expected = Counter(_floor(time, 10) for time in written)
    assert {start: posts for start, posts in counted.items() if posts} == expected


def check_dashboards(records: Iterable[bytes], held: Iterable[Held]) -> None:
    """The same of each minute, with the engagement and the languages of its posts."""
    minutes: defaultdict[datetime, list[Held]] = defaultdict(list)
    for post in held:
        minutes[_floor(post.created_at, 60)].append(post)
    expected = {
        start: (
            len(posts),
            sum(post.engagement_score for post in posts) / len(posts),
            max(post.engagement_score for post in posts),
            Counter(post.language for post in posts),
        )
        for start, posts in minutes.items()
    }
    found = {
        _start(record): (
            record["posts"],
            record["average_engagement"],
            record["max_engagement"],
            Counter(dict(zip(record["languages"], record["language_counts"], strict=True))),
        )
        for record in newest(records).values()
        if record["posts"]
    }
    assert found == expected


def _start(record: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(record["window_start"])


def _observed(record: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(record["observed_at"])


def _floor(time: datetime, seconds: int) -> datetime:
    return time - timedelta(seconds=time.timestamp() % seconds // 1, microseconds=time.microsecond)
