"""Analyses as a Flink job: watched from here, or left on a cluster."""

from collections.abc import Mapping, Sequence

import click

from mastostream.cli.live import Watch, drive
from mastostream.cli.options import Output, tell
from mastostream.config import Settings
from mastostream.core.analyses import Analysis
from mastostream.dashboards.text import safe
from mastostream.engines.flink import LOCAL, FlinkEngine
from mastostream.wiring import flink_engine, log_name

__all__ = ["refuse", "refuse_without_cluster", "run_detached", "run_on_flink"]


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


def run_detached(
    settings: Settings, picked: Sequence[Analysis], output: Output, savepoint: str
) -> None:
    """Start a job on a cluster, and say how it is watched and stopped."""
    engine = _engine(settings, picked, output, savepoint, once=False)
    job_id, name, target = engine.detach(), engine.job_name, settings.flink.target
    output.emit("job", name=name, id=job_id, target=target)
    if not output.json:
        at = f"--target {safe(target)}"
        tell(output, f"{name}: started as {job_id}")
        tell(output, f"watch it: mastostream flink status {at}")
        tell(output, f"stop it, to go on later: mastostream flink savepoint {name} --stop {at}")
        tell(output, f"end it: mastostream flink cancel {name} {at}")


def run_on_flink(
    settings: Settings,
    picked: Sequence[Analysis],
    output: Output,
    watch: Watch,
    savepoint: str,
    *,
    once: bool,
) -> None:
    """Start a job and stay until it ends, or until somebody stops it, which cancels it."""
    engine = _engine(settings, picked, output, savepoint, once=once)
    if not once:
        drive([engine], settings, output, watch)
        return
    try:
        while not engine.ended:
            engine.step(1.0)
    finally:
        engine.close()
    output.emit("done")
    tell(output, f"done. The results are in {log_name(settings)}")


def _engine(
    settings: Settings, picked: Sequence[Analysis], output: Output, savepoint: str, *, once: bool
) -> FlinkEngine:
    def told(what: str, done: float | None) -> None:
        if not done:
            tell(output, what)

    return flink_engine(settings, picked, told, once=once, savepoint=savepoint)
