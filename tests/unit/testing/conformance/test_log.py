"""The conformance suite for logs: the fake passes it, broken adapters fail."""

from collections.abc import Sequence

import pytest

from mastostream.exceptions import RetriableError
from mastostream.ports.log import Commit, NewRecord, Positions, Progress, Record
from mastostream.testing.conformance.log import LogConformance, LogUnderTest
from mastostream.testing.fakes import FakeClock, FakeEngineLog, FakeLog, FakeLogReader, Killed

from .weakness import Weakness, assert_all_are_tried, assert_found_out, name_of


def under_test(
    log: FakeLog, reader: type[FakeLogReader] = FakeLogReader, engine: type = FakeEngineLog
) -> LogUnderTest:
    return LogUnderTest(
        writer=log.writer,
        reader=lambda topic, group: reader(log, topic, group),
        engine=lambda topic, _: engine(log, topic),
    )


class TestFakeLog(LogConformance):
    @pytest.fixture(params=[1, 3])
    def log(self, request: pytest.FixtureRequest) -> LogUnderTest:
        return under_test(FakeLog(partitions=request.param))


class TestFakeLogAsTimePasses(LogConformance):
    """Records of different partitions then come in turn."""

    @pytest.fixture
    def log(self) -> LogUnderTest:
        class Moving(FakeClock):
            def now_ms(self) -> int:
                self.advance(0.001)
                return super().now_ms()

        return under_test(FakeLog(partitions=3, clock=Moving()))


def that_loses_headers() -> LogUnderTest:
    class Weak(FakeLog):
        def take(self, records: Sequence[NewRecord]) -> None:
            super().take([record._replace(headers=()) for record in records])

    return under_test(Weak())


def that_turns_batches_around() -> LogUnderTest:
    class Weak(FakeLog):
        def take(self, records: Sequence[NewRecord]) -> None:
            super().take(records[::-1])

    return under_test(Weak())


def that_forgets_which_partition_a_key_has() -> LogUnderTest:
    class Weak(FakeLog):
        def _partition_of(self, key: str | None, partitions: object) -> int:
            return super()._partition_of(None, partitions)  # type: ignore[arg-type]  # passed on

    return under_test(Weak(partitions=3))


