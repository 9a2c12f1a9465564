"""The operators for a DataStream job: their own tests, and the example that uses them."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mastostream import (
    EngagementWeights,
    Post,
    decode,
    encode,
    engagement_record,
    hashtag_counts,
)
from mastostream.core.languages import in_languages
from mastostream.core.topic_names import STREAM
from mastostream.log.kafka import KafkaClientConfig, KafkaLogReader, KafkaLogWriter
from mastostream.ports.log import NewRecord
from mastostream.services import KafkaServer
from mastostream.testing.conformance.log import new_topic, read_all
from mastostream.testing.simulator import generate_statuses
from mastostream.testing.temporary import temporary_server

pytestmark = pytest.mark.campaign
EXAMPLE = Path(__file__).parents[3] / "examples" / "own_flink_job.py"
SUITE = Path(__file__).with_name("flink_operators_suite.py")
VALUES = [*generate_statuses(300), b"", b"\xff"]
POSTS = [item for item in map(decode, VALUES) if isinstance(item, Post)]


def run(*command: str | Path) -> str:
    done = subprocess.run([sys.executable, *command], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_does_what_its_function_does() -> None:
    pytest.importorskip("pyflink")
    output = run(
        "-m", "pytest", SUITE, "-q", "--override-ini=filterwarnings=", "-pno:cacheprovider"
    )
    assert "passed" in output
    assert "skipped" not in output


@pytest.fixture
def place(kafka_server: KafkaServer) -> Iterator[KafkaClientConfig]:
    """A broker without topics: their names are fixed."""
    with temporary_server(KafkaServer) as server:
        yield KafkaClientConfig(servers=server.address, partitions=2)


def test_the_example_from_kafka_to_kafka(place: KafkaClientConfig) -> None:
    nothing = run(EXAMPLE, "--servers", place.servers, "--once")
    assert "Mastodon_stream was not there: made it" in nothing
    with closing(KafkaLogWriter(place)) as writer:
        writer.append(
            [NewRecord(STREAM, f"k{number}", value) for number, value in enumerate(VALUES)]
        )
    output = run(EXAMPLE, "--servers", place.servers, "--languages", "en,de", "--once")
    assert "$: the record is empty" in output
    assert "$: not UTF-8 at byte 0" in output

    weights = EngagementWeights(replies=5)
    wanted = [post for post in POSTS if in_languages(post, {"en", "de"})]
    scores = [encode(engagement_record(post, weights)) for post in wanted]
    assert Counter(written(place, "post-scores")) == Counter(scores)

    sums: Counter[str] = Counter()
    for post in POSTS:
        for hashtag in hashtag_counts(post):
            sums[hashtag.tag] += hashtag.count
    last = {tag["tag"]: tag["count"] for tag in map(json.loads, written(place, "post-tags"))}
    assert {tag: last[tag] for tag in sums} == sums


def test_the_example_says_that_kafka_is_away() -> None:
    pytest.importorskip("pyflink")
    command = [sys.executable, str(EXAMPLE), "--servers", "127.0.0.1:1"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Kafka at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def written(place: KafkaClientConfig, topic: str) -> list[bytes]:
    with closing(KafkaLogReader(place, topic=topic, group=new_topic())) as reader:
        return [record.value for record in read_all(reader)]
