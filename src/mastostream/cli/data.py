"""``dead-letters``: list dead letters, show one, and send their records again."""

import base64
import sys
from collections.abc import Iterator
from typing import Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import Settings
from mastostream.core.dead_letters import DeadLetter, dead_letter_of
from mastostream.core.topic_names import DEAD_LETTERS
from mastostream.dashboards.text import safe
from mastostream.exceptions import ConfigurationError
from mastostream.ports.log import LogReader, LogWriter, NewRecord, Positions
from mastostream.wiring import (
    dead_letter_reader,
    log_ends,
    log_writer,
)

__all__ = ["dead_letters", "send_again"]

_BATCH = 500


@click.group("dead-letters")
def dead_letters() -> None:
    """List, look at and retry what failed."""


@dead_letters.command("list")
@common
def list_letters(settings: MakeSettings, output: Output) -> None:
    """List all dead letters with their reasons."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("number", "stage", "from", "time"):
        table.add_column(name, no_wrap=True)
    table.add_column("reasons", overflow="fold")
    count = 0
    for number, letter in _letters(settings()):
        count += 1
        output.emit("dead-letter", number=number, **_members(letter))
        table.add_row(
            str(number),
            Text(safe(letter.stage)),
            Text(safe(letter.origin)),
            f"{letter.time:%m-%d %H:%M:%S}",
            Text("\n".join(safe(reason) for reason in letter.reasons)),
        )
    if not output.json:
        output.console.print(table if count else "There are no dead letters.")


@dead_letters.command()
@common
@click.argument("number", type=int)
@click.option("--raw", is_flag=True, help="Write the original bytes, nothing else.")
def show(settings: MakeSettings, output: Output, number: int, raw: bool) -> None:
    """Show one dead letter, with its original bytes made harmless."""
    for letter_number, letter in _letters(settings()):
        if letter_number != number:
            continue
        if raw:
            sys.stdout.buffer.write(letter.raw)
            return
        encoded = base64.b64encode(letter.raw).decode()
        output.emit("dead-letter", number=number, **_members(letter), raw_base64=encoded)
        if not output.json:
            for name, value in _members(letter).items():
                for line in value if isinstance(value, list) else [value]:
                    tell(output, f"{name}: {safe(str(line))}")
            tell(output, f"bytes: {len(letter.raw)}")
            tell(output, safe(letter.raw.decode("utf-8", "replace")))
        return
    raise ConfigurationError(
        f"there is no dead letter {number}: see 'mastostream dead-letters list'"
    )


@dead_letters.command("replay")
@common
def replay_letters(settings: MakeSettings, output: Output) -> None:
    """Send what has not been sent again yet back to the topic that it came from."""
    chosen = settings()
    reader = dead_letter_reader(chosen, "dead-letters-replay")
    writer = log_writer(chosen)
    # A record that fails again becomes a new dead letter behind these ends, for the next replay.
    ends = log_ends(chosen, DEAD_LETTERS)
    try:
        sent, skipped = send_again(reader, writer, ends)
    finally:
        reader.close()
        writer.close()
    output.emit("done", replayed=sent, skipped=skipped)
    if not output.json:
        note = f", {skipped} left out: they belong to no record" if skipped else ""
        tell(output, f"{sent} records sent again{note}")


def send_again(reader: LogReader, writer: LogWriter, ends: Positions) -> tuple[int, int]:
    """Send the records of dead letters to their topics again.

    A record with several dead letters is sent once. After a crash, some may be sent twice.

    Args:
        reader: reads the dead letters. Their offsets are committed after their records were sent.
        writer: appends to the same log.
        ends: partition of the dead letters to the offset at which to stop.

    Returns:
        The number of records that were sent, and the number of dead letters that were left out
        because they name no record.
    """
    sent: set[str] = set()
    skipped = 0
    while records := [
        record
        for record in reader.read(_BATCH, 0.0)
        if record.offset < ends.get(record.partition, 0)
    ]:
        batch = []
        for record in records:
            letter = dead_letter_of(record.value, record.headers)
            if not letter.topic or letter.partition < 0:
                skipped += 1
            elif letter.origin not in sent:
                sent.add(letter.origin)
                batch.append(NewRecord(letter.topic, letter.key, letter.raw))
        writer.append(batch)
        reader.commit({record.partition: record.offset + 1 for record in records})
    return len(sent), skipped


def _letters(settings: Settings) -> Iterator[tuple[int, DeadLetter]]:
    reader = dead_letter_reader(settings, "dead-letters-list")
    partitions = len(log_ends(settings, DEAD_LETTERS))
    try:
        while records := reader.read(_BATCH, 0.0):
            for record in records:
                # Unique across partitions, and the same at every reading.
                number = record.offset * partitions + record.partition
                yield number, dead_letter_of(record.value, record.headers)
    finally:
        reader.close()


def _members(letter: DeadLetter) -> dict[str, Any]:
    return {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": letter.key,
        "stage": letter.stage,
        "time": letter.time.isoformat(),
        "reasons": list(letter.reasons),
    }
