"""The newest records of windows, and the same numbers recounted from the posts that are held."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs
import msgspec

__all__ = ["Held", "check_counts", "check_dashboards", "newest"]


@attrs.frozen
class Held:
    """What an index holds of a post in the end."""

    created_at: datetime
    engagement_score: int = 0
    language: str = ""

    @classmethod
    def of(cls, source: Mapping[str, Any]) -> "Held":
        created_at = datetime.fromisoformat(source["created_at"])
        return cls(created_at, source["engagement_score"], source["language"])


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
