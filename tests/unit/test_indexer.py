"""The indexer: nothing is committed before the index has it, and readers keep their places."""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import attrs
import pytest

from mastostream import Account, Deletion, Post, Stamp, encode, engagement_record
from mastostream.core.dead_letters import dead_letter_of
from mastostream.core.topics import DEAD_LETTERS, ENGAGEMENT, HASHTAGS
from mastostream.exceptions import RetriableError
from mastostream.indexer import Batching, Indexer
from mastostream.ports.index import Document, Refusal
from mastostream.ports.log import NewRecord, Positions, Record
from mastostream.runner import run_until_idle

NOW = datetime(2024, 1, 1, tzinfo=UTC)


class Flaky:
    """Fails as often as it is told to."""

    failures = 0

    def try_it(self) -> None:
        if self.failures:
            self.failures -= 1
            raise RetriableError("not now")


class FakeReader(Flaky):
    """A topic of one partition, with a place in its group to lose."""

    def __init__(self, topic: str, values: Sequence[bytes] = ()) -> None:
        self.lost = 0
        self.generation = 0
        self.topic = topic
        self.values = list(values)
        self.next = 0
        self.committed = 0
        self.asked: list[tuple[int, float]] = []
        self.closed = False
        self.commit_failures = 0

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        self.asked.append((max_records, timeout_s))
        if max_records:
            self.try_it()
        values = self.values[self.next : self.next + max_records]
        first = self.next
        self.next += len(values)
        return [
            Record(self.topic, 0, first + number, 0, None, value)
            for number, value in enumerate(values)
        ]

    def seek(self, positions: Positions) -> None:
        raise AssertionError("the indexer reads on")

    def commit(self, positions: Positions) -> None:
        if self.commit_failures:
            self.commit_failures -= 1
            raise RetriableError("not now")
        self.committed = positions[0]

    def close(self) -> None:
        self.closed = True


class FakeIndex(Flaky):
    def __init__(self) -> None:
        self.written: list[Sequence[Document]] = []
        self.refused: Mapping[str, str] = {}
        self.closed = False

    def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
        self.try_it()
        self.written.append(documents)
        return [
            Refusal(position, self.refused[document.id])
            for position, document in enumerate(documents)
            if document.id in self.refused
        ]

    def close(self) -> None:
        self.closed = True


class FakeWriter(Flaky):
    def __init__(self) -> None:
        self.appended: list[NewRecord] = []
        self.lists: list[Sequence[NewRecord]] = []
        self.closed = False

    def append(self, records: Sequence[NewRecord]) -> None:
        self.lists.append(records)
        self.try_it()
        self.appended.extend(records)

    def close(self) -> None:
        self.closed = True


@attrs.define
class FakeClock:
    """Each look takes a tenth of a second."""

    at_s: float = 0.0

    def now_ms(self) -> int:
        return 1_704_067_200_000

    def monotonic_s(self) -> float:
        self.at_s += 0.1
        return self.at_s

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        raise AssertionError("readers wait")

    def real_s(self, seconds: float) -> float:
        return seconds


def value(id_: str) -> bytes:
    post = Post(
        id=id_,
        created_at=NOW,
        account=Account(acct="a"),
        mastostream=Stamp(key=id_, observed_at=NOW),
    )
    return encode(engagement_record(post))


def values(count: int, prefix: str = "") -> list[bytes]:
    return [value(f"{prefix}{number}") for number in range(count)]


@attrs.define
class Bench:
    """An indexer and all that is around it."""

    engagement: FakeReader
    hashtags: FakeReader
    index: FakeIndex = attrs.field(factory=FakeIndex)
    letters: FakeWriter = attrs.field(factory=FakeWriter)
    batching: Batching = attrs.field(factory=Batching)
    indexer: Indexer = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.indexer = Indexer(
            {ENGAGEMENT: self.engagement, HASHTAGS: self.hashtags},
            self.index,
            self.letters,
            clock=FakeClock(),
            batching=self.batching,
        )

    @property
    def ids(self) -> list[str]:
        return [document.id for batch in self.index.written for document in batch]


