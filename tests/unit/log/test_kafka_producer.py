"""What a sender does when Kafka refuses something for good, and when it is closed."""

import contextlib
import gc
import weakref
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from mastostream.exceptions import (
    ConfigurationError,
    FatalError,
    MastostreamError,
    RetriableError,
)
from mastostream.log.kafka import KafkaClientConfig, KafkaLogWriter
from mastostream.log.kafka.producer import RecordProducer
from mastostream.ports.log import NewRecord

from .fake_kafka import FakeKafka

SECRET = "hunter2secret"
RECORDS = [NewRecord("t", "k", b"1"), NewRecord("t", "k", b"2")]


@pytest.fixture
def kafka() -> FakeKafka:
    return FakeKafka({0: 0})


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
    kafka: FakeKafka, where: str, code: int, kind: type[MastostreamError], told: str
) -> None:
    sender = RecordProducer(kafka.config())
    sender.send(RECORDS)
    refusal = problem(code, txn_requires_abort=True)
    if where == "a record":
        report = kafka.producers[0].config["on_delivery"]
        kafka.producers[0].reports.append(lambda error=refusal.args[0]: report(error, None))
        refusal = problem(KafkaError._STATE, txn_requires_abort=True)
    ours = sender.transaction_error(refusal)
    assert type(ours) is kind
    assert told in str(ours)


def test_why_a_transaction_takes_no_more_is_told(kafka: FakeKafka) -> None:
    """Kafka's client itself only says that it is in no state for it."""
    sender = RecordProducer(kafka.config())
    refusal = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no")
    kafka.producers[0].reports.append(
        lambda: kafka.producers[0].config["on_delivery"](refusal, None)
    )
    kafka.producers[0].refuses = problem(KafkaError._STATE)
    with pytest.raises(ConfigurationError, match="ask for the permission"):
        sender.send(RECORDS)


def test_a_producer_that_has_died_is_replaced_and_the_batch_is_sent_again(
    kafka: FakeKafka,
) -> None:
    sender = RecordProducer(kafka.config())
    sender.send(RECORDS)
    lost = KafkaError(KafkaError.UNKNOWN_PRODUCER_ID, "lost", fatal=True)
    kafka.producers[0].reports.append(lambda: kafka.producers[0].config["error_cb"](lost))
    with pytest.raises(RetriableError):
        sender.flush()
    assert sender.refused == 1, "nobody knows what became of what was on its way"
    sender.send(RECORDS)
    sender.flush()
    assert [producer.values for producer in kafka.producers] == [[b"1", b"2"], [b"1", b"2"]]


def test_what_kafka_says_is_told_without_secrets(kafka: FakeKafka) -> None:
    sender = RecordProducer(kafka.config(**{"sasl.password": SECRET}))
    sender.send(RECORDS)
    down = KafkaError(KafkaError._TRANSPORT, f"{SECRET} is\ndown")
    kafka.producers[0].config["error_cb"](down)
    kafka.producers[0].unconfirmed = 2
    with pytest.raises(RetriableError, match=r"not confirmed 2 records \(\*\*\* is down\)"):
        sender.flush()
    told = str(sender.transaction_error(problem(KafkaError._FENCED, text=SECRET, fatal=True)))
    assert SECRET not in told


def test_records_that_kafka_has_not_confirmed_do_not_count_as_appended(kafka: FakeKafka) -> None:
    """The same list, handed over again, is waited for and not sent twice."""
    writer = KafkaLogWriter(kafka.config())
    kafka.producers[0].unconfirmed = 2
    with pytest.raises(RetriableError, match="has not confirmed 2 records"):
        writer.append(RECORDS)
    kafka.producers[0].unconfirmed = 0
    writer.append(RECORDS)
    assert kafka.sent == [b"1", b"2"]
    writer.close()


def client_threads() -> set[str]:
    """The threads of librdkafka in this process; others may end while they are looked at."""
    threads = set()
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if (thread / "comm").read_text().startswith("rdk:"):
                threads.add(thread.name)
    return threads


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux names threads there")
def test_a_sender_that_is_closed_leaves_nothing_behind() -> None:
    """Without a garbage collection: that may be long in coming."""
    gc.disable()
    try:
        before = client_threads()
        sender = RecordProducer(KafkaClientConfig(servers="127.0.0.1:1"))
        assert client_threads() - before
        sender.close()
        sender.close()
        assert client_threads() <= before
        known = weakref.ref(sender)
        del sender
        assert known() is None
    finally:
        gc.enable()
