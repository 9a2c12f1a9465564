"""``dead-letters``: list dead letters, show one, and send their records again."""

import base64
import functools
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeVar

import attrs
import click
from rich import box
from rich.table import Table
from rich.text import Text

from mastostream.cli.options import Output, common, tell, utc_time
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import Settings
from mastostream.core.codec import encode
from mastostream.core.dead_letters import (
    DeadLetter,
    dead_letter_matches,
    dead_letter_of,
    reason_kind,
)
from mastostream.core.topic_names import DEAD_LETTERS, REPLAYED
from mastostream.dashboards.text import safe
from mastostream.exceptions import ConfigurationError
from mastostream.ports.log import LogReader, LogWriter, NewRecord, Positions
from mastostream.wiring import (
    dead_letter_reader,
    log_ends,
    log_reader,
    log_writer,
)

__all__ = ["SentAgain", "dead_letters", "send_again", "summarize"]

_BATCH: Final = 500
_T = TypeVar("_T")

Wanted = Callable[[DeadLetter], bool]
Counts = Counter[tuple[str, str]]
"""A number of dead letters for each stage and kind of reason."""


def _since(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    try:
        return None if value is None else utc_time(value)
    except ValueError:
        raise click.BadParameter(f"{value!r}: expected a time such as 2026-03-04T10:00") from None


def _selection(command: Callable[..., _T]) -> Callable[..., _T]:
    """Add the common options, and those that choose dead letters.

    The command is called with ``wanted``, which says of a dead letter whether it is chosen.
    """

    @common
    @click.option("--stage", help="Of this stage, such as 'index', or 'analyze' for any analysis.")
    @click.option("--reason", help="With this text in a reason.")
    @click.option(
        "--since", callback=_since, help="From this time on; UTC unless it says otherwise."
    )
    @click.option("--limit", type=click.IntRange(min=1), help="So many at most.")
    @click.option("--summary", is_flag=True, help="Show how many by stage and reason.")
    @functools.wraps(command)
    def wrapped(stage: str | None, reason: str | None, since: datetime | None, **rest: Any) -> _T:
        wanted = functools.partial(dead_letter_matches, stage=stage, reason=reason, since=since)
        return command(wanted=wanted, **rest)

    return wrapped


@click.group("dead-letters")
def dead_letters() -> None:
    """List, look at and retry what failed."""


@dead_letters.command("list")
@_selection
def list_letters(
    settings: MakeSettings, output: Output, wanted: Wanted, limit: int | None, summary: bool
) -> None:
    """List dead letters with their reasons, the oldest first."""
    chosen = settings()
    letters = (each for each in _letters(chosen) if wanted(each[1]))
    if summary:
        _show_summary(summarize(letter for _, letter in islice(letters, limit)), output)
        return
    replayed = _replayed(chosen)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("number", "stage", "from", "time", "replayed"):
        table.add_column(name, no_wrap=True)
    table.add_column("reasons", overflow="fold")
    for number, letter in islice(letters, limit):
        was_replayed = letter.origin in replayed
        output.emit("dead-letter", number=number, **_members(letter), replayed=was_replayed)
        table.add_row(
            str(number),
            Text(safe(letter.stage)),
            Text(safe(letter.origin)),
            f"{letter.time:%m-%d %H:%M:%S}",
            "yes" if was_replayed else "",
            Text("\n".join(safe(reason) for reason in letter.reasons)),
        )
    if not output.json:
        output.console.print(table if table.rows else "There are no dead letters.")


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
@_selection
def replay_letters(
    settings: MakeSettings, output: Output, wanted: Wanted, limit: int | None, summary: bool
) -> None:
    """Send records back to the topic that they came from, each of them once.

    What was sent is noted in the log, so that a second run, of any choice, leaves it out.
    """
    chosen = settings()
    # A record that fails again becomes a new dead letter behind these ends, for the next replay.
    ends = log_ends(chosen, DEAD_LETTERS)
    replayed = _replayed(chosen)
    with (
        closing(dead_letter_reader(chosen, "dead-letters-replay")) as reader,
        closing(log_writer(chosen)) as writer,
    ):
        done = send_again(reader, writer, ends, replayed=replayed, wanted=wanted, limit=limit)
    if summary:
        _show_summary(done.counts, output)
    output.emit("done", replayed=done.sent, skipped=done.skipped)
    if not output.json:
        note = f", {done.skipped} left out: they belong to no record" if done.skipped else ""
        tell(output, f"{done.sent} records sent again{note}")


@attrs.frozen(kw_only=True)
class SentAgain:
    """What a replay of dead letters has done.

    Attributes:
        sent: the number of records that were sent.
        skipped: the number of dead letters that were left out because they name no record.
        counts: the dead letters whose records were sent, by stage and kind of reason.
    """

    sent: int
    skipped: int
    counts: Counts


def send_again(
    reader: LogReader,
    writer: LogWriter,
    ends: Positions,
    *,
    replayed: Collection[str] = (),
    wanted: Wanted = lambda _: True,
    limit: int | None = None,
) -> SentAgain:
    """Send the records of dead letters to their topics again, and note that in the log.

    A record with several dead letters is sent once. The note is appended together with the record:
    in SQLite both are there or neither; in Kafka a crash between them may send some records twice.
    The reader commits how far all dead letters are done, so that the next replay begins there.

    Args:
        reader: reads the dead letters.
        writer: appends to the same log.
        ends: partition of the dead letters to the offset at which to stop.
        replayed: the origins of the records that were sent by earlier replays.
        wanted: whether the record of a dead letter is to be sent.
        limit: the most records to send.
    """
    done = set(replayed)
    counts: Counts = Counter()
    sent = skipped = 0
    unfinished: set[int] = set()
    while records := [
        record
        for record in reader.read(_BATCH, 0.0)
        if record.offset < ends.get(record.partition, 0)
    ]:
        batch: list[NewRecord] = []
        positions: dict[int, int] = {}
        for record in records:
            letter = dead_letter_of(record.value, record.headers)
            if not letter.topic or letter.partition < 0:
                skipped += wanted(letter)
            elif letter.origin not in done and wanted(letter) and sent != limit:
                done.add(letter.origin)
                counts[letter.stage, reason_kind(letter)] += 1
                sent += 1
                batch.append(NewRecord(letter.topic, letter.key, letter.raw))
                batch.append(NewRecord(REPLAYED, letter.origin, encode({"key": letter.origin})))
            elif letter.origin not in done:
                unfinished.add(record.partition)
            if record.partition not in unfinished:
                positions[record.partition] = record.offset + 1
        writer.append(batch)
        reader.commit(positions)
        if sent == limit:
            break
    return SentAgain(sent=sent, skipped=skipped, counts=counts)


def summarize(letters: Iterable[DeadLetter]) -> Counts:
    """Count dead letters by stage and kind of reason."""
    return Counter((letter.stage, reason_kind(letter)) for letter in letters)


def _show_summary(counts: Counts, output: Output) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("dead letters", justify="right")
    table.add_column("stage", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for (stage, reason), count in counts.most_common():
        output.emit("summary", stage=stage, reason=reason, count=count)
        table.add_row(str(count), Text(safe(stage)), Text(safe(reason)))
    if not output.json:
        output.console.print(table if counts else "There are no dead letters.")


def _replayed(settings: Settings) -> frozenset[str]:
    """Return the origins of the records that were sent again."""
    with closing(log_reader(settings, REPLAYED, "dead-letters-replayed", shared=False)) as reader:
        origins: set[str] = set()
        while records := reader.read(_BATCH, 0.0):
            origins.update(record.key for record in records if record.key is not None)
    return frozenset(origins)


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
