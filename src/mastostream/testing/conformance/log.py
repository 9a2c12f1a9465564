"""Conformance suite for logs, as a test class for pytest.

Subclass it and provide its fixture::

    class TestMyLog(LogConformance):
        @pytest.fixture
        def log(self, tmp_path: Path) -> Iterator[LogUnderTest]:
            yield LogUnderTest(writer=..., reader=..., engine=...)

The log may hold other records: the suite uses new topics and groups only.
"""

import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import msgspec

from mastostream.core.analyses import Aggregate, Analysis, engagement_analysis
from mastostream.core.codec import encode
from mastostream.core.models import Account, Post, Stamp
from mastostream.core.window_records import count_posts
from mastostream.core.windows import PostState, encode_state
from mastostream.ports.log import (
    Commit,
    EngineLog,
    LogReader,
    LogWriter,
    NewRecord,
    Progress,
    Record,
    WindowChanges,
    WindowStore,
)

__all__ = ["LogConformance", "LogUnderTest", "new_prefix", "new_topic"]

_TIME: Final = datetime(2024, 1, 1, 12, tzinfo=UTC)
_MAX_READS: Final = 100
"""How many times an engine is read until the expected records have to be there."""

_VALUES: Final = (b"{}", b"\x00\xff", b"x" * 100_000, '"\U0001f4a5\u2028"'.encode(), b"null")
"""Values that a log could damage: binary, large and Unicode values."""


@attrs.frozen(kw_only=True)
class LogUnderTest:
    """The log that the suite tests, as functions that open it. The suite closes what it opens.

    Attributes:
        writer: ``() -> LogWriter``.
        reader: ``(topic, group) -> LogReader``: a reader that gets all partitions of the topic.
        engine: ``(topic, analysis) -> EngineLog``: the log of an engine with this one analysis,
            whose windows last a minute.
    """

    writer: Callable[[], LogWriter]
    reader: Callable[[str, str], LogReader]
    engine: Callable[[str, Analysis], EngineLog]


def new_topic() -> str:
    """Return a topic name that no log holds yet."""
    return f"test-{uuid.uuid4().hex}"


def new_prefix() -> str:
    """Return a new prefix for topics, groups and indices on a server that other tests use, too."""
    return f"t{uuid.uuid4().hex[:8]}."


def read_all(reader: LogReader) -> list[Record]:
    """Return all records up to the end of the log."""
    records: list[Record] = []
    while batch := reader.read(7, 0.0):
        records += batch
    return records


def _post(number: int, seconds: int) -> bytes:
    time = _TIME + timedelta(seconds=seconds)
    return encode(
        Post(
            id=str(number),
            created_at=time,
            account=Account(acct="someone"),
            mastostream=Stamp(key=f"k{number}", observed_at=time),
        )
    )


