"""What readers of Kafka do when something happens in the midst of a batch."""

from contextlib import closing

import pytest
from confluent_kafka import KafkaError

from mastostream.exceptions import ConfigurationError, RetriableError
from mastostream.log.kafka import KafkaEngineLog, KafkaSharedReader
from mastostream.ports.log import Commit, NewRecord, Record

from .fake_kafka import FakeKafka, error


@pytest.fixture
def kafka() -> FakeKafka:
    return FakeKafka({0: 6, 1: 6})


def joined(kafka: FakeKafka, *partitions: int, **settings: str) -> KafkaSharedReader:
    shared = KafkaSharedReader(kafka.config(**settings), topic="t", group="g")
    kafka.script.append(lambda: kafka.consumer.come(*partitions))
    assert not shared.read(10, 0.1)
    return shared


def places(records: list[Record]) -> list[tuple[int, int]]:
    return sorted((record.partition, record.offset) for record in records)


EVERYTHING = [(partition, offset) for partition in (0, 1) for offset in range(6)]


@pytest.mark.parametrize("before", [0, 3, 9])
def test_an_error_in_the_midst_of_a_batch_costs_no_record(kafka: FakeKafka, before: int) -> None:
    """Neither those before it nor those behind it, whose partitions may be others."""
    with closing(joined(kafka, 0, 1)) as shared:
        kafka.script.extend([before] * (before > 0))
        kafka.script.extend([error(KafkaError.TOPIC_AUTHORIZATION_FAILED), error(KafkaError._FS)])
        with pytest.raises(ConfigurationError, match="does not allow"):
            shared.read(100, 0.1)
        assert places([*shared.read(100, 0.1)]) == EVERYTHING


def test_a_partition_that_takes_no_seek_is_taken_anew(kafka: FakeKafka) -> None:
    with closing(joined(kafka, 0, 1)) as shared:
        kafka.script.extend([9, error(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
        kafka.consumer.takes_no_seek = {0}
        with pytest.raises(ConfigurationError):
            shared.read(100, 0.1)
        assert places([*shared.read(100, 0.1)]) == EVERYTHING


def test_one_partition_that_cannot_be_sought_holds_up_no_other(kafka: FakeKafka) -> None:
    with closing(joined(kafka, 0, 1)) as shared:
        assert len(shared.read(100, 0.1)) == 12
        del kafka.consumer.at[0]
        with pytest.raises(RetriableError):
            shared.seek({0: 1, 1: 2})
        assert places([*shared.read(100, 0.1)]) == [(1, offset) for offset in range(2, 6)]


def test_an_offset_that_is_refused_while_kafka_does_not_answer_is_asked_for_again(
    kafka: FakeKafka,
) -> None:
    """Kafka's client stops a partition whose offset is out of range, and tells so once."""
    with closing(joined(kafka, 0, **{"socket.timeout.ms": "10"})) as shared:
        kafka.script.append((0, error(KafkaError._AUTO_OFFSET_RESET)))
        kafka.refuses_offsets = error(KafkaError._TRANSPORT)
        with pytest.raises(RetriableError):
            shared.read(100, 0.1)
        kafka.refuses_offsets = None
        assert not kafka.consumer.stopped
        assert len(shared.read(100, 0.1)) == 6


def test_what_retention_took_is_counted_once(kafka: FakeKafka) -> None:
    """Also where a partition comes again before anything of it was committed."""
    kafka.committed, kafka.firsts = {0: 1}, {0: 4}
    with closing(joined(kafka, 0)) as shared:
        for _ in range(2):
            kafka.script.append(lambda: kafka.consumer.go(0))
            kafka.script.append(lambda: kafka.consumer.come(0))
            shared.read(10, 0.1)
            shared.read(10, 0.1)
        assert shared.lost == 3
        kafka.firsts = {0: 5}
        kafka.script.append((0, error(KafkaError._AUTO_OFFSET_RESET)))
        shared.read(10, 0.1)
        assert shared.lost == 4


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(kafka: FakeKafka) -> None:
    """Who keeps positions of its own is told, by the generation."""
    with closing(joined(kafka, 0)) as shared:
        assert len(shared.read(100, 0.1)) == 6
        generation = shared.generation
        kafka.ends = {0: 2}
        kafka.script.append((0, error(KafkaError._AUTO_OFFSET_RESET)))
        found = [*shared.read(100, 0.1)] or [*shared.read(100, 0.1)]
        assert places(found) == [(0, 0), (0, 1)]
        assert shared.generation == generation + 1
        assert shared.lost == 0
        shared.rejoin()
        kafka.script.append(lambda: kafka.consumer.come(0))
        shared.read(100, 0.1)
        assert shared.generation > generation + 2, "it never falls"


def test_a_topic_that_was_made_anew_is_not_at_its_end(kafka: FakeKafka) -> None:
    """Also before Kafka has refused the offset."""
    kafka.committed = {0: 9}
    with closing(joined(kafka, 0)) as shared:
        assert len(shared.read(100, 0.0)) == 6


def begun(kafka: FakeKafka, *partitions: int, commit_every_s: float = 1.0) -> KafkaEngineLog:
    log = KafkaEngineLog(kafka.config(), topic="t", group="g", commit_every_s=commit_every_s)
    kafka.script.append(lambda: kafka.consumer.come(*partitions))
    assert not log.read({}, 10, 0.1)
    return log


def test_nothing_is_given_of_a_partition_that_goes_in_the_same_read(
    kafka: FakeKafka,
) -> None:
    """Another engine reads it again: its outputs would come twice."""
    with closing(begun(kafka, 0, 1)) as log:
        generation = log.generation
        kafka.script.extend([9, lambda: kafka.consumer.go(0)])
        kafka.script.extend([(1, error(KafkaError._PARTITION_EOF))])
        assert not log.read({}, 100, 0.0)
        assert log.generation > generation
        assert places([*log.read({}, 100, 0.0)]) == [(1, offset) for offset in range(6)]


def outputs(log: KafkaEngineLog) -> Commit:
    records = [NewRecord("out", record.key, record.value) for record in log.read({}, 3, 0.1)]
    return Commit(records=records, progress={})


def test_outputs_are_sent_once_while_their_positions_cannot_be_committed(
    kafka: FakeKafka,
) -> None:
    with closing(begun(kafka, 0, commit_every_s=0.0)) as log:
        commit = outputs(log)
        kafka.refuses_commit = error(KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
        for _ in range(3):
            with pytest.raises(RetriableError):
                log.commit(commit)
        kafka.refuses_commit = None
        log.commit(commit)
        assert len(kafka.sent) == 3
        assert kafka.committed == {0: 3}
        log.commit(outputs(log))
        assert len(kafka.sent) == 6
        assert kafka.committed == {0: 6}


def test_positions_that_were_not_taken_in_the_midst_of_a_change_are_committed_later(
    kafka: FakeKafka,
) -> None:
    """Also where no more posts come."""
    with closing(begun(kafka, 0)) as log:
        kafka.refuses_commit = error(KafkaError.REBALANCE_IN_PROGRESS)
        log.commit(outputs(log))
        kafka.refuses_commit = None
        log.read({}, 100, 0.1)
        assert not log.read({}, 100, 0.1)
        assert kafka.committed == {0: 3}
    assert len(kafka.sent) == 3
