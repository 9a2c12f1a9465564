"""The indexer: nothing is committed before the index has it, and readers keep their places."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import attrs
import pytest

from mastostream import Account, Deletion, Post, Stamp, encode, engagement_record
from mastostream.core.dead_letters import dead_letter_of
from mastostream.core.topic_names import DEAD_LETTERS, ENGAGEMENT, HASHTAGS
from mastostream.exceptions import RetriableError
from mastostream.indexer import Batching, Indexer
from mastostream.ports.index import Document, Refusal
from mastostream.ports.log import Positions, Record
from mastostream.runner import run_until_idle
from mastostream.testing.fakes import FakeClock, FakeIndex, FakeLog, FakeLogReader, FakeLogWriter

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def not_now(times: int = 1) -> list[RetriableError]:
    return [RetriableError("not now")] * times


class Reader(FakeLogReader):
    """A topic of one partition, read by somebody who reads on."""

    def __init__(self, log: FakeLog, topic: str) -> None:
        super().__init__(log, topic, "index")
        self.log = log

    def seek(self, positions: Positions) -> None:
        raise AssertionError("the indexer reads on")

    @property
    def committed(self) -> int:
        return self.log.committed(self.topic, self.group).get(0, 0)

    def add(self, values: Sequence[bytes]) -> None:
        self.log.append(self.topic, *values)

    @property
    def values(self) -> list[bytes]:
        return [record.value for record in self.log.records(self.topic)]


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

    log: FakeLog = attrs.field(factory=FakeLog)
    engagement: Reader = attrs.field(init=False)
    hashtags: Reader = attrs.field(init=False)
    index: FakeIndex = attrs.field(factory=FakeIndex)
    letters: FakeLogWriter = attrs.field(init=False)
    clock: FakeClock = attrs.field(factory=lambda: FakeClock(look_s=0.1))
    batching: Batching = attrs.field(factory=Batching)
    keep_places_s: float = 60.0
    indexer: Indexer = attrs.field(init=False)
    reads_engagement: type[Reader] = Reader
    reads_hashtags: type[Reader] = Reader

    def __attrs_post_init__(self) -> None:
        self.letters = self.log.writer()
        self.engagement = self.reads_engagement(self.log, ENGAGEMENT)
        self.hashtags = self.reads_hashtags(self.log, HASHTAGS)
        self.indexer = Indexer(
            {ENGAGEMENT: self.engagement, HASHTAGS: self.hashtags},
            self.index,
            self.letters,
            clock=self.clock,
            batching=self.batching,
            keep_places_s=self.keep_places_s,
        )

    @property
    def ids(self) -> list[str]:
        return [document.id for batch in self.index.written for document in batch]

    @property
    def appended(self) -> list[Record]:
        return self.log.records(DEAD_LETTERS)


def bench(engagement: int = 0, hashtags: int = 0, **batching: float) -> Bench:
    some = Bench(
        batching=Batching(**batching),  # type: ignore[arg-type]  # whole numbers where they belong
    )
    some.engagement.add(values(engagement, "e"))
    some.hashtags.add(values(hashtags, "h"))
    return some


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
    some.index.failures.add("write", *not_now())
    fails(some)
    assert some.indexer.step(0.2) == 0


def test_nothing_is_committed_before_the_index_has_it_and_every_reader_keeps_its_place() -> None:
    some = bench(3)
    some.indexer.step(0.0)
    some.engagement.add(values(2, "x"))
    some.index.failures.add("write", *not_now(3))
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
    some.hashtags.failures.add("read", *not_now())
    fails(some)
    assert some.indexer.step(0.2) + some.indexer.step(0.2) == 4
    assert sorted(some.ids) == ["e0", "e1", "h0", "h1"]


def test_the_next_batch_is_read_while_one_is_written() -> None:
    asked = threading.Event()

    class Slow(FakeIndex):
        def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
            if documents:
                assert asked.wait(10)
                asked.clear()
            return super().write(documents)

    class Watched(Reader):
        def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
            if self._positions[0] == len(some.ids) + 2:  # the batch on its way, not yet written
                asked.set()
            return super().read(max_records, timeout_s)

    some = Bench(reads_engagement=Watched, index=Slow(), batching=Batching(records=4))
    some.engagement.add(values(10))
    while done := some.indexer.step(0.2):
        assert done == 2
    assert some.ids == [str(number) for number in range(10)]
    assert some.engagement.committed == 10


def test_readers_keep_their_places_while_a_write_takes_its_time() -> None:
    kept = threading.Event()

    class Slow(FakeIndex):
        def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
            assert not documents or kept.wait(10)
            return super().write(documents)

    class Watched(Reader):
        def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
            if max_records == 0:
                kept.set()
                raise RetriableError("not now")
            return super().read(max_records, timeout_s)

    some = Bench(reads_hashtags=Watched, index=Slow(), keep_places_s=0.01)
    some.engagement.add(values(1))
    assert some.indexer.step(0.0) == 1
    assert some.engagement.committed == 1


def test_what_was_read_ahead_survives_a_write_that_fails_and_is_not_committed_with_it() -> None:
    some = bench(4, records=4)
    some.indexer.step(0.0)
    some.engagement.failures.add("read", *not_now())  # while the second batch is written
    some.index.failures.add("write", *not_now())
    fails(some)
    assert some.engagement.committed == 2
    some.hashtags.add(values(1, "h"))
    assert some.indexer.step(0.2) == 2
    assert some.engagement.committed == 4
    assert some.indexer.step(0.2) == 1
    assert some.ids == ["e0", "e1", "e2", "e3", "h0"]


def test_a_commit_that_fails_is_tried_again_without_writing_again() -> None:
    some = bench(2, 2)
    some.index.refused = {"e1": "too strange"}
    some.hashtags.failures.add("commit", *not_now(2))
    fails(some)
    fails(some)
    some.indexer.step(0.2)
    assert len(some.ids) == 4
    assert len(some.appended) == 1
    assert (some.engagement.committed, some.hashtags.committed) == (2, 2)
    assert (some.indexer.stats.documents, some.indexer.stats.refused) == (3, 1)


def test_what_is_refused_becomes_a_dead_letter_with_its_reason_and_its_bytes() -> None:
    some = bench(1)
    some.engagement.add([b"{broken", b'{"key":"x"}', value("e1"), value("e2")])
    some.index.refused = {"e1": "too strange"}
    assert some.indexer.step(0.2) == 5
    letters = [dead_letter_of(each.value, each.headers) for each in some.appended]
    assert {(each.offset, each.raw) for each in letters} == {
        (number, some.engagement.values[number]) for number in (1, 2, 3)
    }
    assert {each.topic for each in letters} == {ENGAGEMENT}
    assert "too strange" in [reason for each in letters for reason in each.reasons]
    assert {each.topic for each in some.appended} == {DEAD_LETTERS}


def test_dead_letters_that_cannot_be_written_hold_the_batch_back() -> None:
    some = bench(2)
    some.index.refused = {"e1": "too strange"}
    some.letters.failures.add("append", *not_now())
    fails(some)
    assert some.engagement.committed == 0
    assert some.indexer.step(0.2) == 2
    assert len(some.appended) == 1
    assert some.indexer.stats.documents == 1


def test_dead_letters_that_are_on_their_way_are_not_written_once_more() -> None:
    """A log that has taken them before it failed knows the same list again."""
    some = bench(2)
    some.index.refused = {"e1": "too strange"}
    some.letters.failures.add("append", *not_now(2))
    fails(some)
    fails(some)
    some.indexer.step(0.2)
    assert len(some.letters.attempts) == 3
    assert all(each is some.letters.attempts[0] for each in some.letters.attempts)
    assert len(some.index.written) == 2
    assert (some.indexer.stats.documents, some.indexer.stats.refused) == (1, 1)


def test_a_deletion_is_one() -> None:
    some = bench()
    stamp = Stamp(key="k", event="delete", observed_at=NOW)
    some.engagement.add([encode(Deletion(id="1", mastostream=stamp))])
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
    assert not some.clock.waits_s, "readers wait"


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
    some.indexer.step(0.2)
    some.engagement.add(values(8))
    some.log.delete_before(ENGAGEMENT, {0: 8})
    some.indexer.step(0.2)
    assert some.indexer.stats.lost == 7