class LogConformance:
    """Tests the protocols of :mod:`mastostream.ports.log`. Needs the fixture ``log``."""

    def test_records_come_back_as_they_were_in_the_order_of_their_keys(
        self, log: LogUnderTest
    ) -> None:
        topic, rng = new_topic(), random.Random(1)
        sent: dict[str | None, list[tuple[bytes, tuple[tuple[str, bytes], ...]]]] = defaultdict(
            list
        )
        with closing(log.writer()) as writer:
            for batch in range(5):
                records = []
                for number in range(rng.randrange(1, 40)):
                    key = rng.choice(["a", "b", "schlüssel", "https://example/1"])
                    value = rng.choice(_VALUES) + b"%d %d" % (batch, number)
                    headers = (("a", b"\x00"), ("a", b""), ("b", b"\xff")) if number % 2 else ()
                    sent[key].append((value, headers))
                    records.append(NewRecord(topic, key, value, headers))
                writer.append(records)
        received: dict[str | None, list[tuple[bytes, tuple[tuple[str, bytes], ...]]]] = defaultdict(
            list
        )
        ends: dict[int, int] = {}
        with closing(log.reader(topic, "g")) as reader:
            for record in read_all(reader):
                assert record.topic == topic
                assert record.offset >= ends.get(record.partition, 0), "an offset fell"
                ends[record.partition] = record.offset + 1
                received[record.key].append((record.value, record.headers))
            assert reader.lost == 0
        assert received == sent

    def test_a_record_without_a_key_is_kept(self, log: LogUnderTest) -> None:
        topic = new_topic()
        with closing(log.writer()) as writer:
            writer.append([NewRecord(topic, None, b"1")])
            writer.append([])
        with closing(log.reader(topic, "g")) as reader:
            assert [(record.key, record.value) for record in read_all(reader)] == [(None, b"1")]

    def test_a_group_goes_on_where_it_committed(self, log: LogUnderTest) -> None:
        topic, group = new_topic(), new_topic()
        with closing(log.writer()) as writer:
            writer.append([NewRecord(topic, "k", b"%d" % number) for number in range(10)])
        with closing(log.reader(topic, group)) as reader:
            records = read_all(reader)
            fourth = records[3]
            reader.commit({fourth.partition: fourth.offset})
        with closing(log.reader(topic, group)) as reader:
            assert read_all(reader) == records[3:]
        with closing(log.reader(topic, new_topic())) as reader:
            assert read_all(reader) == records, "another group begins at the oldest record"

    def test_a_reader_that_seeks_reads_from_there(self, log: LogUnderTest) -> None:
        topic = new_topic()
        with closing(log.writer()) as writer:
            writer.append([NewRecord(topic, "k", b"%d" % number) for number in range(10)])
        with closing(log.reader(topic, "g")) as reader:
            records = read_all(reader)
            reader.seek({records[6].partition: records[6].offset})
            assert read_all(reader) == records[6:]

    def test_without_patience_only_the_end_is_empty(self, log: LogUnderTest) -> None:
        topic = new_topic()
        with closing(log.writer()) as writer, closing(log.reader(topic, "g")) as reader:
            for number in range(20):
                writer.append([NewRecord(topic, str(number), b"%d" % number)])
                assert [record.value for record in read_all(reader)] == [b"%d" % number]
                assert reader.read(0, 0.0) in ((), [])
            writer.append([NewRecord(topic, str(number), b"") for number in range(30)])
            assert [len(reader.read(7, 0.0)) for _ in range(6)] == [7, 7, 7, 7, 2, 0]

    def test_what_is_at_hand_stays_when_the_reader_only_keeps_its_place(
        self, log: LogUnderTest
    ) -> None:
        topic = new_topic()
        with closing(log.writer()) as writer, closing(log.reader(topic, "g")) as reader:
            writer.append([NewRecord(topic, "k", b"%d" % number) for number in range(30)])
            records = list(reader.read(3, 5.0))
            for _ in range(5):
                assert not reader.read(0, 0.0)
            records += read_all(reader)
        assert [record.value for record in records] == [b"%d" % number for number in range(30)]

    def test_an_engine_goes_on_where_it_committed(self, log: LogUnderTest) -> None:
        topic, output = new_topic(), new_topic()
        analysis = attrs.evolve(engagement_analysis(), name=new_topic())
        with closing(log.writer()) as writer:
            writer.append([NewRecord(topic, f"k{n}", _post(n, n)) for n in range(20)])
        keys: list[str | None] = []
        for stop in (8, 20):
            with closing(log.engine(topic, analysis)) as engine:
                positions = _restored_positions(engine, analysis)
                for records in _batches(engine, positions, stop - len(keys)):
                    keys += [record.key for record in records]
                    outputs = [NewRecord(output, record.key, b"x") for record in records]
                    progress = {analysis.name: Progress(positions=dict(positions))}
                    engine.commit(Commit(records=outputs, progress=progress))
                assert engine.lost == 0
        assert sorted(map(str, keys)) == sorted(f"k{number}" for number in range(20))
        with closing(log.reader(output, "g")) as reader:
            assert sorted(str(record.key) for record in read_all(reader)) == sorted(map(str, keys))

    def test_an_engine_finds_its_windows_again(self, log: LogUnderTest) -> None:
        topic = new_topic()
        analysis = Analysis(name=new_topic(), topic=topic, aggregate=Aggregate(result=count_posts))
        with closing(log.writer()) as writer:
            writer.append([NewRecord(topic, "k", _post(1, 1))])
        many = {f"k{n}": _known(60_000 + n, "x" * 500) for n in range(5_000)}
        first = WindowChanges(
            posts={key: (data, 5) for key, data in many.items()} | {"x": (_known(3, "\u2028"), 7)},
            members={(60_000, key): True for key in many} | {(0, "x"): True},
            windows={0: True, 60_000: True, 120_000: False},
        )
        moved = _known(60_001, "y", moved_ms=(3,))
        second = WindowChanges(
            posts={"x": (moved, 9), "k0": None, "unknown": None},
            members={(60_000, "x"): True, (60_000, "k0"): False},
            windows={0: None, 60_000: True, 180_000: None},
        )
        after_first = _Stored({0: {"x": _known(3, "\u2028")}, 60_000: many}, dict(first.windows))
        grown = {key: data for key, data in many.items() if key != "k0"} | {"x": moved}
        after_second = _Stored({0: {"x": moved}, 60_000: grown}, {60_000: True, 120_000: False})
        for before, changes in (
            (_Stored({0: {}, 60_000: {}}, {}), first),
            (after_first, second),
            (after_second, WindowChanges()),
            (after_second, WindowChanges()),
        ):
            with closing(log.engine(topic, analysis)) as engine:
                engine.read({}, 1, 0.0)  # where engines compete, this wins the leadership
                positions = _restored_positions(engine, analysis)
                if not positions:
                    for _ in _batches(engine, positions, 1):
                        pass
                store = engine.windows(analysis.name)
                _check(store, before)
                progress = Progress(positions=dict(positions), windows=changes)
                engine.commit(Commit(records=(), progress={analysis.name: progress}))
                assert engine.windows(analysis.name).posts(["unknown"]) == {}
        with closing(log.engine(topic, analysis)) as engine:
            engine.read({}, 1, 0.0)
            store = engine.windows(analysis.name)
            assert set(store.unchanged_since(9, 10_000)) == set(many) - {"k0"}
            assert len(store.unchanged_since(9, 10)) == 10
            assert store.unchanged_since(5, 10) == {}


