"""Sending records again: archives, files, dead letters."""

import base64
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click
from rich import box
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mastostream.cli.live import stopping
from mastostream.cli.options import Output, common, tell, topic_option
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import Settings
from mastostream.core.dead_letters import DeadLetter, dead_letter_of
from mastostream.core.topics import DEAD_LETTERS
from mastostream.dashboards.text import safe
from mastostream.exceptions import ConfigurationError
from mastostream.ports.log import NewRecord
from mastostream.sources.replay import replay as replay_into
from mastostream.sources.replay import replay_files, total_bytes
from mastostream.wiring import (
    dead_letter_reader,
    log_writer,
    system_clock,
    topics,
    unwrap_line,
)

__all__ = ["dead_letters", "replay"]

_BATCH = 500


@click.command()
@common
@click.argument("path", type=click.Path(path_type=Path))
@topic_option("Where the records go.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="A multiple of real time by creation. Default: as fast as it goes.",
)
def replay(
    settings: MakeSettings, output: Output, path: Path, topic: str, speed: float | None
) -> None:
    """Send an archive, or any file of statuses, into the log.

    PATH is a folder of the archive, or a file of JSON lines (plain, .gz, .zst) or a JSON array.
    """
    chosen = settings()
    files = replay_files(path)
    stop = threading.Event()
    writer = log_writer(chosen)
    columns = (
        TextColumn("{task.fields[records]} records"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    try:
        with stopping(stop), Progress(*columns, console=output.console, disable=output.json) as bar:
            task = bar.add_task("replay", total=total_bytes(files), records=0)
            result = replay_into(
                files,
                writer,
                topic=topic,
                clock=system_clock(),
                stop=stop,
                unwrap=unwrap_line,
                speed=speed,
                on_progress=lambda records, done: bar.update(task, completed=done, records=records),
            )
    finally:
        writer.close()
    output.emit("done", **attrs.asdict(result))
    if not output.json:
        tell(
            output,
            f"{'stopped' if stop.is_set() else 'done'}: {result.records} records into "
            f"{topic}, {result.undecodable} of them no posts",
        )


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
    for found, letter in _letters(settings()):
        if found != number:
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
    # What fails again while this runs is a dead letter anew: it waits for the next time.
    ends = {
        each.partition: each.next_offset for each in topics(chosen) if each.topic == DEAD_LETTERS
    }
    sent: set[str] = set()
    skipped = 0
    try:
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
    finally:
        reader.close()
        writer.close()
    output.emit("done", replayed=len(sent), skipped=skipped)
    if not output.json:
        told = f", {skipped} left out: they belong to no record" if skipped else ""
        tell(output, f"{len(sent)} records sent again{told}")


def _letters(settings: Settings) -> Iterator[tuple[int, DeadLetter]]:
    reader = dead_letter_reader(settings, "dead-letters-list")
    try:
        while records := reader.read(_BATCH, 0.0):
            for record in records:
                number = record.offset * settings.partitions + record.partition
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
