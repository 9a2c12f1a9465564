"""The log on a real Kafka when something goes wrong in the middle."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal

import attrs
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from mastostream import Account, Analysis, Post, Stamp, encode
from mastostream.core.windows import WindowSpec
from mastostream.engines.local import LocalEngine
from mastostream.exceptions import FatalError, RetriableError
from mastostream.log.kafka import (
    KafkaClientConfig,
    KafkaEngineLog,
    KafkaLogReader,
    KafkaLogWriter,
    KafkaSharedReader,
    KafkaWindowLog,
    ensure_topics,
)
from mastostream.log.kafka.clients import KafkaClients
from mastostream.log.kafka.window_state_store import WINDOWS
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import (
    Commit,
    EngineLog,
    LogReader,
    NewRecord,
    Progress,
    Record,
    WindowChanges,
)
from mastostream.services import KafkaServer
from mastostream.testing.conformance.log import new_topic, read_all

pytestmark = pytest.mark.campaign

NOW = datetime(2024, 1, 1, tzinfo=UTC)
PATIENCE_S = 120.0
SPEC = WindowSpec(size_ms=10_000)


@pytest.fixture
def config(kafka_server: KafkaServer) -> KafkaClientConfig:
    return KafkaClientConfig(
        servers=kafka_server.address, group=f"test-{uuid.uuid4().hex}", partitions=2
    )


@pytest.fixture
def topic(config: KafkaClientConfig) -> Iterator[str]:
    """The input, with 50 posts."""
    topic = new_topic()
    with closing(KafkaLogWriter(config)) as writer:
        writer.append([NewRecord(topic, f"k{number}", post(number)) for number in range(50)])
        yield topic


def post(number: int) -> bytes:
    stamp = Stamp(key=f"k{number}", observed_at=NOW)
    account = Account(acct="someone")
    return encode(Post(id=str(number), created_at=NOW, account=account, mastostream=stamp))


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"


def some(reader: LogReader) -> list[Record]:
    """Read until something comes."""
    found: list[Record] = []
    until(lambda: found.extend(reader.read(100, 0.2)) or found)
    return found


def numbers(config: KafkaClientConfig, topic: str) -> list[str]:
    with closing(KafkaLogReader(config, topic=topic, group=new_topic())) as reader:
        return sorted(str(record.key) for record in read_all(reader))


def test_a_topic_that_was_just_made_can_be_used_at_once(config: KafkaClientConfig) -> None:
    for _ in range(3):
        topic = new_topic()
        assert ensure_topics(attrs.evolve(config, partitions=100), [topic]) == (topic,)
        client = AdminClient({"bootstrap.servers": config.servers})
        there = client.list_topics(timeout=10).topics
        assert topic in there
        assert {each.leader for each in there[topic].partitions.values()} == {1}


def test_what_was_read_before_an_error_is_read_again(config: KafkaClientConfig, topic: str) -> None:
    """Such as an end that does not come."""
    far = threading.Event()

    class FarEnds(AdminClient):
        """Says that each partition ends beyond its last record, while ``far`` is set."""

        def list_offsets(self, asked: Any, **options: Any) -> Any:
            if not far.is_set():
                return super().list_offsets(asked, **options)
            answers = {each: Future[SimpleNamespace]() for each in asked}
            for answer in answers.values():
                answer.set_result(SimpleNamespace(offset=1_000))
            return answers

    config = attrs.evolve(config, clients=KafkaClients(admin=FarEnds))
    with closing(KafkaSharedReader(config, topic=topic, group=new_topic())) as reader:
        found = [record.value for record in reader.read(10, 5.0)]
        far.set()
        with pytest.raises(RetriableError, match="has not given the end"):
            until(lambda: reader.read(100, 0.0) and False)
        far.clear()
        found += [record.value for record in read_all(reader)]
    assert sorted(found) == sorted(post(number) for number in range(50))


@pytest.mark.parametrize("timeout_s", [0.0, 0.2])
def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    config: KafkaClientConfig, topic: str, timeout_s: float
) -> None:
    """What its group has committed was of the one before."""
    group = new_topic()
    with closing(KafkaSharedReader(config, topic=topic, group=group)) as reader:
        until(lambda: reader.read(0, 0.0) or reader.positions)
        reader.commit({0: 1_000, 1: 1_000})
    with closing(KafkaSharedReader(config, topic=topic, group=group)) as reader:
        found: list[Record] = []
        until(lambda: found.extend(reader.read(100, timeout_s)) or len(found) == 50)
        assert reader.generation >= 3, "they came, and each is told to be another"


def test_a_reader_whose_partitions_move_while_it_waits_goes_on_afterwards(
    config: KafkaClientConfig, topic: str
) -> None:
    group = new_topic()
    with closing(KafkaSharedReader(config, topic=topic, group=group)) as first:
        some(first)
        for _ in range(2):
            generation = first.generation
            with closing(KafkaSharedReader(config, topic=topic, group=group)) as second:
                until(lambda: first.read(0, 0.0) or second.read(0, 0.0) or second.positions)
            until(lambda: first.read(0, 0.0) or len(first.positions) == 2)
            assert first.generation > generation
        later = {post(number) for number in range(50, 60)}
        with closing(KafkaLogWriter(config)) as writer:
            writer.append(
                [NewRecord(topic, str(number), value) for number, value in enumerate(later)]
            )
        found: set[bytes] = set()
        until(lambda: found.update(each.value for each in some(first)) or later <= found)


@pytest.fixture
def small(config: KafkaClientConfig) -> str:
    """A topic that takes small records only."""
    topic = new_topic()
    client = AdminClient({"bootstrap.servers": config.servers})
    wanted = NewTopic(topic, 1, 1, config={"max.message.bytes": "1000"})
    client.create_topics([wanted])[topic].result(30)
    return topic


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_outputs_that_kafka_refuses_are_not_counted_as_done(
    config: KafkaClientConfig,
    topic: str,
    small: str,
    delivery: Literal["at-least-once", "exactly-once"],
) -> None:
    """The next engine does them again, however the one before ended."""

    def engine() -> EngineLog:
        return KafkaEngineLog(config, topic=topic, group=small, delivery=delivery)

    def read(log: EngineLog) -> int:
        found: list[Record] = []
        until(lambda: found.extend(log.read({}, 100, 0.2)) or len(found) == 50)
        return len(found)

    with closing(engine()) as log:
        read(log)
        with pytest.raises(FatalError, match=r"raise max\.message\.bytes"):
            log.commit(Commit(records=[NewRecord(small, "k", os.urandom(5_000))], progress={}))
    with closing(engine()) as log:
        assert read(log) == 50


def test_an_engine_that_was_too_slow_gives_up_what_another_has_done(
    config: KafkaClientConfig, topic: str
) -> None:
    """Exactly once: its transaction is refused, and it goes on with the next posts."""
    output, clock = new_topic(), SystemClock()
    sessions = {"session.timeout.ms": "6000", "max.poll.interval.ms": "6000"}
    quick = attrs.evolve(config, settings=sessions)
    others: list[LocalEngine] = []

    def engine(function: Callable[[Post], object]) -> LocalEngine:
        log = KafkaEngineLog(quick, topic=topic, group=output, delivery="exactly-once")
        return LocalEngine(
            log, [Analysis(name="keys", topic=output, function=function)], clock=clock
        )

    def keys(post: Post) -> object:
        return {"key": post.key}

    def keys_later(post: Post) -> object:
        if not others:
            others.append(engine(keys))
            until(lambda: others[0].step(0.2) >= 0 and others[0].stats.posts >= 50)
            others[0].close()
        return keys(post)

    slow = engine(keys_later)
    refused = 0

    def step() -> int:
        nonlocal refused
        try:
            return slow.step(0.2)
        except RetriableError:
            refused += 1
            return 0

    with closing(slow), closing(KafkaLogWriter(config)) as writer:
        until(lambda: step() is None or refused)
        writer.append([NewRecord(topic, f"k{number}", post(number)) for number in range(50, 60)])
        until(lambda: step() >= 0 and len(numbers(config, output)) >= 60)
    assert numbers(config, output) == sorted(f"k{number}" for number in range(60))
    assert refused == 1


def leading(config: KafkaClientConfig, topic: str) -> EngineLog:
    """Windows, as soon as no other process has them."""
    log = KafkaWindowLog(config, topic=topic, analysis="count", spec=SPEC)
    generation = log.generation
    until(lambda: log.read({}, 1, 0.2) or log.generation > generation)
    return log


def commit(log: EngineLog, position: int) -> None:
    progress = Progress(positions={0: position}, windows=WindowChanges())
    log.commit(Commit(records=(), progress={"count": progress}))


def test_a_leader_that_was_too_slow_cannot_store_windows_any_more(
    config: KafkaClientConfig, topic: str
) -> None:
    sessions = {"session.timeout.ms": "6000", "max.poll.interval.ms": "6000"}
    with closing(leading(attrs.evolve(config, settings=sessions), topic)) as slow:
        commit(slow, 1)
        with closing(leading(config, topic)) as other:
            assert other.restore(["count"])["count"].positions == {0: 1}
            with pytest.raises(RetriableError, match="did not take the transaction"):
                commit(slow, 2)
            assert slow.restore(["count"]) == {}
            commit(other, 3)
    with closing(leading(config, topic)) as log:
        assert log.restore(["count"])["count"].positions == {0: 3}


def test_results_of_windows_that_kafka_refuses_are_told(
    config: KafkaClientConfig, topic: str, small: str
) -> None:
    with closing(leading(config, topic)) as log:
        commit(log, 1)
        with pytest.raises(FatalError, match=r"raise max\.message\.bytes"):
            log.commit(Commit(records=[NewRecord(small, "k", os.urandom(5_000))], progress={}))
    with closing(leading(config, topic)) as log:
        assert log.restore(["count"])["count"].positions == {0: 1}


def test_who_stands_by_ends_at_once(config: KafkaClientConfig, topic: str) -> None:
    with (
        closing(leading(config, topic)) as log,
        closing(KafkaWindowLog(config, topic=topic, analysis="count", spec=SPEC)) as other,
    ):
        until(lambda: [log.read({}, 1, 0.2), other.read({}, 1, 0.2)] and standing_by(other))
        began_s = time.monotonic()
        with pytest.raises(RetriableError, match="stands by"):
            other.read({}, 1, 0.0)
        assert time.monotonic() - began_s < 5


def standing_by(log: KafkaWindowLog) -> bool:
    return log._leadership.stands_by


def test_windows_of_a_topic_that_was_made_anew_are_not_filled(
    config: KafkaClientConfig, topic: str
) -> None:
    with closing(leading(config, topic)) as log:
        commit(log, 1_000)
        with pytest.raises(FatalError, match="another topic's"):
            log.read({0: 1_000}, 100, 0.0)


def test_windows_are_found_again_while_another_analysis_is_in_the_middle_of_its_commit(
    config: KafkaClientConfig, topic: str
) -> None:
    other = Producer({"bootstrap.servers": config.servers, "transactional.id": new_topic()})
    with closing(leading(config, topic)) as log:
        commit(log, 1)
        other.init_transactions(30)
        other.begin_transaction()
        other.produce(WINDOWS, b"{}", "other/clock", partition=0)
        other.flush(30)
        commit(log, 2)
    committing = threading.Timer(2.0, other.commit_transaction)
    committing.start()
    with closing(leading(config, topic)) as log:
        found = log.restore(["count"])["count"].positions
    committing.join()
    assert found == {0: 2}
