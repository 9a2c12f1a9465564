"""Windows of the local engine on Kafka: their newest records equal a recount of the log."""

import random
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.engines.window_recount import late_posts, newest, newest_records

from mastostream import Account, Analysis, Deletion, Post, Stamp, Window, encode
from mastostream.core.analyses import COUNT, Aggregate
from mastostream.core.models import Event
from mastostream.core.topic_names import LATE
from mastostream.engines.local import LocalEngine
from mastostream.engines.local.windowed_analysis import WindowTiming
from mastostream.engines.window_outputs import spec_of
from mastostream.log.kafka import KafkaClientConfig, KafkaLogReader, KafkaLogWriter, KafkaWindowLog
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import NewRecord
from mastostream.services import KafkaServer
from mastostream.testing.conformance.log import new_prefix, new_topic, read_all

START = datetime(2026, 1, 1, tzinfo=UTC)
HORIZON_S = 600
POSTS = 300
EVENTS: tuple[Event, ...] = ("new", "new", "edit", "refresh", "refresh")


def likes(post: Post) -> int:
    return post.favourites_count


def total(window: Window, values: list[int]) -> dict[str, object]:
    return {
        "key": window.key,
        "observed_at": window.observed_at,
        "posts": len(values),
        "likes": sum(values),
    }


HOPPING = Analysis(
    name="hopping",
    topic="hopping",
    aggregate=Aggregate(value=likes, result=total, size_s=60, slide_s=20),
)


@pytest.fixture
def config(kafka_server: KafkaServer) -> KafkaClientConfig:
    return KafkaClientConfig(
        servers=kafka_server.address,
        group=f"test-{uuid.uuid4().hex}",
        partitions=3,
        topic_prefix=new_prefix(),
    )


def history(chance: random.Random) -> Iterator[NewRecord]:
    """Yield what is observed of posts, in no order: versions, deletions, late ones and repeats."""
    records = []
    for number in range(POSTS):
        created_s = chance.uniform(0, 900)
        for _ in range(chance.randrange(1, 5)):
            key, observed_s = f"k{number}", created_s + chance.uniform(0, HORIZON_S * 1.2)
            observed_at = START + timedelta(seconds=observed_s)
            if chance.random() < 0.15:
                gone = Stamp(key=key, event="delete", observed_at=observed_at)
                value = encode(Deletion(id=key, mastostream=gone))
            else:
                ahead_s = 5_000 if chance.random() < 0.03 else chance.choice((0, 0, 0, 0.3))
                post = Post(
                    id=key,
                    created_at=START + timedelta(seconds=created_s + ahead_s),
                    account=Account(acct="a"),
                    favourites_count=chance.randrange(100),
                    mastostream=Stamp(
                        key=key, event=chance.choice(EVENTS), observed_at=observed_at
                    ),
                )
                value = encode(post)
            records.append(NewRecord("", key, value))
    records += chance.sample(records, 100)
    chance.shuffle(records)
    yield from records


@pytest.mark.parametrize("analysis", [COUNT, HOPPING], ids=["tumbling", "hopping"])
def test_the_newest_record_of_each_window_equals_a_recount(
    config: KafkaClientConfig, rng: random.Random, analysis: Analysis
) -> None:
    """Whatever the order, and wherever an engine is killed: what it has not committed is lost."""
    topic = new_topic()
    with closing(KafkaLogWriter(config)) as writer:
        writer.append([record._replace(topic=topic) for record in history(rng)])

    def engine() -> LocalEngine:
        spec = spec_of(analysis, HORIZON_S * 1000)
        log = KafkaWindowLog(config, topic=topic, analysis=analysis.state_name, spec=spec)
        return LocalEngine(
            log,
            [analysis],
            clock=SystemClock(),
            horizon_ms=HORIZON_S * 1000,
            timing=WindowTiming(delay_s=rng.choice((0.0, 60.0)), correct_every_s=0.2),
            batch=rng.randrange(20, 200),
        )

    for _ in range(3):
        with closing(engine()) as some:
            for _ in range(rng.randrange(1, 4)):
                some.step(0.0)
    with closing(engine()) as last:
        while last.step(0.0):
            pass
        last.write_windows()
        last.finish()
    with closing(KafkaLogReader(config, topic=topic, group=new_topic())) as reader:
        records = read_all(reader)
    expected = newest_records(analysis, records, HORIZON_S * 1000)
    assert len(expected) > 40
    with closing(KafkaLogReader(config, topic=str(analysis.topic), group=new_topic())) as reader:
        assert newest(read_all(reader)) == expected
    with closing(KafkaLogReader(config, topic=LATE, group=new_topic())) as reader:
        told = {str(record.key) for record in read_all(reader)}
    assert told == {key for key, _ in late_posts(records, HORIZON_S * 1000)}
