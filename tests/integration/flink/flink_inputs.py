"""The input of Flink and of the local engine: real statuses, a simulated run, generated posts."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mastostream import Post, Tag, decode, encode
from mastostream.core.topic_names import STREAM
from mastostream.log.sqlite import SqliteLogReader
from mastostream.ports.log import NewRecord
from mastostream.testing.chaos import ChaosExperiment, run_experiment
from mastostream.testing.conformance.log import read_all
from mastostream.testing.simulator import TrafficProfile
from mastostream.testing.strategies import deletions, posts

_UTC: Final = st.just(UTC)
LIVELY: Final = ChaosExperiment(
    hours=0.3,
    settle_hours=0.1,
    speed=120.0,
    kills=0,
    servers=2,
    tags=6,
    fault_every_s=0.0,
    refresh_after_s=(30.0, 120.0),
    traffic_profile=TrafficProfile(
        posts_per_s=0.3,
        latest_s=500.0,
        changes_within_s=300.0,
        late_share=0.2,
        edit_share=0.2,
        delete_share=0.2,
        growth_s=60.0,
    ),
)
"""Edits, deletions, late posts, and the disorder of several servers."""

REPEATED_AFTER: Final = 7
"""Some records come again this many records later, as after a crash."""


def history(real: Sequence[bytes], folder: Path | None) -> list[NewRecord]:
    """Return real statuses and a simulated run, in the order of their creation, some of them twice.

    The run takes a quarter of a minute. It is left out if ``folder`` is ``None``.
    """
    simulated = [] if folder is None else run(folder)
    start = min(
        (post.created_at for post in map(decode, values(simulated)) if isinstance(post, Post)),
        default=datetime.max.replace(tzinfo=UTC),
    )
    dated = sorted(((written_at(value), value) for value in real), key=lambda pair: pair[0])
    before = [NewRecord(STREAM, "", value) for created_at, value in dated if created_at < start]
    after = [NewRecord(STREAM, "", value) for created_at, value in dated if created_at >= start]
    return twice([*before, *simulated, *after])


def run(folder: Path) -> list[NewRecord]:
    """Return what a collector writes that reads from simulated servers."""
    run_experiment(LIVELY, folder)
    path = folder / "data" / "mastostream.sqlite3"
    with closing(SqliteLogReader(path, topic=STREAM, group="test")) as reader:
        return [NewRecord(STREAM, record.key, record.value) for record in read_all(reader)]


def values(records: Sequence[NewRecord]) -> list[bytes]:
    return [record.value for record in records]


def written_at(value: bytes) -> datetime:
    item = decode(value)
    return item.created_at if isinstance(item, Post) else datetime.min.replace(tzinfo=UTC)


def twice(records: Sequence[NewRecord]) -> list[NewRecord]:
    """Return the records, with each 20th one again a little later."""
    repeated: list[NewRecord] = []
    for number, record in enumerate(records):
        repeated.append(record)
        if number % 20 == 0 and number >= REPEATED_AFTER:
            repeated.append(records[number - REPEATED_AFTER])
    return repeated


def arbitrary(
    since: datetime, until: datetime, tags: Sequence[str] | None = None
) -> list[NewRecord]:
    """Return posts and deletions that hypothesis generates, in the order of their creation.

    Their hashtags are chosen from ``tags``, if these are given: SQL does not know every letter.
    """
    made: list[bytes] = []
    times = st.datetimes(since.replace(tzinfo=None), until.replace(tzinfo=None), timezones=_UTC)
    some_post = posts(created_at=times)
    if tags is not None:
        chosen = st.lists(st.sampled_from([Tag(name=name) for name in tags])).map(tuple)
        some_post = st.builds(lambda post, some: attrs.evolve(post, tags=some), some_post, chosen)

    @settings(max_examples=300, phases=[Phase.generate], database=None)
    @given(some_post | deletions())
    def make(item: object) -> None:
        made.append(encode(item))  # type: ignore[arg-type]  # a post or a deletion

    make()
    return [NewRecord(STREAM, None, value) for value in sorted(made, key=written_at)]