def bench(engagement: int = 0, hashtags: int = 0, **batching: float) -> Bench:
    return Bench(
        FakeReader(ENGAGEMENT, values(engagement, "e")),
        FakeReader(HASHTAGS, values(hashtags, "h")),
        batching=Batching(**batching),  # type: ignore[arg-type]  # whole numbers where they belong
    )


def fails(some: Bench) -> None:
    with pytest.raises(RetriableError):
        some.indexer.step(0.2)


def test_all_topics_are_written_at_once_and_then_committed() -> None:
    some = bench(3, 2)
    assert some.indexer.step(0.2) == 5
    assert [len(batch) for batch in some.index.written] == [0, 5]
    assert {document.index_name for document in some.index.written[1]} == {ENGAGEMENT, HASHTAGS}
    assert (some.engagement.committed, some.hashtags.committed) == (3, 2)
    assert some.indexer.step(0.2) == 0
    assert some.indexer.stats.documents == 5


def test_an_index_that_cannot_be_written_is_noticed_before_there_is_anything_to_write() -> None:
    some = bench()
    some.index.failures = 1
    fails(some)
    assert some.indexer.step(0.2) == 0


def test_nothing_is_committed_before_the_index_has_it_and_every_reader_keeps_its_place() -> None:
    some = bench(3)
    some.indexer.step(0.0)
    some.engagement.values += values(2, "x")
    some.engagement.committed = 3
    some.index.failures = 3
    for _ in range(3):
        some.engagement.asked.clear()
        some.hashtags.asked.clear()
        fails(some)
        assert some.engagement.committed == 3
    assert (0, 0.0) in some.engagement.asked
    assert (0, 0.0) in some.hashtags.asked
    assert some.indexer.step(0.2) == 2
    assert some.ids == ["e0", "e1", "e2", "x0", "x1"]
    assert some.engagement.committed == 5
    some.engagement.asked.clear()
    some.indexer.step(0.0)
    assert (0, 0.0) not in some.engagement.asked


def test_what_one_reader_gave_is_kept_while_another_fails() -> None:
    some = bench(2, 2)
    some.hashtags.failures = 1
    fails(some)
    assert some.indexer.step(0.2) + some.indexer.step(0.2) == 4
    assert sorted(some.ids) == ["e0", "e1", "h0", "h1"]


def test_the_next_batch_is_read_while_one_is_written() -> None:
    some = bench(10, records=4)
    asked = threading.Event()

    class Slow(FakeIndex):
        def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
            if documents:
                assert asked.wait(10)
                asked.clear()
            return super().write(documents)

    class Watched(FakeReader):
        def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
            if self.next == len(some.ids) + 2:  # the batch on its way, not yet written
                asked.set()
            return super().read(max_records, timeout_s)

    some = Bench(
        Watched(ENGAGEMENT, values(10)),
        FakeReader(HASHTAGS),
        index=Slow(),
        batching=Batching(records=4),
    )
    while done := some.indexer.step(0.2):
        assert done == 2
    assert some.ids == [str(number) for number in range(10)]
    assert some.engagement.committed == 10


def test_readers_keep_their_places_while_a_write_takes_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mastostream.indexer.KEEP_S", 0.01)
    kept = threading.Event()

    class Slow(FakeIndex):
        def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
            assert not documents or kept.wait(10)
            return super().write(documents)

    class Watched(FakeReader):
        def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
            if max_records == 0:
                kept.set()
                raise RetriableError("not now")
            return super().read(max_records, timeout_s)

    some = Bench(FakeReader(ENGAGEMENT, values(1)), Watched(HASHTAGS), index=Slow())
    assert some.indexer.step(0.0) == 1
    assert some.engagement.committed == 1


def test_what_was_read_ahead_survives_a_write_that_fails_and_is_not_committed_with_it() -> None:
    some = bench(4, records=4)
    some.indexer.step(0.0)
    some.engagement.failures = 1  # while the second batch is written
    some.index.failures = 1
    fails(some)
    assert some.engagement.committed == 2
    some.hashtags.values += values(1, "h")
    assert some.indexer.step(0.2) == 2
    assert some.engagement.committed == 4
    assert some.indexer.step(0.2) == 1
    assert some.ids == ["e0", "e1", "e2", "e3", "h0"]


