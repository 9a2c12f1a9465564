"""A naive recount of windows: it looks at all records at once, and uses no function of windows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from mastostream import Analysis, Deletion, Post, encode
from mastostream.core.codec import decode
from mastostream.core.time import to_ms
from mastostream.core.window_records import window_of
from mastostream.ports.log import NewRecord, Record

HOUR_MS = 3_600_000


@attrs.frozen
class Version:
    """A version of a post that can be counted. Of equal ones that with the higher position counts.

    Times are milliseconds since the epoch.
    """

    observed_ms: int
    position: int
    created_ms: int
    value: Any


def newest_records(
    analysis: Analysis, records: Iterable[Record], horizon_ms: int
) -> dict[str, Any]:
    """Return what the newest record of each window has to say, by its key, as JSON.

    The analysis gives at most one record a window; windows for which it fails are left out.
    """
    aggregate = analysis.aggregate
    assert aggregate is not None
    expected = {}
    for start_ms, posts in windows(analysis, records, horizon_ms).items():
        observed_ms = max(observed_ms for observed_ms, _ in posts.values())
        window = window_of(start_ms, start_ms + aggregate.size_s * 1000, observed_ms)
        counted = [posts[key][1] for key in sorted(posts)]
        try:
            result = aggregate.result(window, [found.value for found in counted if found])
        except ValueError:
            continue
        expected[window.key] = msgspec.json.decode(encode(result))
    return expected


def windows(
    analysis: Analysis, records: Iterable[Record], horizon_ms: int
) -> dict[int, dict[str, tuple[int, Version | None]]]:
    """Return the posts of each window, by the window's start and the key of the post.

    Each has its newest observation, and the version that counts; ``None`` if none does.
    """
    versions, deletions = countable(analysis, records, horizon_ms)
    found: dict[int, dict[str, tuple[int, Version | None]]] = defaultdict(dict)
    for key, known in versions.items():
        newest = max(known, key=lambda version: (version.observed_ms, version.position))
        gone = [
            deleted_ms
            for deleted_ms, position in deletions[key]
            if (deleted_ms, position) > (newest.observed_ms, newest.position)
            and deleted_ms - newest.created_ms <= horizon_ms
        ]
        observed_ms = max(gone, default=newest.observed_ms)
        for version in known:
            for start_ms in starts(analysis, version.created_ms):
                found[start_ms].setdefault(key, (observed_ms, None))
        if not gone:
            for start_ms in starts(analysis, newest.created_ms):
                found[start_ms][key] = (observed_ms, newest)
    return found


def countable(
    analysis: Analysis, records: Iterable[Record], horizon_ms: int
) -> tuple[Mapping[str, Sequence[Version]], Mapping[str, Sequence[tuple[int, int]]]]:
    """Return the versions that can be counted, and all deletions, by the keys of the posts."""
    aggregate = analysis.aggregate
    assert aggregate is not None
    versions: dict[str, list[Version]] = defaultdict(list)
    deletions: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for position, record in enumerate(records):
        item = decode(record.value)
        if isinstance(item, Deletion):
            deletions[item.key].append((to_ms(item.observed_at), position))
        if not isinstance(item, Post) or why_not(item, record, horizon_ms) is not None:
            continue
        try:
            value = msgspec.json.decode(encode(aggregate.value(item)))
        except ValueError:
            continue
        observed_ms, created_ms = to_ms(item.observed_at), to_ms(item.created_at)
        versions[item.key].append(Version(observed_ms, position, created_ms, value))
    return versions, deletions


def why_not(post: Post, record: Record, horizon_ms: int) -> str | None:
    """Return why a version of a post cannot be counted, ``None`` if it can."""
    created_ms, observed_ms = to_ms(post.created_at), to_ms(post.observed_at)
    if observed_ms - created_ms > horizon_ms:
        return "late"
    seen_ms = observed_ms if post.mastostream else record.timestamp_ms
    return "ahead" if created_ms - seen_ms > HOUR_MS else None


def late_posts(records: Iterable[Record], horizon_ms: int) -> set[tuple[str, str]]:
    """Return the key of each first sight that cannot be counted, with the reason."""
    found = set()
    for record in records:
        item = decode(record.value)
        if isinstance(item, Post) and item.event == "new":
            reason = why_not(item, record, horizon_ms)
            if reason:
                found.add((item.key, reason))
    return found


def starts(analysis: Analysis, created_ms: int) -> list[int]:
    """Return the starts of the windows that have a time, by trying all that are near."""
    aggregate = analysis.aggregate
    assert aggregate is not None
    size_ms, slide_ms = aggregate.size_s * 1000, aggregate.slide_s * 1000
    first = (created_ms - size_ms) // slide_ms
    near = [number * slide_ms for number in range(first - 1, first + size_ms // slide_ms + 3)]
    return [start_ms for start_ms in near if start_ms <= created_ms < start_ms + size_ms]


def newest(outputs: Iterable[NewRecord | Record]) -> dict[str, Any]:
    """Return the newest record of each key, as JSON: of equal ones the later."""
    found: dict[str, Any] = {}
    for output in outputs:
        record = msgspec.json.decode(output.value)
        known = found.get(str(output.key))
        if known is None or record["observed_at"] >= known["observed_at"]:
            found[str(output.key)] = record
    return found
