"""Analyses as a Flink job: watched from here, or left on a cluster."""

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
    """What is to run, and for how long.

    Attributes:
        mode: of the analyses.
        names: of them.
        shows: whether results are shown, and not written.
        savepoint: whose state the job begins with; empty for none.
        once: whether it ends with what is there.
        seconds: after how many it is stopped.
        metrics_port: of this process.
    """

    mode: Mode
    names: Sequence[str]
    shows: bool
    savepoint: str
    once: bool
    seconds: float | None
    metrics_port: int | None


def refuse(flags: Mapping[str, object], why: str) -> None:
    """Refuse the first flag that was given.

    Raises:
        click.UsageError: one was.
    """
    for name, value in flags.items():
        if value is not None and value is not False:
            raise click.UsageError(f"{name} {why}")


def refuse_without_cluster(settings: Settings, flags: Mapping[str, object]) -> None:
    """Refuse flags that need a cluster, where the job would run within this process.

    Raises:
        click.UsageError: one was given.
    """
    if settings.flink.target == LOCAL:
        refuse(flags, "needs a cluster: add --target HOST:PORT")


def run_detached(settings: Settings, run: FlinkRun, output: Output) -> None:
    """Start a job on a cluster, and say how it is watched and stopped.

    Raises:
        click.UsageError: it needs somebody who stays.
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
    """Start a job and stay until it ends, or until somebody stops it, which cancels it."""
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
    def told(what: str, done: float | None) -> None:
        if not done:
            tell(output, what)

    return flink_engine(
        settings,
        run.mode,
        run.names,
        told,
        once=run.once,
        savepoint=run.savepoint,
        on_results=results,
    )
