"""What the newest record of each window has to be: a recount of all records of the log, at once."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from mastostream import Post, Rejected, decode, encode
from mastostream.core.analyses import Analysis
from mastostream.core.window_records import Window
from mastostream.ports.log import Record

HORIZON = timedelta(days=7)
AHEAD = timedelta(hours=1)

Json = Mapping[str, Any]


class Version(NamedTuple):
    """A version of a post: of two, the greater one is the newer."""

    observed_at: datetime
    number: int
    created_at: datetime
    post: Post


def whole_ms(time: datetime) -> datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


class Recount:
    """The records of a log, in its order, as windows have to count them."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._versions: dict[str, list[Version]] = {}
        self._deletions: dict[str, list[tuple[datetime, int]]] = {}
        self._late: list[tuple[Post, str]] = []
        for number, record in enumerate(records):
            item = decode(record.value)
            if isinstance(item, Rejected):
                continue
            observed_at = whole_ms(item.observed_at)
            if not isinstance(item, Post):
                self._deletions.setdefault(item.key, []).append((observed_at, number))
                continue
            created_at = whole_ms(item.created_at)
            arrived_at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
            bound = arrived_at if item.mastostream is None else observed_at
            if observed_at - created_at > HORIZON:
                self._reject(item, "late")
            elif created_at - bound > AHEAD:
                self._reject(item, "ahead")
            else:
                version = Version(observed_at, number, created_at, item)
                self._versions.setdefault(item.key, []).append(version)

    def _reject(self, post: Post, reason: str) -> None:
        if post.event == "new":
            self._late.append((post, reason))

    def windows(self, analysis: Analysis) -> dict[str, Json]:
        """Return the record of each window, by its key."""
        aggregate = analysis.aggregate
        assert aggregate is not None
        observed: dict[datetime, datetime] = {}
        counted: dict[datetime, list[Any]] = {}
        for key in sorted(self._versions):
            versions = self._versions[key]
            newest = max(versions)
            deletions = [
                at
                for at, number in self._deletions.get(key, [])
                if at - newest.created_at <= HORIZON and (at, number) > newest[:2]
            ]
            newest_at = max([newest.observed_at, *deletions])
            for start in {start for each in versions for start in starts(analysis, each[2])}:
                observed[start] = max(newest_at, observed.get(start, newest_at))
                counted.setdefault(start, [])
            if not deletions:
                value = json.loads(encode(aggregate.value(newest.post)))
                for start in starts(analysis, newest.created_at):
                    counted[start].append(value)
        length = timedelta(seconds=aggregate.size_s)
        records = (
            aggregate.result(
                Window(start=start, end=start + length, observed_at=observed[start]), values
            )
            for start, values in counted.items()
        )
        return {record["key"]: record for record in map(as_json, records)}

    def late(self, analysis: Analysis) -> list[Json]:
        """Return the records of new posts that do not count, in the order of the log."""
        return [
            {
                "key": post.key,
                "observed_at": text(whole_ms(post.observed_at)),
                "analysis": analysis.name.removeprefix("window-"),
                "reason": reason,
                "created_at": text(whole_ms(post.created_at)),
                "window_start": text(max(starts(analysis, post.created_at))),
            }
            for post, reason in self._late
        ]


def starts(analysis: Analysis, created_at: datetime) -> list[datetime]:
    assert analysis.aggregate is not None
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    slide = timedelta(seconds=analysis.aggregate.slide_s)
    last = epoch + (created_at - epoch) // slide * slide
    return [
        last - slide * n for n in range(analysis.aggregate.size_s // analysis.aggregate.slide_s)
    ]


def as_json(record: object) -> Json:
    return canonical(json.loads(encode(record)))


def canonical(record: Json) -> Json:
    """Return a record in which equal times are equal texts."""
    times = {
        name: text(datetime.fromisoformat(value))
        for name, value in record.items()
        if name in {"observed_at", "window_start", "window_end", "created_at"}
    }
    return {**record, **times}


def text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")


def newest(records: Sequence[Json]) -> dict[str, Json]:
    """Return the newest of the records of each key: of equal versions the later one."""
    found: dict[str, Json] = {}
    for record in map(canonical, records):
        before = found.get(record["key"])
        if before is None or record["observed_at"] >= before["observed_at"]:
            found[record["key"]] = record
    return found
