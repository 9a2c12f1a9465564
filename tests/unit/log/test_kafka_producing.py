"""What a sender does when Kafka refuses something for good, and when it is closed."""

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from mastostream.exceptions import (
    ConfigurationError,
    FatalError,
    MastostreamError,
    RetriableError,
)
from mastostream.log.kafka import KafkaPlace, producing
from mastostream.log.kafka.producing import Sender
from mastostream.ports.log import NewRecord

SECRET = "hunter2secret"
PLACE = KafkaPlace(servers="127.0.0.1:1", settings={"sasl.password": SECRET})
RECORDS = [NewRecord("t", "k", b"1"), NewRecord("t", "k", b"2")]


class FakeProducer:
    """Takes what it is given; reports what it is told to."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.values: list[bytes] = []
        self.reports: list[Callable[[], None]] = []

    def produce(self, _: str, value: bytes, *__: object, **___: object) -> None:
        self.values.append(value)

    def poll(self, _: float) -> int:
        for report in self.reports:
            report()
        self.reports.clear()
        return 0

    def flush(self, _: float) -> int:
        return self.poll(0)


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeProducer]]:
    found: list[FakeProducer] = []

    def opened(config: dict[str, Any]) -> FakeProducer:
        found.append(FakeProducer(config))
        return found[-1]

    monkeypatch.setattr(producing, "Producer", opened)
    monkeypatch.setattr(producing, "ensure_topics", lambda *_: ())
    return found


def problem(code: int, *, text: str = "no", **flags: bool) -> KafkaException:
    return KafkaException(KafkaError(code, text, **flags))


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, FatalError, "raise max.message.bytes"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, ConfigurationError, "ask for the permission"),
        (KafkaError.NOT_LEADER_FOR_PARTITION, RetriableError, "are read again"),
        (KafkaError._FS, RetriableError, "are read again"),
    ],
)
@pytest.mark.parametrize("where", ["the transaction", "a record"])
def test_what_no_retry_changes_ends_a_transaction_for_good(
    producers: list[FakeProducer], where: str, code: int, kind: type[MastostreamError], told: str
) -> None:
    sender = Sender(PLACE)
    sender.send(RECORDS)
    refusal = problem(code, txn_requires_abort=True)
    if where == "a record":
        report = producers[0].config["on_delivery"]
        producers[0].reports.append(lambda error=refusal.args[0]: report(error, None))
        refusal = problem(KafkaError._STATE, txn_requires_abort=True)
    ours = sender.why_given_up(refusal)
    assert type(ours) is kind
    assert told in str(ours)


def test_why_a_transaction_takes_no_more_is_told(
    producers: list[FakeProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka's client itself only says that it is in no state for it."""

    def refuse(*_: object, **__: object) -> None:
        raise problem(KafkaError._STATE)

    sender = Sender(PLACE)
    refusal = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no")
    producers[0].reports.append(lambda: producers[0].config["on_delivery"](refusal, None))
    monkeypatch.setattr(producers[0], "produce", refuse)
    with pytest.raises(ConfigurationError, match="ask for the permission"):
        sender.send(RECORDS)


def test_a_producer_that_has_died_is_replaced_and_the_batch_is_sent_again(
    producers: list[FakeProducer],
) -> None:
    sender = Sender(PLACE)
    sender.send(RECORDS)
    lost = KafkaError(KafkaError.UNKNOWN_PRODUCER_ID, "lost", fatal=True)
    producers[0].reports.append(lambda: producers[0].config["error_cb"](lost))
    with pytest.raises(RetriableError):
        sender.flush()
    assert sender.refused == 1, "nobody knows what became of what was on its way"
    sender.send(RECORDS)
    sender.flush()
    assert [producer.values for producer in producers] == [[b"1", b"2"], [b"1", b"2"]]


def test_what_kafka_says_is_told_without_secrets(producers: list[FakeProducer]) -> None:
    sender = Sender(PLACE)
    sender.send(RECORDS)
    down = KafkaError(KafkaError._TRANSPORT, f"{SECRET} is\ndown")
    producers[0].config["error_cb"](down)
    producers[0].flush = lambda _: 2  # type: ignore[method-assign]
    with pytest.raises(RetriableError, match=r"not confirmed 2 records \(\*\*\* is down\)"):
        sender.flush()
    told = str(sender.why_given_up(problem(KafkaError._FENCED, text=SECRET, fatal=True)))
    assert SECRET not in told


def client_threads() -> int:
    return sum(
        each.read_text().startswith("rdk:") for each in Path("/proc/self/task").glob("*/comm")
    )


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux names threads there")
def test_a_sender_that_is_closed_leaves_nothing_behind() -> None:
    """Without a garbage collection: that may be long in coming."""
    gc.disable()
    try:
        before = client_threads()
        sender = Sender(PLACE)
        assert client_threads() > before
        sender.close()
        sender.close()
        assert client_threads() == before
        known = weakref.ref(sender)
        del sender
        assert known() is None
    finally:
        gc.enable()