def test_a_commit_that_fails_is_tried_again_without_writing_again() -> None:
    some = bench(2, 2)
    some.index.refused = {"e1": "too strange"}
    some.hashtags.commit_failures = 2
    fails(some)
    fails(some)
    some.indexer.step(0.2)
    assert len(some.ids) == 4
    assert len(some.letters.appended) == 1
    assert (some.engagement.committed, some.hashtags.committed) == (2, 2)
    assert (some.indexer.stats.documents, some.indexer.stats.refused) == (3, 1)


def test_what_is_refused_becomes_a_dead_letter_with_its_reason_and_its_bytes() -> None:
    some = bench(3)
    some.engagement.values[1:1] = [b"{broken", b'{"key":"x"}']
    some.index.refused = {"e1": "too strange"}
    assert some.indexer.step(0.2) == 5
    letters = [dead_letter_of(each.value, each.headers) for each in some.letters.appended]
    assert {(each.offset, each.raw) for each in letters} == {
        (number, some.engagement.values[number]) for number in (1, 2, 3)
    }
    assert {each.topic for each in letters} == {ENGAGEMENT}
    assert "too strange" in [reason for each in letters for reason in each.reasons]
    assert {each.topic for each in some.letters.appended} == {DEAD_LETTERS}


def test_dead_letters_that_cannot_be_written_hold_the_batch_back() -> None:
    some = bench(2)
    some.index.refused = {"e1": "too strange"}
    some.letters.failures = 1
    fails(some)
    assert some.engagement.committed == 0
    assert some.indexer.step(0.2) == 2
    assert len(some.letters.appended) == 1
    assert some.indexer.stats.documents == 1


def test_dead_letters_that_are_on_their_way_are_not_written_once_more() -> None:
    """A log that has taken them before it failed knows the same list again."""
    some = bench(2)
    some.index.refused = {"e1": "too strange"}
    some.letters.failures = 2
    fails(some)
    fails(some)
    some.indexer.step(0.2)
    assert len(some.letters.lists) == 3
    assert all(each is some.letters.lists[0] for each in some.letters.lists)
    assert len(some.index.written) == 2
    assert (some.indexer.stats.documents, some.indexer.stats.refused) == (1, 1)


def test_a_deletion_is_one() -> None:
    some = bench()
    stamp = Stamp(key="k", event="delete", observed_at=NOW)
    some.engagement.values.append(encode(Deletion(id="1", mastostream=stamp)))
    some.indexer.step(0.2)
    (document,) = some.index.written[1]
    assert (document.id, document.body) == ("k", None)


def test_a_batch_has_its_limits() -> None:
    some = bench(10_000, 10_000, records=3_000)
    assert some.indexer.step(0.2) == 3_000
    assert {asked for asked, _ in some.engagement.asked} == {500}
    large = bench(10_000, 0, records=20_000, size_bytes=2 * len(value("e0")))
    assert large.indexer.step(0.2) == 500


def test_a_few_records_wait_for_more_but_not_for_long() -> None:
    some = bench(1, enough=5, wait_s=0.5)
    assert some.indexer.step(0.2) == 1
    assert 3 <= len(some.hashtags.asked) <= 6
    assert all(timeout_s <= 0.25 for _, timeout_s in some.hashtags.asked)


@pytest.mark.parametrize(("count", "timeout_s"), [(5, 0.2), (1, 0.0)])
def test_enough_records_wait_for_none_and_without_patience_none_wait(
    count: int, timeout_s: float
) -> None:
    some = bench(count, enough=5, wait_s=0.5)
    assert some.indexer.step(timeout_s) == count
    assert {each for _, each in some.hashtags.asked} == {0.0}


def test_all_is_indexed_and_closed() -> None:
    some = bench(5_000, 100)
    assert run_until_idle([some.indexer]) == {"index": 5_100}
    closed = (some.engagement, some.hashtags, some.index, some.letters)
    assert all(each.closed for each in closed)


def test_what_the_log_deleted_is_counted() -> None:
    some = bench(1)
    some.engagement.lost = 7
    some.indexer.step(0.2)
    assert some.indexer.stats.lost == 7
