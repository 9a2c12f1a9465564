"""The conformance suite for archives: the fake passes it, broken adapters fail."""

from collections.abc import Mapping, Sequence

import pytest

from mastostream.exceptions import RetriableError
from mastostream.ports.log import Positions, Record
from mastostream.testing.conformance.archive import (
    ArchiveConformance,
    ArchiveUnderTest,
    records_of,
)
from mastostream.testing.fakes import FakeArchive, FakeArchiveSink, FakeClock

from .weakness import Weakness, assert_all_are_tried, assert_found_out, name_of


def under_test(
    archive: FakeArchive, sink: type[FakeArchiveSink] = FakeArchiveSink
) -> ArchiveUnderTest:
    return ArchiveUnderTest(sink=lambda: sink(archive), kept=archive.kept)


class TestFakeArchive(ArchiveConformance):
    @pytest.fixture(params=[0, 4])
    def archive(self, request: pytest.FixtureRequest) -> ArchiveUnderTest:
        return under_test(FakeArchive(rotate_records=request.param))


def that_takes_lines_apart() -> ArchiveUnderTest:
    class Weak(FakeArchive):
        def kept(self) -> Mapping[int, Sequence[bytes]]:
            return {
                partition: [line for value in values for line in value.split(b"\n")]
                for partition, values in super().kept().items()
            }

    return under_test(Weak())


def that_begins_anew() -> ArchiveUnderTest:
    class Weak(FakeArchiveSink):
        def _give_up(self) -> None:
            super()._give_up()
            self._finished.clear()

    return under_test(FakeArchive(), Weak)


def that_takes_everything() -> ArchiveUnderTest:
    class Weak(FakeArchiveSink):
        def _take(self, record: Record) -> None:
            offset = self._open[record.partition].next if record.partition in self._open else 0
            super()._take(record._replace(offset=max(record.offset, offset)))

    return under_test(FakeArchive(), Weak)


def that_counts_records() -> ArchiveUnderTest:
    class Weak(FakeArchiveSink):
        def positions(self) -> Positions:
            kept = self._archive.kept()
            return {partition: len(values) for partition, values in kept.items()}

    return under_test(FakeArchive(), Weak)


def that_keeps_what_was_given_up() -> ArchiveUnderTest:
    class Weak(FakeArchiveSink):
        def reload(self) -> None:
            self.flush(force=True)

    return under_test(FakeArchive(), Weak)


def that_lets_two_write_the_same() -> ArchiveUnderTest:
    class Weak(FakeArchive):
        def finish(self, partition: int, file: object) -> None:
            self.ends.pop(partition, None)
            super().finish(partition, file)  # type: ignore[arg-type]  # passed on

    return under_test(Weak())


def that_forgets_what_is_open_at_the_end() -> ArchiveUnderTest:
    class Weak(FakeArchiveSink):
        def close(self) -> None:
            pass

    return under_test(FakeArchive(), Weak)


WEAK = [
    Weakness("records_come_back_in_order_whatever_they_hold", that_takes_lines_apart),
    Weakness("another_sink_goes_on_where_the_last_one_ended", that_begins_anew),
    Weakness("what_was_kept_already_is_left_out", that_takes_everything),
    Weakness("offsets_may_have_holes", that_counts_records),
    Weakness("nothing_is_kept_of_a_sink_that_was_reloaded", that_keeps_what_was_given_up),
    Weakness(
        "two_that_write_the_same_lose_nothing_and_repeat_nothing", that_lets_two_write_the_same
    ),
    Weakness("closing_finishes_and_twice_is_harmless", that_forgets_what_is_open_at_the_end),
]


@pytest.mark.parametrize("weakness", WEAK, ids=name_of)
def test_an_archive_that_breaks_a_promise_is_found_out(weakness: Weakness) -> None:
    assert_found_out(ArchiveConformance, weakness)


def test_every_promise_is_watched() -> None:
    assert_all_are_tried(ArchiveConformance, WEAK)


def finish_one_more(sink: FakeArchiveSink) -> None:
    sink.write(records_of([b"2"], first=2))
    sink.flush(force=True)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", ["write", "flush"])
def test_what_fails_is_read_again_from_where_the_files_end(call: str, after: bool) -> None:
    archive = FakeArchive()
    sink = archive.sink()
    sink.reload()
    sink.write(records_of([b"0"]))
    sink.flush(force=True)
    sink.write(records_of([b"1"], first=1))
    sink.failures.add(call, RetriableError("away"), after=after)
    with pytest.raises(RetriableError):
        finish_one_more(sink)
    rest = sink.positions()[0]
    assert rest == (3 if (call, after) == ("flush", True) else 1)
    sink.write(records_of([b"1", b"2"][rest - 1 :], first=rest))
    sink.close()
    assert archive.kept() == {0: [b"0", b"1", b"2"]}


def test_a_file_is_finished_by_age_without_traffic() -> None:
    clock = FakeClock()
    archive = FakeArchive(rotate_s=60.0, clock=clock)
    sink = archive.sink()
    sink.reload()
    sink.write(records_of([b"0"]))
    assert sink.flush() == {}
    clock.advance(60.0)
    assert sink.flush() == {0: 1}


def test_closing_an_archive_that_is_away_raises_nothing() -> None:
    archive = FakeArchive()
    sink = archive.sink()
    sink.reload()
    sink.write(records_of([b"0"]))
    sink.failures.add("flush", RetriableError("away"))
    sink.close()
    assert archive.kept() == {}
