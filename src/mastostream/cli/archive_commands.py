"""``archive``, ``archive verify``, ``archive compact``, and ``replay``: files into a log."""

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import attrs
import click
from click.core import ParameterSource
from rich import box
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from mastostream.cli.options import Output, common, tell, topic_option
from mastostream.cli.pipeline import (
    MakeSettings,
    metrics_option,
    once_option,
    run_stage,
    seconds_option,
)
from mastostream.cli.run_view import stopping
from mastostream.core.topic_names import STREAM
from mastostream.dashboards.text import safe
from mastostream.exceptions import FatalError
from mastostream.sources.file_check import check_files
from mastostream.sources.replay import replay as replay_into
from mastostream.sources.replay import total_bytes
from mastostream.sources.text_file import TextFile
from mastostream.wiring import (
    archiver,
    compact,
    data_paths,
    export,
    log_writer,
    replay_inputs,
    stage_lock,
    system_clock,
    topic_name,
    verify,
)

__all__ = ["archive", "replay"]

_T = TypeVar("_T")
_TARGET_MB: Final = 128

folder_option = click.option(
    "--folder",
    metavar="FOLDER",
    help="The archive: a folder, or hdfs://host:port/path.  [default: the setting archive.folder]",
)


def _unless_subcommand(command: Callable[..., _T]) -> Callable[..., _T | None]:
    """Run the group's own command only if no subcommand was named."""

    @functools.wraps(command)
    def wrapped(**options: Any) -> _T | None:
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            return command(**options)
        given = [
            parameter.opts[0]
            for parameter in context.command.params
            if parameter.name
            and context.get_parameter_source(parameter.name) == ParameterSource.COMMANDLINE
        ]
        if given:
            raise click.UsageError(
                f"{' '.join(given)} goes behind the command: "
                f"mastostream archive {context.invoked_subcommand} {given[0]} ..."
            )
        return None

    return wrapped


@click.group(invoke_without_command=True)
@_unless_subcommand
@common
@topic_option("What to archive.")
@folder_option
@click.option("--format", "form", type=click.Choice(["jsonl", "parquet"]), help="Of the files.")
@click.option("--compression", type=click.Choice(["none", "gzip", "zstd"]), help="Of the files.")
@click.option("--by-date/--no-by-date", default=None, help="A folder for each day.")
@click.option("--rotate-seconds", type=float, help="Finish a file at this age.")
@click.option("--rotate-records", type=int, help="Finish a file at this many records.")
@once_option
@seconds_option
@metrics_option
def archive(
    settings: MakeSettings,
    output: Output,
    topic: str,
    folder: str | None,
    form: str | None,
    compression: str | None,
    by_date: bool | None,
    rotate_seconds: float | None,
    rotate_records: int | None,
    once: bool,
    seconds: float | None,
    metrics_port: int | None,
) -> None:
    """Keep the raw posts in files.

    JSON lines or Parquet, in a folder or in HDFS; without a command it archives.
    """
    chosen = settings(
        archive__folder=folder,
        archive__format=form,
        archive__compression=compression,
        archive__by_date=by_date,
        archive__rotate_s=rotate_seconds,
        archive__rotate_records=rotate_records,
    )
    with stage_lock(chosen, [f"archive-{topic}"] if topic != STREAM else ["archive"]):
        stage = archiver(chosen, system_clock(), topic)
        run_stage(stage, chosen, output, once, seconds, metrics_port)
    if not output.json:
        tell(output, f"The archive is in {data_paths(chosen).archive}")


@archive.command("verify")
@common
@topic_option("Whose files.")
@folder_option
def verify_command(settings: MakeSettings, output: Output, topic: str, folder: str | None) -> None:
    """Read all of it: no gap, no overlap, every byte as it was written.

    Exit code 4 where something is wrong; each problem is told on a line of its own.
    """
    chosen = settings(archive__folder=folder)
    place, name = data_paths(chosen).archive, topic_name(chosen, topic)
    with _bar(output, "verify") as (bar, task):
        result = verify(chosen, topic, lambda size_bytes: bar.advance(task, size_bytes))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for column in ("partition", "files", "records", "bytes", "first", "last"):
        table.add_column(column, justify="right")
    for facts in result.partitions:
        output.emit("partition", topic=name, **attrs.asdict(facts))
        cells = (facts.partition, facts.files, facts.records, facts.size_bytes)
        table.add_row(*map(str, (*cells, facts.first, facts.last)))
    if not output.json:
        output.console.print(
            table if result.partitions else f"There is no archive of {name} in {safe(place)}."
        )
    for problem in result.problems:
        output.emit("problem", problem=problem)
        if not output.json:
            tell(output, f"problem: {safe(problem)}")
    output.emit(
        "done",
        problems=len(result.problems),
        replaced=result.replaced,
        unfinished=result.unfinished,
    )
    if not output.json:
        left = f"{result.replaced} merged files not removed yet, {result.unfinished} being written"
        tell(output, f"{len(result.problems)} problems; {left}")
    if result.problems:
        raise FatalError(f"the archive in {place} has {len(result.problems)} problems: see above")


