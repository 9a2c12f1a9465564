"""The topics of the log."""

import click
from rich import box
from rich.table import Table
from rich.text import Text

from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import Settings
from mastostream.wiring import TOPICS, kafka_place, log_name, topic_name
from mastostream.wiring import topics as topic_facts

__all__ = ["topics"]

_DAY_MS = 86_400_000


@click.command()
@common
@click.option("--check", is_flag=True, help="Make nothing; exit with 2 where something is missing.")
def topics(settings: MakeSettings, output: Output, check: bool) -> None:
    """Make the topics that are missing, and compare the others with the settings.

    On Kafka: partitions, copies and retention. In the data folder topics make themselves.
    """
    chosen = settings()
    missing = _on_kafka(chosen, output, create=not check) if chosen.log == "kafka" else ()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("topic", "partition", "first", "next", "records"):
        table.add_column(name, justify="left" if name == "topic" else "right")
    for facts in topic_facts(chosen):
        name = topic_name(chosen, facts.topic)
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
        output.console.print(table if table.rows else f"There are no topics in {log_name(chosen)}.")
    if missing:
        click.get_current_context().exit(2)


def _on_kafka(settings: Settings, output: Output, *, create: bool) -> tuple[str, ...]:
    from mastostream.log.kafka import check_topics  # noqa: PLC0415 - an extra

    checks, missing = check_topics(kafka_place(settings), TOPICS, create=create)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("topic", "partitions", "copies", "kept", "state"):
        table.add_column(name, overflow="fold")
    for each in checks:
        state = "made" if each.created else "; ".join(each.differences) or "as set"
        kept = "for ever" if each.retention_ms < 0 else f"{each.retention_ms / _DAY_MS:g} days"
        if each.retention_bytes >= 0:
            kept += f", {each.retention_bytes} bytes a partition"
        output.emit(
            "topic",
            topic=each.topic,
            created=each.created,
            partitions=each.partitions,
            replication=each.replication,
            retention_ms=each.retention_ms,
            retention_bytes=each.retention_bytes,
            differences=each.differences,
        )
        row = (each.topic, str(each.partitions), str(each.replication), kept, state)
        table.add_row(*map(Text, row))
    for topic in missing:
        output.emit("missing", topic=topic)
        table.add_row(Text(topic), "", "", "", "missing")
    if not output.json:
        output.console.print(table)
        if any(each.differences for each in checks):
            tell(
                output,
                "What differs stays as it is: change it with Kafka's own kafka-topics and "
                "kafka-configs, or change the settings.",
            )
    return missing