@attrs.frozen
class _Stored:
    """What a store should have: posts by window, and notes."""

    windows: dict[int, dict[str, bytes]]
    notes: dict[int, bool | None]


def _check(store: WindowStore, expected: _Stored) -> None:
    for start_ms, posts in expected.windows.items():
        assert store.window(start_ms) == posts
        assert store.posts(list(posts)) == posts
    assert store.windows() == expected.notes


def _known(created_ms: int, value: str, moved_ms: tuple[int, ...] = ()) -> bytes:
    """Return what is known of a post, encoded."""
    state = PostState(
        created_ms=created_ms,
        observed_ms=created_ms,
        value=msgspec.Raw(encode(value)),
        moved_ms=moved_ms,
    )
    return encode_state(state)


def _restored_positions(engine: EngineLog, analysis: Analysis) -> dict[int, int]:
    progress = engine.restore([analysis.name]).get(analysis.name)
    return dict(progress.positions) if progress else {}


def _batches(
    engine: EngineLog, positions: dict[int, int], count: int
) -> Iterator[Sequence[Record]]:
    """Yield exactly ``count`` records in small batches; advance ``positions`` in place."""
    for _ in range(_MAX_READS):
        records = engine.read(positions, min(3, count), 0.5)
        positions.update({record.partition: record.offset + 1 for record in records})
        count -= len(records)
        if records:
            yield records
        if not count:
            return
    raise AssertionError(f"{count} records did not come")