@archive.command("compact")
@common
@topic_option("Whose files.")
@folder_option
@click.option(
    "--target-mb",
    type=click.IntRange(min=1),
    default=_TARGET_MB,
    show_default=True,
    help="Make files of up to this size, as they are stored.",
)
@click.option(
    "--single",
    metavar="OUTPUT",
    help="Leave the archive alone and write one new file of JSON lines, such as "
    "tweets_data.json: every record as it was archived. Compressed with .gz or .zst.",
)
def compact_command(
    settings: MakeSettings,
    output: Output,
    topic: str,
    folder: str | None,
    target_mb: int,
    single: str | None,
) -> None:
    """Make few large files of many small ones.

    An archiver may go on meanwhile, and a crash loses and repeats nothing.
    """
    chosen = settings(archive__folder=folder)
    with _bar(output, "compact") as (bar, task):

        def on_progress(size_bytes: int, total: int) -> None:
            bar.update(task, advance=size_bytes, total=total)

        if single is not None:
            records = export(chosen, topic, single, on_progress)
        else:
            done = compact(chosen, topic, system_clock(), target_mb * 2**20, on_progress)
    if single is not None:
        output.emit("done", records=records, output=single)
        message = f"{records} records are in {single}"
    else:
        output.emit("done", **attrs.asdict(done))
        message = f"{done.merged} files became {done.made}, {done.removed} leftovers removed; "
        message += f"{done.files} files in {data_paths(chosen).archive}"
    if not output.json:
        tell(output, message)


@click.command()
@common
@click.argument("place", metavar="PATH")
@topic_option("Where the records go.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="A multiple of real time by creation. Default: as fast as it goes.",
)
def replay(
    settings: MakeSettings, output: Output, place: str, topic: str, speed: float | None
) -> None:
    """Send an archive, or any file of statuses, into the log.

    PATH is a folder of the archive (also hdfs://host:port/path), a Parquet file of one, or a file
    of statuses as JSON: one a line, one after the other, or in arrays; plain or compressed by gzip,
    bzip2 or zstd. A file is read to its end before anything is sent. One that is damaged, cut
    short, or holds too much that is no status is refused as a whole, with exit code 2.
    """
    chosen = settings()
    files = replay_inputs(chosen, place)
    texts = [file for file in files if isinstance(file, TextFile)]
    stop = threading.Event()
    with stopping(stop):
        if texts:
            _check(texts, output, statuses=topic == STREAM, stop=stop)
        writer = log_writer(chosen)
        try:
            with _bar(output, "replay", total_bytes(files)) as (bar, task):
                result = replay_into(
                    files,
                    writer,
                    topic=topic,
                    clock=system_clock(),
                    stop=stop,
                    speed=speed,
                    on_progress=lambda records, done: bar.update(
                        task, completed=done, label=f"{records} records"
                    ),
                )
        finally:
            writer.close()
    output.emit("done", **attrs.asdict(result))
    if not output.json:
        tell(
            output,
            f"{'stopped' if stop.is_set() else 'done'}: {result.records} records into "
            f"{topic_name(chosen, topic)}, {result.undecodable} of them no posts",
        )


def _check(
    files: Sequence[TextFile], output: Output, *, statuses: bool, stop: threading.Event
) -> None:
    with _bar(output, "check", total_bytes(files)) as (bar, task):
        check_files(
            files,
            statuses=statuses,
            stop=stop,
            on_progress=lambda done: bar.update(task, completed=done),
        )


@contextmanager
def _bar(output: Output, name: str, total: int | None = None) -> Iterator[tuple[Progress, TaskID]]:
    """Show a progress bar that counts bytes; yield it and its task."""
    columns = (
        TextColumn("{task.fields[label]}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=output.console, disable=output.json) as bar:
        yield bar, bar.add_task(name, total=total, label=name)
