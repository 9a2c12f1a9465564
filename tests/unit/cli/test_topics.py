"""What ``topics`` shows of topics in Kafka."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mastostream.cli.main import cli
from mastostream.log.kafka import KafkaPlace, TopicCheck
from mastostream.ports.log import TopicFacts


@pytest.mark.parametrize("prefix", ["", "team-a."])
def test_topics_are_shown_with_their_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    def check(place: KafkaPlace, topics: list[str], **_: object) -> object:
        found = TopicCheck(
            topic=place.full_name(topics[0]),
            created=False,
            partitions=4,
            replication=1,
            retention_ms=-1,
            retention_bytes=-1,
            differences=(),
        )
        return (found,), tuple(map(place.full_name, topics[1:]))

    def facts(_: KafkaPlace, topics: list[str]) -> list[TopicFacts]:
        return [TopicFacts(topic=topics[0], partition=0, first_offset=0, next_offset=5)]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mastostream.log.kafka.check_topics", check)
    monkeypatch.setattr("mastostream.log.kafka.kafka_topic_facts", facts)
    monkeypatch.setenv("MASTOSTREAM_KAFKA_TOPIC_PREFIX", prefix)
    arguments = ["topics", "--log", "kafka", "--check"]
    done = CliRunner().invoke(cli, [*arguments, "--json"])
    assert done.exit_code == 2
    told = [json.loads(line) for line in done.stdout.splitlines()]
    for kind in ("topic", "partition"):
        assert [each["topic"] for each in told if each["kind"] == kind] == [
            f"{prefix}Mastodon_stream"
        ]
    missing = {each["topic"] for each in told if each["kind"] == "missing"}
    assert f"{prefix}mastodon-late" in missing
    assert all(topic.startswith(prefix) for topic in missing)
    shown = CliRunner().invoke(cli, arguments).output
    assert shown.count(f" {prefix}Mastodon_stream ") == 2
