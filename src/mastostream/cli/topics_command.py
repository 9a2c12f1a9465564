"""``topics``: create the topics of the log that are missing, and show them."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.exceptions import Exit
from rich import box
from rich.table import Table
from rich.text import Text

from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.ports.log import TopicFacts
from mastostream.wiring import TOPICS, kafka_client_config, log_name
from mastostream.wiring import topics as topic_facts

if TYPE_CHECKING:
    from mastostream.log.kafka import KafkaClientConfig, TopicCheck

__all__ = ["show_kafka_topics", "topics"]

_DAY_MS = 86_400_000


@click.command()
@common
@click.option("--check", is_flag=True, help="Make nothing; exit with 2 where something is missing.")
def topics(settings: MakeSettings, output: Output, check: bool) -> None:
    """Make the topics that are missing, and compare the others with the settings.

    On Kafka: partitions, copies and retention. In the data folder topics make themselves.
    """
    chosen = settings()
    if chosen.log == "kafka":
        show_kafka_topics(kafka_client_config(chosen), log_name(chosen), output, create=not check)
    else:
        _show_partitions(topic_facts(chosen), str, log_name(chosen), output)


def show_kafka_topics(
    config: "KafkaClientConfig", where: str, output: Output, *, create: bool
) -> None:
    """Show the topics of the built-in stages, by their names in Kafka, and their partitions.

    Args:
        config: says where Kafka is, and how the topics should be configured.
        where: the address of the log, for a person.
        output: to print to.
        create: whether to create topics that are missing.

    Raises:
        Exit: topics are missing.
        RetriableError, ConfigurationError, FatalError: Kafka cannot be reached or used.
    """
    from mastostream.log.kafka import check_topics, kafka_topic_facts  # noqa: PLC0415 - needs an extra

    checks, missing = check_topics(config, TOPICS, create=create)
    _show_checks(checks, missing, output)
    facts = kafka_topic_facts(config, TOPICS)
    _show_partitions(facts, config.full_name, where, output)
    if missing:
        raise Exit(2)


def _show_partitions(
    partitions: Iterable[TopicFacts], full_name: Callable[[str], str], where: str, output: Output
) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("topic", "partition", "first", "next", "records"):
        table.add_column(name, justify="left" if name == "topic" else "right")
    for facts in partitions:
        name = full_name(facts.topic)
        output.emit(
            "partition",
            topic=name,
            partition=facts.partition,
            first_offset=facts.first_offset,
            next_offset=facts.next_offset,
            size_bytes=facts.size_bytes,
        )
        numbers = (facts.partition, facts.first_offset, facts.next_offset)
        count = facts.next_offset - facts.first_offset
        table.add_row(Text(name), *map(str, (*numbers, count)))
    if not output.json:
        output.console.print(table if table.rows else f"There are no topics in {where}.")


def _show_checks(checks: Iterable["TopicCheck"], missing: Iterable[str], output: Output) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("topic", "partitions", "copies", "kept", "state"):
        table.add_column(name, overflow="fold")
    for check in checks:
        state = "made" if check.created else "; ".join(check.differences) or "as set"
        kept = "for ever" if check.retention_ms < 0 else f"{check.retention_ms / _DAY_MS:g} days"
        if check.retention_bytes >= 0:
            kept += f", {check.retention_bytes} bytes a partition"
        output.emit(
            "topic",
            topic=check.topic,
            created=check.created,
            partitions=check.partitions,
            replication=check.replication,
            retention_ms=check.retention_ms,
            retention_bytes=check.retention_bytes,
            differences=check.differences,
        )
        row = (check.topic, str(check.partitions), str(check.replication), kept, state)
        table.add_row(*map(Text, row))
    for topic in missing:
        output.emit("missing", topic=topic)
        table.add_row(Text(topic), "", "", "", "missing")
    if not output.json:
        output.console.print(table)
        if any(check.differences for check in checks):
            tell(
                output,
                "What differs stays as it is: change it with Kafka's own kafka-topics and "
                "kafka-configs, or change the settings.",
            )
