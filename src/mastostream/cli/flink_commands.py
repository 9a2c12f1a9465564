"""``flink``: show jobs on a cluster, cancel them, write savepoints, and pack the code for them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import attrs
import click
from rich import box
from rich.table import Table
from rich.text import Text

from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import FlinkSettings
from mastostream.dashboards.text import safe
from mastostream.engines.flink import ENDED, LOCAL, Cluster, ClusterJob, bundle_name, pack
from mastostream.exceptions import RetriableError

__all__ = ["flink"]

_T = TypeVar("_T")
_POLL_S: Final = 0.3
_PATIENCE_S: Final = 600.0
_DEFAULT_TARGET: Final = "localhost:8081"
_SAVEPOINTS: Final = "execution.checkpointing.savepoint-dir"
_ENDED_WELL: Final = ENDED - {"FAILED"}
"""States of jobs that ended, but did not fail: an earlier failure is not shown any more."""

_STYLES: Final = {"RUNNING": "green", "FAILED": "bold red", "FINISHED": "dim", "CANCELED": "dim"}


def _target_option(command: Callable[..., _T]) -> Callable[..., _T]:
    option = click.option(
        "--target",
        metavar="HOST:PORT",
        help=f"Of the JobManager. Default: flink.target, or {_DEFAULT_TARGET}.",
    )
    return option(command)


@click.group()
def flink() -> None:
    """Jobs on a Flink cluster, started with 'mastostream analyze --engine flink --target ...'."""


@flink.command()
@common
@_target_option
def status(settings: MakeSettings, output: Output, target: str | None) -> None:
    """Show the jobs, those that run first."""
    with _cluster(settings(flink__target=target).flink) as cluster:
        jobs = [cluster.detailed(job) for job in cluster.jobs()]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("name", "state", "since", "tasks", "restarts", "last checkpoint"):
        table.add_column(name, overflow="fold", no_wrap=name != "name")
    for job in jobs:
        _emit(output, job)
        table.add_row(
            Text(safe(job.name)),
            Text(safe(job.state), style=_STYLES.get(job.state, "yellow")),
            _moment(job.started_ms),
            f"{job.running_tasks}/{job.tasks}",
            "" if job.restarts is None else str(job.restarts),
            "none" if job.checkpoint_ms is None else _moment(job.checkpoint_ms),
        )
    if not output.json:
        output.console.print(table if jobs else f"There are no jobs at {cluster.target}.")
        for job in jobs:
            if job.dropped:
                left_out = f"{job.dropped} values that are no JSON"
                tell(output, f"{safe(job.name)} has left out {left_out}, since it last began")
            if job.failure and job.state not in _ENDED_WELL:
                tell(output, f"last failure of {safe(job.name)}: {safe(job.failure)}")


@flink.command()
@common
@_target_option
@click.argument("name")
def cancel(settings: MakeSettings, output: Output, target: str | None, name: str) -> None:
    """End a job at once, and wait until it has ended.

    NAME: of the job, as 'mastostream flink status' shows it, or its id. What it has done since its
    last checkpoint is done again by the next one of that name.
    """
    with _cluster(settings(flink__target=target).flink) as cluster:
        job = cluster.named(name)
        cluster.cancel(job)
        with _waiting(output, f"{safe(job.name)}: ending") as check:
            while (state := cluster.state(job.id)) not in ENDED:
                check()
    _emit(output, attrs.evolve(job, state=state, running_tasks=0))
    if not output.json:
        tell(output, f"{safe(job.name)}: {state.lower()}")


@flink.command()
@common
@_target_option
@click.option("--stop", is_flag=True, help="The job ends with it.")
@click.option(
    "--drain", is_flag=True, help="With --stop: for good; its windows close, none goes on from it."
)
@click.option(
    "--folder",
    metavar="URL",
    help="Where, such as hdfs://host:9000/savepoints: all servers of the cluster write there. "
    "Default: the configured one.",
)
@click.argument("name")
def savepoint(
    settings: MakeSettings,
    output: Output,
    target: str | None,
    stop: bool,
    drain: bool,
    folder: str | None,
    name: str,
) -> None:
    """Write down how far a job has come, for 'mastostream analyze --from-savepoint'.

    NAME: of the job, as 'mastostream flink status' shows it, or its id.
    """
    if drain and not stop:
        raise click.UsageError("--drain goes with --stop")
    chosen = settings(flink__target=target).flink
    where = folder or chosen.settings.get(_SAVEPOINTS, "")
    with _cluster(chosen) as cluster:
        job = cluster.named(name)
        request = cluster.begin_savepoint(job, where, stop=stop, drain=drain)
        with _waiting(output, f"{safe(job.name)}: writing a savepoint") as check:
            while (path := cluster.savepoint(job, request)) is None:
                check()
    output.emit("savepoint", name=job.name, id=job.id, path=path, stopped=stop)
    if not output.json:
        tell(output, safe(path))


@flink.command()
@common
@click.option(
    "--with",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="A module of your own, with what it imports; may be repeated.",
)
@click.argument("file", metavar="[FILE.zip]", required=False, type=click.Path(path_type=Path))
def package(
    settings: MakeSettings,  # noqa: ARG001 - common to all commands
    output: Output,
    modules: Sequence[str],
    file: Path | None,
) -> None:
    """Pack mastostream, with what it needs, for TaskManagers that have only apache-flink.

    For 'mastostream analyze --engine flink --python-archive FILE.zip'. It suits the Python and the
    system that it was made on. What comes with apache-flink is left out.
    """
    packed = pack(file or Path(bundle_name()), modules)
    output.emit("archive", **attrs.asdict(packed))
    if not output.json:
        contents = ", ".join([*packed.modules, *packed.distributions])
        tell(output, f"{packed.file}: {packed.size_bytes / 1e6:.1f} MB with {contents}")


def _cluster(settings: FlinkSettings) -> Cluster:
    return Cluster(_DEFAULT_TARGET if settings.target == LOCAL else settings.target)


def _emit(output: Output, job: ClusterJob) -> None:
    members = attrs.asdict(job)
    for name in ("started", "checkpoint"):
        at_ms = members.pop(f"{name}_ms")
        members[f"{name}_at"] = None if at_ms is None else _utc(at_ms).isoformat()
    output.emit("job", **members)


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _moment(at_ms: int) -> str:
    """Format a time in the local time zone: time alone if it is today, else date and time."""
    moment = _utc(at_ms).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M")


@contextmanager
def _waiting(output: Output, text: str) -> Iterator[Callable[[], None]]:
    """Show that an operation is in progress; yield a function that waits until the next poll.

    Raises:
        RetriableError: the operation takes longer than ``_PATIENCE_S``; it goes on in the cluster.
    """
    began_s = time.monotonic()

    def check() -> None:
        if time.monotonic() - began_s > _PATIENCE_S:
            raise RetriableError(
                f"{text} takes more than {_PATIENCE_S:.0f} s: it goes on; see 'mastostream flink "
                "status'"
            )
        time.sleep(_POLL_S)

    if output.live:
        with output.console.status(Text(text)):
            yield check
    else:
        if not output.json:
            click.echo(text, err=True)
        yield check
