"""The local engine."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream import Account, Aggregate, Analysis, Deletion, Post, Stamp, Tag, Window, encode
from mastostream.core.analyses import built_in
from mastostream.core.dead_letters import dead_letter_of
from mastostream.engines.local import LocalEngine
from mastostream.exceptions import ConfigurationError, RetriableError
from mastostream.log.sqlite import (
    Retention,
    SqliteEngineLog,
    SqliteLogReader,
    SqliteLogWriter,
    apply_retention,
)
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import NewRecord, Positions, Progress, Record
from mastostream.testing.fakes import FakeEngineLog, FakeLog

START = datetime(2024, 1, 1, tzinfo=UTC)
ALL = (*built_in("stream", "full"), *built_in("sql", "count"), *built_in("sql", "dashboard"))


def post(number: int, second: float = 0.0, event: str = "new") -> bytes:
    created_at = START + timedelta(seconds=second)
    stamp = Stamp(key=f"k{number}", event=event, instance="i", observed_at=created_at)  # type: ignore[arg-type]  # drawn from the four
    return encode(
        Post(
            id=str(number),
            created_at=created_at,
            account=Account(acct=f"a{number % 3}"),
            language=("en", "de")[number % 2],
            favourites_count=number,
            tags=(Tag(name="News"),),
            mastostream=stamp,
        )
    )


def deletion(number: int, second: float) -> bytes:
    stamp = Stamp(key=f"k{number}", event="delete", observed_at=START + timedelta(seconds=second))
    return encode(Deletion(id=str(number), mastostream=stamp))


def append(path: Path, values: Sequence[bytes]) -> None:
    writer = SqliteLogWriter(path)
    writer.append([NewRecord("Mastodon_stream", None, value) for value in values])
    writer.close()


def engine(path: Path, analyses: Sequence[Analysis] = ALL, batch: int = 1000) -> LocalEngine:
    log = SqliteEngineLog(path, topic="Mastodon_stream")
    return LocalEngine(log, analyses, clock=SystemClock(), batch=batch)


def run(path: Path, analyses: Sequence[Analysis] = ALL, batch: int = 1000) -> LocalEngine:
    some = engine(path, analyses, batch)
    while some.step(0.0):
        pass
    some.write_windows()
    some.finish()
    some.close()
    return some


def topic(path: Path, name: str) -> list[Record]:
    reader = SqliteLogReader(path, topic=name, group="test")
    records = list(reader.read(100_000, 0.0))
    reader.close()
    return records


TOPICS = (
    "mastodon-engagement",
    "mastodon-hashtags",
    "mastodon-counts",
    "mastodon-dashboard",
    "mastodon-late",
    "mastodon-dead-letters",
)


def outputs(path: Path) -> dict[str, object]:
    """Return all that was written, of windows the newest record of each."""
    written: dict[str, object] = {
        name: [(record.key, record.value) for record in topic(path, name)] for name in TOPICS
    }
    for name in ("mastodon-counts", "mastodon-dashboard"):
        written[name] = newest(topic(path, name))
    # Several analyses write there, and only the order of what one of them wrote depends on the
    # input.
    written["mastodon-late"] = Counter(record.value for record in topic(path, "mastodon-late"))
    return written


def newest(records: Sequence[Record]) -> dict[str | None, bytes]:
    """Return the records that an index keeps: the newest of each key, of equal ones the later."""
    kept: dict[str | None, tuple[str, bytes]] = {}
    for record in records:
        observed_at = json.loads(record.value)["observed_at"]
        if record.key not in kept or kept[record.key][0] <= observed_at:
            kept[record.key] = observed_at, record.value
    return {key: value for key, (_, value) in kept.items()}


VALUES = st.lists(
    st.tuples(
        st.integers(0, 15), st.integers(0, 300), st.sampled_from(("new", "edit", "refresh"))
    ).map(lambda drawn: post(*drawn))
    | st.just(b"no post"),
    max_size=40,
)


@settings(max_examples=25)
@given(VALUES, st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(1, 9))
def test_batches_restarts_and_crashes_change_no_output(
    tmp_path_factory: pytest.TempPathFactory, values: list[bytes], lives: list[int], batch: int
) -> None:
    folder = tmp_path_factory.mktemp("engine")
    append(folder / "whole.sqlite3", values)
    append(folder / "cut.sqlite3", values)
    run(folder / "whole.sqlite3")
    for number, steps in enumerate(lives):
        some = engine(folder / "cut.sqlite3", batch=batch)
        for _ in range(steps):
            some.step(0.0)
        if number % 2:
            some.finish()
        some.close()  # without finish() it is what a crash between two commits leaves
    run(folder / "cut.sqlite3", batch=batch)
    assert outputs(folder / "cut.sqlite3") == outputs(folder / "whole.sqlite3")


def test_a_second_run_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(number, number) for number in range(200)])
    run(path)
    before = outputs(path)
    assert len(before["mastodon-engagement"]) == 200
    run(path)
    assert outputs(path) == before


def test_an_analysis_that_is_added_later_begins_at_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(number) for number in range(10)])
    run(path, built_in("stream", "engagement"))
    run(path, built_in("stream", "full"))
    assert len(topic(path, "mastodon-engagement")) == 10
    assert len(topic(path, "mastodon-hashtags")) == 10


def text_length(some: Post) -> dict[str, object]:
    return {"key": some.key, "observed_at": some.observed_at, "length": len(some.id)}


def test_an_analysis_of_another_version_begins_at_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(number) for number in range(10)])
    lengths = Analysis(name="lengths", topic="lengths", function=text_length)
    edited = attrs.evolve(lengths, version=2)
    for analysis, written in ((lengths, 10), (lengths, 10), (edited, 20), (edited, 20)):
        run(path, (analysis,))
        assert len(topic(path, "lengths")) == written


@pytest.mark.parametrize("crashes", [False, True])
def test_from_the_beginning_every_result_comes_anew_once(tmp_path: Path, crashes: bool) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(number, number) for number in range(100)])
    run(path)
    before = outputs(path)
    log = SqliteEngineLog(path, topic="Mastodon_stream")
    some = LocalEngine(log, ALL, clock=SystemClock(), batch=30, from_beginning=True)
    some.step(0.0)
    if crashes:
        some.close()
        some = engine(path)
    while some.step(0.0):
        pass
    some.write_windows()
    some.close()
    after = outputs(path)
    for name in ("mastodon-counts", "mastodon-dashboard"):
        assert after[name] == before[name]
    engagement = before["mastodon-engagement"]
    assert isinstance(engagement, list)
    assert after["mastodon-engagement"] == engagement * 2


def test_deletions_pass_through_each_per_post_topic_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    stamp = Stamp(key="k1", event="delete", instance="i", observed_at=START)
    value = encode(Deletion(id="1", mastostream=stamp))
    append(path, [value])
    run(path)
    assert [(r.key, r.value) for r in topic(path, "mastodon-engagement")] == [("k1", value)]
    assert topic(path, "mastodon-counts") == []


def test_what_is_no_post_becomes_a_dead_letter_once_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(1), b"\xff\x00 no post", b"", post(2)])
    run(path)
    run(path)
    letters = [dead_letter_of(r.value, r.headers) for r in topic(path, "mastodon-dead-letters")]
    assert [letter.raw for letter in letters] == [b"\xff\x00 no post", b""]
    assert letters[0].reasons == ("$: not UTF-8 at byte 0",)
    assert (letters[0].topic, letters[0].offset, letters[0].stage) == (
        "Mastodon_stream",
        1,
        "analyze",
    )
    assert len(topic(path, "mastodon-engagement")) == 2


def fragile(some: Post) -> dict[str, object] | None:
    if some.id == "3":
        raise RuntimeError("three is bad")
    return {"key": some.key, "id": some.id} if some.id != "4" else None


def several(some: Post) -> list[dict[str, object]]:
    return [{"n": number} for number in range(int(some.id))]


def longest(window: Window, values: Sequence[int]) -> dict[str, object]:
    return {"key": window.key, "observed_at": window.observed_at, "longest": max(values)}


def length(some: Post) -> int:
    return len(some.id)


def test_a_users_function_may_filter_multiply_and_fail(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(number) for number in range(1, 6)])
    mine = (
        Analysis(name="fragile", topic="mine", function=fragile),
        Analysis(name="several", topic="many", function=several),
    )
    run(path, mine)
    assert [record.key for record in topic(path, "mine")] == ["k1", "k2", "k5"]
    assert len(topic(path, "many")) == 1 + 2 + 3 + 4 + 5
    (letter,) = [dead_letter_of(r.value, r.headers) for r in topic(path, "mastodon-dead-letters")]
    assert letter.stage == "analyze:fragile"
    assert letter.reasons == ("RuntimeError: three is bad",)


def test_an_analysis_that_fails_often_is_told_and_its_dead_letters_are_no_results(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(3)] + [post(number) for number in range(10, 19)])
    mine = (Analysis(name="fragile", topic="mine", function=fragile),)
    some = run(path, mine)
    assert some.complaints() == [], "one of ten"
    assert (some.stats.outputs, some.stats.dead_letters) == (9, 1)
    append(path, [post(3)] * 11)
    some = run(path, mine)
    (told,) = some.complaints()
    assert told.startswith("analysis fragile fails for 11 of 11 posts (RuntimeError: three is bad)")
    assert [record.getMessage() for record in caplog.records] == [told]
    assert (some.stats.outputs, some.stats.dead_letters) == (0, 11)


def test_a_window_function_that_fails_often_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(1, 5), deletion(1, 6)])
    aggregate = Aggregate(value=length, result=longest, size_s=100)
    some = run(path, (Analysis(name="longest", topic="mine", aggregate=aggregate),))
    (told,) = some.complaints()
    assert told.startswith("analysis longest fails for 1 of 1 windows (ValueError")


def test_a_users_window_has_the_values_of_its_posts(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(number, number * 10) for number in range(1, 30)])
    aggregate = Aggregate(value=length, result=longest, size_s=100)
    run(path, (Analysis(name="longest", topic="mine", aggregate=aggregate),))
    records = [msgspec.json.decode(record.value) for record in topic(path, "mine")]
    assert [record["longest"] for record in records] == [1, 2, 2]


def test_a_window_for_which_a_function_fails_is_a_dead_letter(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(1, 5), deletion(1, 6)])
    aggregate = Aggregate(value=length, result=longest, size_s=100)
    run(path, (Analysis(name="longest", topic="mine", aggregate=aggregate),))
    (letter,) = [dead_letter_of(r.value, r.headers) for r in topic(path, "mastodon-dead-letters")]
    assert letter.stage == "analyze:longest"
    assert letter.reasons[0].startswith("window 2024-01-01T00:00:00Z: ValueError")


def test_counts_are_those_of_the_posts(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(number, number) for number in range(100)] * 2)
    run(path)
    counts = [
        msgspec.json.decode(record.value)["posts"] for record in topic(path, "mastodon-counts")
    ]
    assert counts == [10] * 10
    dashboards = [msgspec.json.decode(record.value) for record in topic(path, "mastodon-dashboard")]
    assert [record["posts"] for record in dashboards] == [60, 40]
    assert dashboards[0]["languages"] == ["de", "en"]
    assert dashboards[0]["accounts"] == 3


def test_posts_that_a_function_returns_pass_on_byte_by_byte(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    value = post(1)[:-1] + b', "unknown" : [1.50]}'
    append(path, [post(2), value])
    run(path, built_in("stream", "language", languages=("de",)))
    assert [record.value for record in topic(path, "mastodon-filtered")] == [value]


def fake_log(values: Sequence[bytes]) -> FakeLog:
    log = FakeLog()
    log.append("Mastodon_stream", *values)
    return log


def test_a_commit_that_fails_is_made_again() -> None:
    log = fake_log([post(number, number) for number in range(50)])
    engine_log = log.engine("Mastodon_stream")
    engine_log.failures.add("commit", *[RetriableError("not now"), None] * 50)
    some = LocalEngine(engine_log, ALL, clock=SystemClock(), batch=7)
    failures = 0
    for _ in range(100):
        try:
            some.step(0.0)
        except RetriableError:
            failures += 1
    some.close()
    assert failures > 3
    assert [record.key for record in log.records("mastodon-engagement")] == [
        f"k{n}" for n in range(50)
    ]


class Moving(FakeEngineLog):
    """A log that keeps the positions itself. Its partitions move in the first two reads."""

    generation = 0

    def restore(self, analyses: Sequence[str]) -> Mapping[str, Progress]:
        return {}

    def read(self, positions: Positions, max_records: int, timeout_s: float) -> Sequence[Record]:
        self.generation = min(self.generation + 1, 2)
        if self.generation == 1:
            self.at: dict[int, int] = {}
            return ()
        records = super().read(self.at, max_records, timeout_s)
        self.at.update({record.partition: record.offset + 1 for record in records})
        return records


def test_a_commit_is_made_again_also_where_partitions_moved_twice_before_it() -> None:
    log = fake_log([post(number) for number in range(20)])
    engine_log = Moving(log, "Mastodon_stream")
    engine_log.failures.add("commit", RetriableError("not now"))
    some = LocalEngine(engine_log, built_in("stream", "engagement"), clock=SystemClock())
    with pytest.raises(RetriableError):
        some.step(0.0)
    some.step(0.0)
    some.close()
    assert len(log.records("mastodon-engagement")) == 20


def test_two_analyses_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="different names"):
        engine(tmp_path / "log.sqlite3", built_in("stream", "full") * 2)


def test_records_that_retention_took_before_they_were_read_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    append(path, [post(number) for number in range(5)])
    run(path)
    append(path, [post(number) for number in range(5, 12)])
    apply_retention(path, Retention(size_bytes=len(post(1)) * 4), 0)
    kept = len(topic(path, "Mastodon_stream"))
    assert 0 < kept < 7
    assert run(path).stats.lost == 7 - kept
    late_comer = run(path, (Analysis(name="new", topic="new", function=lambda post: post),))
    assert late_comer.stats.lost == 0
