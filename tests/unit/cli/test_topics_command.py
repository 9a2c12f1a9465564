"""What ``topics`` shows of topics in Kafka."""

import io
import json

import pytest
from click.exceptions import Exit
from rich.console import Console
from tests.unit.log.fake_kafka import FakeKafka

from mastostream.cli.options import Output
from mastostream.cli.topics_command import show_kafka_topics


@pytest.mark.parametrize("prefix", ["", "team-a."])
def test_topics_are_shown_with_their_prefix(
    capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    config = FakeKafka({0: 5}, topics={f"{prefix}Mastodon_stream"}).config(prefix)
    console = Console(file=io.StringIO(), width=120)
    with pytest.raises(Exit) as done:
        show_kafka_topics(config, "", Output(json=True, console=console), create=False)
    assert done.value.exit_code == 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for kind in ("topic", "partition"):
        assert [message["topic"] for message in lines if message["kind"] == kind] == [
            f"{prefix}Mastodon_stream"
        ]
    missing = {message["topic"] for message in lines if message["kind"] == "missing"}
    assert f"{prefix}mastodon-late" in missing
    assert all(topic.startswith(prefix) for topic in missing)
    with pytest.raises(Exit):
        show_kafka_topics(config, "", Output(json=False, console=console), create=False)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count(f" {prefix}Mastodon_stream ") == 2
