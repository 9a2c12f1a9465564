"""Runs analyses as a Flink job: watched by this process, or detached on a cluster."""

from collections.abc import Mapping, Sequence

import attrs
import click

from mastostream.cli.options import Output, tell
from mastostream.cli.run_view import Results, Watch, drive
from mastostream.config import Settings
from mastostream.dashboards.text import safe
from mastostream.engines.flink import LOCAL, FlinkEngine
from mastostream.wiring import Mode, flink_engine, log_name

__all__ = ["FlinkRun", "refuse", "refuse_without_cluster", "run_detached", "run_on_flink"]


@attrs.frozen(kw_only=True)
class FlinkRun:
    """The analyses that a job runs, and for how long.

    Attributes:
        mode: the mode in which the names of the analyses are looked up.
        names: the names of the analyses: built-in ones, or ``module:NAME``.
        shows: whether results are shown instead of written.
        savepoint: path of the savepoint whose state the job begins with; empty for none.
        once: whether the job ends after the records that exist when it begins.
        seconds: how long the job runs, in seconds; ``None`` sets no limit.
        metrics_port: the TCP port on which this process serves metrics; ``None`` for no metrics.
    """

    mode: Mode
    names: Sequence[str]
    shows: bool
    savepoint: str
    once: bool
    seconds: float | None
    metrics_port: int | None


def refuse(flags: Mapping[str, object], why: str) -> None:
    """Refuse flags that do not fit the others.

    Args:
        flags: the values by the flags' names; ``None`` and ``False`` were not given.
        why: the rest of the message, after the flag's name.

    Raises:
        click.UsageError: a flag was given; the message names the first one.
    """
    for name, value in flags.items():
        if value is not None and value is not False:
            raise click.UsageError(f"{name} {why}")


def refuse_without_cluster(settings: Settings, flags: Mapping[str, object]) -> None:
    """Refuse flags that need a cluster if the job would run within this process.

    Raises:
        click.UsageError: such a flag was given.
    """
    if settings.flink.target == LOCAL:
        refuse(flags, "needs a cluster: add --target HOST:PORT")


def run_detached(settings: Settings, run: FlinkRun, output: Output) -> None:
    """Start a job on a cluster, and print the commands that watch and stop it.

    Raises:
        click.UsageError: a flag needs a process that stays with the job.
    """
    attached = {
        "--once": run.once,
        "--seconds": run.seconds,
        "--metrics-port": run.metrics_port,
        "what is only shown": run.shows,
    }
    refuse(attached, "does not go with --detached: nobody stays to see to it")
    engine = _engine(settings, run, output, None)
    job_id, name, target = engine.detach(), engine.job_name, settings.flink.target
    output.emit("job", name=name, id=job_id, target=target)
    if not output.json:
        at = f"--target {safe(target)}"
        tell(output, f"{name}: started as {job_id}")
        tell(output, f"watch it: mastostream flink status {at}")
        tell(output, f"stop it, to go on later: mastostream flink savepoint {name} --stop {at}")
        tell(output, f"end it: mastostream flink cancel {name} {at}")


def run_on_flink(settings: Settings, run: FlinkRun, output: Output) -> None:
    """Start a job and wait until it ends. Stopping this process cancels the job."""
    results = Results(output) if run.shows else None
    engine = _engine(settings, run, output, results)
    if not run.once:
        watch = Watch(
            title=f"analyzing on Flink: {', '.join(run.names)}",
            seconds=run.seconds,
            metrics_port=run.metrics_port,
            results=results,
        )
        drive([engine], settings, output, watch)
        return
    try:
        while not engine.ended:
            engine.step(1.0)
    finally:
        engine.close()
    output.emit("done")
    if results is None:
        tell(output, f"done. The results are in {log_name(settings)}")
    elif not output.json:
        output.console.print(results.tables())


def _engine(
    settings: Settings, run: FlinkRun, output: Output, results: Results | None
) -> FlinkEngine:
    def on_progress(text: str, done: float | None) -> None:
        if not done:
            tell(output, text)

    return flink_engine(
        settings,
        run.mode,
        run.names,
        on_progress,
        once=run.once,
        savepoint=run.savepoint,
        on_results=results,
    )
