"""The log of a windowed analysis: who leads, and what of the windows is written."""

from contextlib import closing

import pytest
from confluent_kafka import KafkaError

from mastostream.core.windows import WindowSpec
from mastostream.exceptions import ConfigurationError, FatalError, MastostreamError, RetriableError
from mastostream.log.kafka import KafkaWindowLog
from mastostream.log.kafka.leadership import Leadership

from .fake_kafka import FakeKafka, error

SPEC = WindowSpec(size_ms=10_000)


@pytest.fixture
def kafka() -> FakeKafka:
    return FakeKafka({0: 0})


@pytest.fixture
def log(kafka: FakeKafka) -> KafkaWindowLog:
    return KafkaWindowLog(kafka.config(), topic="t", analysis="count", spec=SPEC)


def tell(kafka: FakeKafka, *partitions: int) -> None:
    """Say with the next look who has the partition."""
    kafka.script.append(lambda: kafka.consumers[0].come(*partitions))


def take_over(kafka: FakeKafka, log: KafkaWindowLog) -> None:
    generation = log.generation
    tell(kafka, 0)
    assert not log.read({}, 1, 0.1)
    assert log.generation > generation


def test_who_stands_by_says_so_at_once_when_it_has_to_end(
    kafka: FakeKafka, log: KafkaWindowLog
) -> None:
    tell(kafka)
    log.read({}, 1, 0.1)
    polls = kafka.consumer.polls
    with closing(log), pytest.raises(RetriableError, match="stands by"):
        log.read({}, 1, 0.0)
    assert kafka.consumer.polls == polls + 1


def test_who_does_not_know_yet_waits(kafka: FakeKafka, log: KafkaWindowLog) -> None:
    generation = log.generation
    kafka.script.extend([lambda: None] * 5)
    tell(kafka, 0)
    with closing(log):
        assert not log.read({}, 1, 0.0)
        assert log.generation > generation


def test_who_is_not_told_in_time_stands_by(kafka: FakeKafka) -> None:
    log = KafkaWindowLog(kafka.config(), topic="t", analysis="count", spec=SPEC, join_s=0.0)
    with closing(log), pytest.raises(RetriableError, match="stands by"):
        log.read({}, 1, 0.0)


def test_who_leads_again_does_not_take_an_input_that_it_could_not_open_for_empty(
    kafka: FakeKafka,
) -> None:
    """The engine would close windows by the wall clock."""
    config = kafka.config(**{"socket.timeout.ms": "10"})
    with closing(KafkaWindowLog(config, topic="t", analysis="count", spec=SPEC)) as log:
        take_over(kafka, log)
        assert not log.read({}, 1, 0.0)
        kafka.script.append(lambda: kafka.consumers[0].go(0))
        log.read({}, 1, 0.0)
        take_over(kafka, log)
        kafka.refuses_offsets = error(KafkaError._TRANSPORT)
        for _ in range(2):
            with pytest.raises(RetriableError, match="cannot be reached"):
                log.read({}, 1, 0.0)


def test_windows_of_another_topic_are_not_filled(kafka: FakeKafka, log: KafkaWindowLog) -> None:
    with closing(log):
        take_over(kafka, log)
        kafka.ends = {0: 5}
        with pytest.raises(FatalError, match=r"another topic's; name another group in \[kafka\]"):
            log.read({0: 6, 1: 6}, 1, 0.0)
        assert not log.read({0: 5}, 1, 0.0)


def test_a_topic_that_was_made_anew_ends_its_windows(kafka: FakeKafka, log: KafkaWindowLog) -> None:
    with closing(log):
        take_over(kafka, log)
        kafka.ends = {0: 5}
        assert len(log.read({}, 9, 0.0)) == 5
        kafka.ends = {0: 2}
        kafka.script.append(lambda: None)  # it keeps its place
        kafka.script.append((0, error(KafkaError._AUTO_OFFSET_RESET)))
        with pytest.raises(FatalError, match="another topic's"):
            log.read({0: 5}, 9, 0.0)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.GROUP_AUTHORIZATION_FAILED, ConfigurationError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, ConfigurationError),
        (KafkaError.INCONSISTENT_GROUP_PROTOCOL, ConfigurationError),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, ConfigurationError),
        (KafkaError._FS, FatalError),
        (KafkaError._TRANSPORT, None),
        (KafkaError._MAX_POLL_EXCEEDED, None),
        (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, None),
        (KafkaError._PARTITION_EOF, None),
        (KafkaError._AUTO_OFFSET_RESET, None),
    ],
)
def test_what_keeps_it_from_competing_is_told(
    kafka: FakeKafka, code: int, kind: type[MastostreamError] | None
) -> None:
    leadership = Leadership(kafka.config(), "t", "g")
    kafka.script.append(error(code))
    if kind is None:
        assert not leadership.poll(0.0)
        tell(kafka, 0)
        assert leadership.poll(0.0)
    else:
        with pytest.raises(kind):
            leadership.poll(0.0)
    leadership.leave()
    assert not leadership.leads
