"""Connects windowed analyses to the log: records become versions of posts, windows become records.

:mod:`core.windows` works between the two. Each engine keeps what is known of the posts, and decides
when it writes a window.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import attrs

from mastostream.core.analyses import Analysis
from mastostream.core.codec import encode
from mastostream.core.dead_letters import DeadLetter, dead_letter_headers
from mastostream.core.models import Deletion, Post
from mastostream.core.time import from_ms, to_ms
from mastostream.core.topic_names import DEAD_LETTERS, LATE
from mastostream.core.window_records import LateRecord, window_of
from mastostream.core.windows import (
    Entry,
    WindowSpec,
    counted_values,
    newest_observation_ms,
    not_countable,
)
from mastostream.engines.outputs import as_sequence, dead_letter, explain, to_record
from mastostream.engines.per_post import Decoded
from mastostream.ports.log import NewRecord

__all__ = ["Sighting", "Sightings", "WindowOutputs", "sightings_of", "spec_of", "window_records"]


@attrs.frozen
class Sighting:
    """A version of a post that can be counted, or a deletion.

    Attributes:
        key: the key of the post.
        observed_ms: when it was observed, in milliseconds since the epoch, as all times are.
        logged_ms: when the log took it.
        created_ms: when the post was written; ``None`` for a deletion.
        value: what the analysis keeps of the post, as JSON; empty for a deletion.
    """

    key: str
    observed_ms: int
    logged_ms: int
    created_ms: int | None
    value: bytes


@attrs.frozen(kw_only=True)
class Sightings:
    """What a batch of records brings for the windows of one analysis.

    Attributes:
        sightings: the versions and deletions, in the order of the records.
        records: late records and dead letters, encoded for the log.
        late: the number of late records among them.
        errors: what ``value`` raised for each post that became a dead letter.
    """

    sightings: list[Sighting]
    records: list[NewRecord]
    late: int
    errors: list[str]


@attrs.frozen(kw_only=True)
class WindowOutputs:
    """What the posts of a window give.

    Attributes:
        records: the results, or a dead letter, encoded for the log.
        shown: the results before they were encoded.
        error: what ``result`` raised; ``None`` if it did not.
    """

    records: list[NewRecord]
    shown: list[object]
    error: str | None = None


def spec_of(analysis: Analysis, horizon_ms: int) -> WindowSpec:
    """Return the rules of the windows of an analysis.

    Args:
        analysis: an analysis with an aggregate, which sets the size of the windows.
        horizon_ms: how long after its creation a post may be observed and still count.
    """
    aggregate = analysis.aggregate
    assert aggregate is not None  # noqa: S101 - the engines sort analyses by their kind
    return WindowSpec(
        size_ms=aggregate.size_s * 1000,
        slide_ms=aggregate.slide_s * 1000,
        horizon_ms=horizon_ms,
    )


def sightings_of(
    analysis: Analysis, spec: WindowSpec, batch: Iterable[Decoded], now_ms: int
) -> Sightings:
    """Return what these records bring for the windows of an analysis.

    A post becomes a dead letter where the aggregate's ``value`` fails for it, and a late record if
    it was seen for the first time and cannot be counted.
    """
    aggregate = analysis.aggregate
    assert aggregate is not None  # noqa: S101 - the engines sort analyses by their kind
    sightings: list[Sighting] = []
    records: list[NewRecord] = []
    errors: list[str] = []
    late = 0
    for record, item in batch:
        if type(item) is Deletion:
            observed_ms = to_ms(item.observed_at)
            sightings.append(Sighting(item.key, observed_ms, record.timestamp_ms, None, b""))
        if type(item) is not Post:
            continue
        created_ms, observed_ms = to_ms(item.created_at), to_ms(item.observed_at)
        bound_ms = record.timestamp_ms if item.mastostream is None else observed_ms
        reason = not_countable(spec, created_ms, observed_ms, bound_ms)
        if reason is not None:
            if item.event == "new":
                late += 1
                records.append(_late_record(analysis, spec, item, reason))
            continue
        try:
            value = encode(aggregate.value(item))
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            errors.append(explain(error))
            records.append(dead_letter(record, _stage(analysis), errors[-1:], now_ms))
            continue
        sightings.append(Sighting(item.key, observed_ms, record.timestamp_ms, created_ms, value))
    return Sightings(sightings=sightings, records=records, late=late, errors=errors)


def window_records(
    analysis: Analysis, start_ms: int, entries: Mapping[str, Entry], now_ms: int
) -> WindowOutputs:
    """Return the results of a window from the entries of its posts, of which there is at least one.

    Where the aggregate's ``result`` fails, the window becomes one dead letter, whose offset is the
    start of the window in milliseconds since the epoch.
    """
    aggregate, topic = analysis.aggregate, analysis.topic
    assert aggregate is not None  # noqa: S101 - the engines sort analyses by their kind
    end_ms = start_ms + aggregate.size_s * 1000
    window = window_of(start_ms, end_ms, newest_observation_ms(entries))
    values = counted_values(entries)
    try:
        shown = list(as_sequence(aggregate.result(window, values)))
        records = (
            []
            if topic is None
            else [to_record(topic, item, None, b"", window.key) for item in shown]
        )
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        letter = DeadLetter(
            topic=topic or analysis.name,
            partition=-1,
            offset=start_ms,
            key=window.key,
            stage=_stage(analysis),
            reasons=(f"window {window.key}: {explain(error)}",),
            time=datetime.fromtimestamp(now_ms / 1000, UTC),
            raw=encode(values),
        )
        dead = NewRecord(DEAD_LETTERS, letter.origin, letter.raw, dead_letter_headers(letter))
        return WindowOutputs(records=[dead], shown=[], error=explain(error))
    return WindowOutputs(records=records, shown=shown)


def _stage(analysis: Analysis) -> str:
    return f"analyze:{analysis.name}"


def _late_record(analysis: Analysis, spec: WindowSpec, post: Post, reason: str) -> NewRecord:
    record = LateRecord(
        key=post.key,
        observed_at=post.observed_at,
        analysis=analysis.name,
        reason=reason,
        created_at=post.created_at,
        window_start=from_ms(spec.starts_of(to_ms(post.created_at))[-1]),
    )
    return NewRecord(LATE, post.key, encode(record))