def that_gives_an_offset_twice() -> LogUnderTest:
    class Weak(FakeLogReader):
        def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
            records = super().read(max_records, timeout_s)
            return [record._replace(offset=record.offset // 2) for record in records]

    return under_test(FakeLog(), Weak)


def that_gives_a_key_to_what_has_none() -> LogUnderTest:
    class Weak(FakeLog):
        def take(self, records: Sequence[NewRecord]) -> None:
            super().take([record._replace(key=record.key or "") for record in records])

    return under_test(Weak())


def that_forgets_commits() -> LogUnderTest:
    class Weak(FakeLogReader):
        def commit(self, positions: Positions) -> None:
            pass

    return under_test(FakeLog(), Weak)


def that_commits_one_too_many() -> LogUnderTest:
    class Weak(FakeLogReader):
        def commit(self, positions: Positions) -> None:
            super().commit({number: offset + 1 for number, offset in positions.items()})

    return under_test(FakeLog(), Weak)


def that_knows_one_group_only() -> LogUnderTest:
    log = FakeLog()
    return LogUnderTest(
        writer=log.writer,
        reader=lambda topic, _: log.reader(topic, "one for all"),
        engine=lambda topic, _: log.engine(topic),
    )


def that_cannot_seek() -> LogUnderTest:
    class Weak(FakeLogReader):
        def seek(self, positions: Positions) -> None:
            pass

    return under_test(FakeLog(), Weak)


def that_gives_less_than_there_is() -> LogUnderTest:
    class Weak(FakeLogReader):
        def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
            return super().read(min(max_records, 3), timeout_s)

    return under_test(FakeLog(), Weak)


def that_loses_what_is_at_hand() -> LogUnderTest:
    class Weak(FakeLogReader):
        def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
            if not max_records:
                super().read(1, timeout_s)
            return super().read(max_records, timeout_s)

    return under_test(FakeLog(), Weak)


def that_loses_the_outputs_of_an_engine() -> LogUnderTest:
    class Weak(FakeEngineLog):
        def commit(self, commit: Commit) -> None:
            super().commit(Commit(records=(), progress=commit.progress))

    return under_test(FakeLog(), engine=Weak)


def that_loses_the_place_of_an_engine() -> LogUnderTest:
    class Weak(FakeEngineLog):
        def commit(self, commit: Commit) -> None:
            super().commit(Commit(records=commit.records, progress={}))

    return under_test(FakeLog(), engine=Weak)


def that_loses_windows() -> LogUnderTest:
    class Weak(FakeEngineLog):
        def commit(self, commit: Commit) -> None:
            without_windows = {
                name: Progress(positions=progress.positions)
                for name, progress in commit.progress.items()
            }
            super().commit(Commit(records=commit.records, progress=without_windows))

    return under_test(FakeLog(), engine=Weak)


WEAK = [
    *(
        Weakness("records_come_back_as_they_were_in_the_order_of_their_keys", make)
        for make in (
            that_loses_headers,
            that_turns_batches_around,
            that_forgets_which_partition_a_key_has,
            that_gives_an_offset_twice,
        )
    ),
    Weakness("a_record_without_a_key_is_kept", that_gives_a_key_to_what_has_none),
    Weakness("a_group_goes_on_where_it_committed", that_forgets_commits),
    Weakness("a_group_goes_on_where_it_committed", that_commits_one_too_many),
    Weakness("a_group_goes_on_where_it_committed", that_knows_one_group_only),
    Weakness("a_reader_that_seeks_reads_from_there", that_cannot_seek),
    Weakness("without_patience_only_the_end_is_empty", that_gives_less_than_there_is),
    Weakness(
        "what_is_at_hand_stays_when_the_reader_only_keeps_its_place", that_loses_what_is_at_hand
    ),
    Weakness("an_engine_goes_on_where_it_committed", that_loses_the_outputs_of_an_engine),
    Weakness("an_engine_goes_on_where_it_committed", that_loses_the_place_of_an_engine),
    Weakness("an_engine_finds_its_windows_again", that_loses_windows),
]


@pytest.mark.parametrize("weakness", WEAK, ids=name_of)
def test_a_log_that_breaks_a_promise_is_found_out(weakness: Weakness) -> None:
    assert_found_out(LogConformance, weakness)


def test_every_promise_is_watched() -> None:
    assert_all_are_tried(LogConformance, WEAK)


def values(log: FakeLog, topic: str = "t") -> list[bytes]:
    return [record.value for record in log.records(topic)]


def test_a_batch_that_failed_before_or_after_it_was_taken_is_taken_once() -> None:
    log = FakeLog()
    writer = log.writer()
    batch = [NewRecord("t", None, b"1"), NewRecord("t", None, b"2")]
    writer.failures.add("append", RetriableError("not now"))
    writer.failures.add("append", RetriableError("no answer"), after=True)
    for taken in (0, 2):
        with pytest.raises(RetriableError):
            writer.append(batch)
        assert len(values(log)) == taken
    writer.append(batch)
    assert values(log) == [b"1", b"2"]
    writer.append(batch)
    assert values(log) == [b"1", b"2", b"1", b"2"], "it was confirmed: this is another one"


def test_a_read_that_fails_loses_nothing() -> None:
    log = FakeLog()
    log.append("t", b"1", b"2")
    reader = log.reader("t", "g")
    reader.failures.add("read", RetriableError("not now"))
    reader.failures.add("read", RetriableError("no answer"), after=True)
    for _ in range(2):
        with pytest.raises(RetriableError):
            reader.read(9, 0.0)
    assert [record.value for record in reader.read(9, 0.0)] == [b"1", b"2"]


def test_an_engine_that_is_killed_has_committed_all_or_nothing() -> None:
    log = FakeLog()
    commit = Commit(
        records=[NewRecord("out", None, b"1")], progress={"a": Progress(positions={0: 1})}
    )
    for after in (False, True):
        engine = log.engine("t")
        engine.failures.add("commit", Killed(), after=after)
        with pytest.raises(Killed):
            engine.commit(commit)
        assert values(log, "out") == [b"1"] * after
        assert log.committed("t", "a") == ({0: 1} if after else {})


def test_partitions_come_and_go_with_a_read() -> None:
    log = FakeLog(partitions=2)
    log.append("t", *(b"%d" % number for number in range(10)))
    first, second = log.reader("t", "g"), log.reader("t", "g")
    first.assign(0)
    second.assign(1)
    assert (first.generation, second.generation) == (0, 0)
    assert {record.partition for record in first.read(3, 0.0)} == {0}
    first.commit({0: 2, 1: 5})
    assert log.committed("t", "g") == {0: 2}, "the other partition is somebody else's"
    first.assign()
    second.assign(0, 1)
    first.commit({0: 3})
    assert log.committed("t", "g") == {0: 2}, "it has gone"
    records = second.read(99, 0.0)
    assert [record.offset for record in records if record.partition == 0] == [2, 3, 4]
    assert not first.read(9, 0.0)
    assert (first.generation, second.generation) == (2, 1)
    second.assign(0, 1)
    second.read(9, 0.0)
    assert second.generation == 1, "nothing has changed"


def test_a_partition_that_went_and_came_back_is_begun_again() -> None:
    log = FakeLog()
    log.append("t", b"1", b"2")
    reader = log.reader("t", "g")
    assert len(reader.read(9, 0.0)) == 2
    reader.assign()
    reader.assign(0)
    assert len(reader.read(9, 0.0)) == 2
    assert reader.generation == 1


def test_what_was_deleted_before_it_was_read_is_counted() -> None:
    log = FakeLog()
    log.append("t", *(b"%d" % number for number in range(10)))
    reader, engine = log.reader("t", "g"), log.engine("t")
    reader.read(2, 0.0)
    log.delete_before("t", {0: 5})
    assert [record.offset for record in reader.read(9, 0.0)] == [5, 6, 7, 8, 9]
    assert reader.lost == 3
    newcomer = log.reader("t", "new")
    newcomer.read(9, 0.0)
    assert newcomer.lost == 0
    engine.read({0: 4}, 9, 0.0)
    assert engine.lost == 1


def test_a_reader_waits_by_the_clock() -> None:
    clock = FakeClock()
    reader = FakeLog(clock=clock).reader("t", "g")
    assert not reader.read(9, 5.0)
    assert not reader.read(9, 0.0)
    assert not reader.read(0, 5.0)
    assert clock.monotonic_s() == 5.0
