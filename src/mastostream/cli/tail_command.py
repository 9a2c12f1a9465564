"""``tail``: show the records of a topic, the last ones or those from a place on."""

import base64
import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Final

import attrs
import click

from mastostream.cli.options import Output, common, tell, utc_time
from mastostream.cli.pipeline import MakeSettings
from mastostream.cli.run_view import stopping
from mastostream.core.time import from_ms, to_ms
from mastostream.dashboards.record_line import record_line
from mastostream.dashboards.text import safe
from mastostream.exceptions import ConfigurationError
from mastostream.ports.log import LogReader, Positions, Record, TopicFacts
from mastostream.wiring import log_name, log_reader, topic_name, topic_names
from mastostream.wiring import topics as topic_facts

__all__ = ["Start", "newest_records", "shown_records", "tail"]

LAST: Final = 10
"""The number of records that are shown first, if nothing else is asked for."""

_BATCH: Final = 500
_WAIT_S: Final = 0.5
"""How long a reader waits for a new record, before it looks whether it has to stop."""

_WIDER: Final = 8
"""How many times more records are looked at, if there were too few with the key among the last."""

Wanted = Callable[[Record], bool]


@attrs.frozen
class Start:
    """The place in a topic from which on records are shown.

    Attributes:
        offset: the offset in each partition; where it is not kept any more, the oldest one.
        time_ms: records that were appended before are left out; milliseconds since the epoch.
    """

    offset: int = 0
    time_ms: int = 0


def _start(_: click.Context, __: click.Parameter, value: str | None) -> Start | None:
    if value is None:
        return None
    if value == "beginning":
        return Start()
    if value.isdecimal() and value.isascii():
        return Start(offset=int(value))
    try:
        return Start(time_ms=to_ms(utc_time(value)))
    except ValueError:
        raise click.BadParameter(
            f"{value!r}: expected 'beginning', an offset, or a time such as 2026-03-04T10:00"
        ) from None


@click.command()
@common
@click.argument("topic")
@click.option("--key", help="Only records with this key.")
@click.option(
    "--from",
    "start",
    metavar="PLACE",
    callback=_start,
    help="Begin at an offset, at a time (UTC unless it says otherwise), or at the 'beginning'.",
)
@click.option(
    "--count", type=click.IntRange(min=1), help="Show so many at most, and end.  [default: 10]"
)
@click.option("--once", is_flag=True, help="End with what is there now.")
def tail(
    settings: MakeSettings,
    output: Output,
    topic: str,
    key: str | None,
    start: Start | None,
    count: int | None,
    once: bool,
) -> None:
    """Show the records of a TOPIC: the last ones, or those from a place on.

    It waits for further ones until Ctrl-C, unless --count or --once ends it. Nothing is changed,
    and no other reader notices. With --json, each record is one object with its bytes as they are.
    """
    chosen = settings()
    facts = [each for each in topic_facts(chosen, (topic,)) if each.topic == topic]
    if not facts:
        known = ", ".join(safe(topic_name(chosen, name)) for name in topic_names(chosen))
        raise ConfigurationError(
            f"there is no topic {safe(topic_name(chosen, topic))} in {log_name(chosen)}: "
            + (f"known are {known}" if known else "it has none yet")
        )
    stop = threading.Event()
    with stopping(stop), closing(log_reader(chosen, topic, "tail", shared=False)) as reader:
        records = shown_records(
            reader,
            facts,
            start=start,
            wanted=lambda record: key is None or record.key == key,
            count=count,
            follows=not once and count is None,
            stop=stop,
        )
        for record in records:
            _show(record, output)


def shown_records(
    reader: LogReader,
    facts: Sequence[TopicFacts],
    *,
    start: Start | None,
    wanted: Wanted,
    count: int | None,
    follows: bool,
    stop: threading.Event,
) -> Iterator[Record]:
    """Yield records of a topic, as they are asked for; each partition in its order.

    Args:
        reader: reads the topic; its positions are not committed.
        facts: the topic's partitions.
        start: the first record; ``None`` for the last ones, in the order of the log's times.
        wanted: whether a record is shown.
        count: the most records to yield; all by default, and of the last ones :data:`LAST`.
        follows: whether to go on with new records, after those that ``count`` limits.
        stop: set it to end.
    """
    first = start or Start()
    ends = {each.partition: each.next_offset for each in facts}

    def shown(record: Record) -> bool:
        return (
            record.offset >= first.offset
            and record.timestamp_ms >= first.time_ms
            and wanted(record)
        )

    if start is None:
        yield from newest_records(reader, facts, count or LAST, wanted, stop)
    else:
        reader.seek(
            {
                each.partition: min(max(each.first_offset, first.offset), each.next_offset)
                for each in facts
            }
        )
        yield from islice(filter(shown, _before(reader, ends, stop)), count)
    reader.seek(ends)
    while follows and not stop.is_set():
        yield from filter(shown, reader.read(_BATCH, _WAIT_S))


def newest_records(
    reader: LogReader,
    facts: Sequence[TopicFacts],
    count: int,
    wanted: Wanted,
    stop: threading.Event,
) -> list[Record]:
    """Return the newest records that are wanted, oldest first, by the time of the log.

    It looks at ever more of each partition until there are enough, or no more. In memory it holds
    one batch and the result.
    """
    firsts = {each.partition: each.first_offset for each in facts}
    ends = {each.partition: each.next_offset for each in facts}
    looked_at = count
    while True:
        starts = {
            partition: max(first, ends[partition] - looked_at)
            for partition, first in firsts.items()
        }
        reader.seek(starts)
        newest = heapq.nlargest(count, filter(wanted, _before(reader, ends, stop)), key=_age)
        if len(newest) == count or starts == firsts or stop.is_set():
            return newest[::-1]
        looked_at *= _WIDER


def _age(record: Record) -> tuple[int, int, int]:
    return record.timestamp_ms, record.partition, record.offset


def _before(reader: LogReader, ends: Positions, stop: threading.Event) -> Iterator[Record]:
    """Yield the records from where the reader is up to these ends; it may read further."""
    unread = set(ends)
    while unread and not stop.is_set():
        records = reader.read(_BATCH, 0.0)
        for record in records:
            end = ends.get(record.partition, 0)
            if record.offset < end:
                yield record
            if record.offset + 1 >= end:
                unread.discard(record.partition)
        if len(records) < _BATCH:
            return


def _show(record: Record, output: Output) -> None:
    output.emit("record", **_members(record))
    if not output.json:
        tell(output, record_line(record))


def _members(record: Record) -> dict[str, Any]:
    members: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": from_ms(record.timestamp_ms).isoformat(),
        "key": record.key,
        "headers": {name: value.decode("utf-8", "replace") for name, value in record.headers},
    }
    try:
        return members | {"value": record.value.decode()}
    except UnicodeDecodeError:
        return members | {"value_base64": base64.b64encode(record.value).decode()}
