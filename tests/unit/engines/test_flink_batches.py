"""The columns of a batch that a Flink job processes, without Flink."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Account, Analysis, Post, encode
from mastostream.core.analyses import built_in
from mastostream.core.codec import decode
from mastostream.core.models import Rejected
from mastostream.core.topic_names import DEAD_LETTERS, STREAM
from mastostream.engines.flink.batches import Batches, column_names, unpacked
from mastostream.engines.outputs import dead_letter
from mastostream.engines.per_post import PerPost
from mastostream.ports.log import Record
from mastostream.testing.strategies import deletions, posts

NOW = datetime(2024, 1, 1, tzinfo=UTC)
NOW_MS = 1_704_067_200_000
FULL = built_in("stream", "full")

Output = tuple[str, str | None, bytes, Mapping[str, bytes]]


def each_twice(post: Post) -> list[dict[str, object]]:
    return [{"key": f"{post.key}-{number}", "language": post.language} for number in range(2)]


def only_bots(post: Post) -> Post | None:
    return post if post.account.bot else None


def not_on_sundays(post: Post) -> dict[str, object]:
    if post.created_at.weekday() == 6:
        raise ValueError("not today")
    return {"key": post.key}


OWN = (
    Analysis(name="twice", topic="twice", function=each_twice),
    Analysis(name="bots", topic="bots", function=only_bots),
    Analysis(name="weekdays", topic="weekdays", function=not_on_sundays),
)


def records_of(values: Sequence[bytes]) -> list[Record]:
    return [
        Record(STREAM, number % 3, number, 0, None, value, ())
        for number, value in enumerate(values)
    ]


def by_flink(analyses: Sequence[Analysis], values: Sequence[bytes]) -> list[list[Output]]:
    """Return the outputs of each record, from the columns of one batch."""
    records = records_of(values)
    columns = Batches(analyses, STREAM, lambda: NOW_MS).columns(
        values,
        [record.partition for record in records],
        [record.offset for record in records],
        [None] * len(values),
    )
    assert len(columns) == len(column_names(analyses))
    outputs: list[list[Output]] = []
    for row in zip(*columns, strict=True):
        row_outputs: list[Output] = []
        for number, analysis in enumerate(analyses):
            key, value = row[2 * number], row[2 * number + 1]
            if isinstance(value, bytes):
                assert analysis.topic is not None
                assert key is None or isinstance(key, str)
                row_outputs.append((analysis.topic, key, value, {}))
        if isinstance(row[-1], bytes):
            row_outputs += unpacked(row[-1])
        outputs.append(row_outputs)
    return outputs


def by_hand(analyses: Sequence[Analysis], values: Sequence[bytes]) -> list[list[Output]]:
    hosts = [PerPost(analysis, None) for analysis in analyses]
    outputs: list[list[Output]] = []
    for record in records_of(values):
        item = decode(record.value)
        records = []
        if isinstance(item, Rejected):
            records.append(dead_letter(record, "analyze", item.reasons, NOW_MS))
        for host in hosts:
            records += host.apply([(record, item)], NOW_MS)
        outputs.append(
            [(output.topic, output.key, output.value, dict(output.headers)) for output in records]
        )
    return outputs


def in_order(outputs: list[list[Output]]) -> list[list[tuple[str, str, bytes]]]:
    return [
        sorted((topic, key or "", value) for topic, key, value, _ in row_outputs)
        for row_outputs in outputs
    ]


VALUES = st.lists(st.one_of(posts().map(encode), deletions().map(encode), st.binary(max_size=30)))


@given(st.sampled_from([FULL, OWN, FULL + OWN, built_in("stream", "language")]), VALUES)
def test_columns_hold_what_the_local_engine_writes(
    analyses: Sequence[Analysis], values: list[bytes]
) -> None:
    assert in_order(by_flink(analyses, values)) == in_order(by_hand(analyses, values))


def test_what_is_usual_needs_no_second_function() -> None:
    post = Post(id="1", created_at=NOW, account=Account(acct="a"))
    columns = Batches(FULL, STREAM, lambda: NOW_MS).columns([encode(post)], [0], [0], ["1"])
    assert columns[-1] == [None]


def test_a_record_that_is_nothing_is_a_dead_letter() -> None:
    ((topic, key, value, headers),) = by_flink(FULL, [b""])[0]
    assert (topic, key, value) == (DEAD_LETTERS, f"{STREAM}/0/0", b"")
    assert headers["stage"] == b"analyze"


def test_a_function_that_fails_may_fail_the_job() -> None:
    """A record that is no post still becomes a dead letter, as no function has failed."""
    sunday = Post(id="1", created_at=datetime(2024, 1, 7, tzinfo=UTC), account=Account(acct="a"))
    batches = Batches(OWN, STREAM, lambda: NOW_MS, raises=True)
    assert batches.columns([b""], [0], [0], [None])[-1] != [None]
    with pytest.raises(ValueError, match="not today"):
        batches.columns([encode(sunday)], [0], [0], ["1"])
