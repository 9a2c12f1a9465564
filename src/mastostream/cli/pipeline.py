"""Runs the stages together (``run``, ``demo``) or alone (``collect``, ``analyze``)."""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import click

from mastostream.cli.flink_jobs import (
    FlinkRun,
    refuse,
    refuse_without_cluster,
    run_detached,
    run_on_flink,
)
from mastostream.cli.options import Output, common, server_options, servers_setting, tell
from mastostream.cli.run_view import Results, Watch, drive
from mastostream.config import Credentials, ServerSettings, Settings, load_credentials
from mastostream.core.analyses import SQL_ANALYSES, STREAM_ANALYSES
from mastostream.engines.local import LocalEngine
from mastostream.exceptions import RecordError
from mastostream.ports.stage import Stage
from mastostream.runner import run_until_idle
from mastostream.wiring import (
    CredentialsFor,
    analyses,
    archiver,
    collector,
    data_place,
    engines,
    followed_servers,
    indexer,
    log_name,
    retention_stages,
    stage_lock,
    system_clock,
)

__all__ = [
    "MakeSettings",
    "analyze",
    "collect",
    "demo",
    "metrics_option",
    "once_option",
    "run",
    "run_stage",
    "seconds_option",
]

_DEMO_TAGS: Final = ("news", "python", "caturday", "photography")
_PIPELINE: Final = ("full",)
_PIPELINE_WINDOWS: Final = ("count", "dashboard")

MakeSettings = Callable[..., Settings]
"""Takes flags by the names of settings, ``__`` in place of a dot, and returns the settings."""

seconds_option = click.option("--seconds", type=float, help="Stop by itself after so many seconds.")
metrics_option = click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve Prometheus metrics and a health page on this port of the loopback.",
)
once_option = click.option("--once", is_flag=True, help="Process what is there, then stop.")


@click.command()
@common
@server_options
@seconds_option
@metrics_option
@click.option("--no-archive", is_flag=True, help="Keep no raw posts in files.")
def run(
    settings: MakeSettings,
    output: Output,
    servers: Sequence[str],
    tags: Sequence[str],
    mode: str | None,
    interval: float | None,
    seconds: float | None,
    metrics_port: int | None,
    no_archive: bool,
) -> None:
    """Collect, analyze, index and archive.

    All in one process, with a live view.

    Example: mastostream run --tag news --server mastodon.social
    """
    chosen = settings(
        servers=servers_setting(servers), tags=tags, collect__mode=mode, interval_s=interval
    )
    _run_all(
        chosen, _credentials_for, output, _title(chosen), seconds, metrics_port, not no_archive
    )


@click.command()
@common
@seconds_option
@metrics_option
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 500),
    default=4.0,
    show_default=True,
    help="Posts a second on the simulated server.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other posts.")
def demo(
    settings: MakeSettings,
    output: Output,
    seconds: float | None,
    metrics_port: int | None,
    rate: float,
    seed: int,
) -> None:
    """Watch it all at work on a simulated server.

    No network is needed, and nothing has to be set up.
    """
    chosen = settings(tags=list(_DEMO_TAGS), interval_s=1.0)
    # Without a word about the folder, the simulated posts stay away from the real ones.
    if click.get_current_context().params["data"] is None and chosen.data == Settings().data:
        folder = tempfile.mkdtemp(prefix="mastostream-demo-")
        chosen = attrs.evolve(chosen, data=folder)
    from mastostream.testing.simulator import (  # noqa: PLC0415 - imports a web server
        SimulatedServer,
    )

    with SimulatedServer(
        posts_per_s=rate, seed=seed, backlog_s=600, rate_limit=None, growth_s=30.0
    ) as server:
        chosen = attrs.evolve(chosen, servers=(ServerSettings(server=server.url),))
        title = "simulated server: " + " ".join("#" + tag for tag in _DEMO_TAGS)
        _run_all(
            chosen,
            lambda *_: Credentials(access_token="demo"),  # noqa: S106 - the simulated server takes any
            output,
            title,
            seconds,
            metrics_port,
            True,
        )
    query = "'SELECT account, engagement_score FROM engagement LIMIT 5'"
    tell(output, f"Look into it: sqlite3 {chosen.data}/mastostream.sqlite3 {query}")
    tell(output, "For real: mastostream run --tag news --server mastodon.social")


def _credentials_for(host: str, only: bool) -> Credentials:
    return load_credentials(host=host, only=only)


def _title(settings: Settings) -> str:
    servers = followed_servers(settings)
    tags = dict.fromkeys(f"#{tag}" for server in servers for tag in server.tags)
    return f"{', '.join(server.server for server in servers)}: {' '.join(tags)}"


def _run_all(
    settings: Settings,
    credentials_for: CredentialsFor,
    output: Output,
    title: str,
    seconds: float | None,
    metrics_port: int | None,
    with_archive: bool,
) -> None:
    clock = system_clock()
    chosen = (
        *analyses(settings, "stream", _PIPELINE),
        *analyses(settings, "sql", _PIPELINE_WINDOWS),
    )
    names = ["collect", "analyze", "index", *(["archive"] if with_archive else [])]
    with stage_lock(settings, names):
        collecting = collector(settings, credentials_for, clock)
        analyzing = engines(settings, chosen, clock)
        indexing = indexer(settings, clock)
        stages: list[Stage] = [collecting, *analyzing, indexing]
        if with_archive:
            stages.append(archiver(settings, clock))
        stages.extend(retention_stages(settings, clock))
        watch = Watch(title=title, seconds=seconds, metrics_port=metrics_port, index=True)
        drive(stages, settings, output, watch)


@click.command()
@common
@server_options
@seconds_option
@metrics_option
def collect(
    settings: MakeSettings,
    output: Output,
    servers: Sequence[str],
    tags: Sequence[str],
    mode: str | None,
    interval: float | None,
    seconds: float | None,
    metrics_port: int | None,
) -> None:
    """Collect posts of hashtags into the log."""
    chosen = settings(
        servers=servers_setting(servers), tags=tags, collect__mode=mode, interval_s=interval
    )
    with stage_lock(chosen, ["collect"]):
        stage = collector(chosen, _credentials_for, system_clock())
        stages = [stage, *retention_stages(chosen, system_clock())]
        title = f"collecting from {_title(chosen)}"
        drive(
            stages, chosen, output, Watch(title=title, seconds=seconds, metrics_port=metrics_port)
        )


@click.command()
@common
@click.option(
    "--engine",
    "engine_name",
    type=click.Choice(["local", "flink"]),
    default="local",
    show_default=True,
    help="Where the analyses run.",
)
@click.option("--target", help="Of Flink: 'local', or host:port of a JobManager.")
@click.option("--detached", is_flag=True, help="On a cluster: start the job, leave it, and return.")
@click.option(
    "--from-savepoint", metavar="PATH", help="Of Flink: go on from 'mastostream flink savepoint'."
)
@click.option(
    "--python-archive",
    metavar="FILE",
    help="Of Flink: 'mastostream flink package', for TaskManagers without mastostream.",
)
@click.option(
    "--mode",
    type=click.Choice(["stream", "sql"]),
    default="stream",
    show_default=True,
    help="Post by post, or window by window.",
)
@click.option(
    "--analysis",
    "names",
    multiple=True,
    help=f"stream: {', '.join(STREAM_ANALYSES)}; sql: {', '.join(SQL_ANALYSES)}; or "
    "module:NAME of your own. May be repeated.  [default: full, or count]",
)
@click.option("--languages", help="What --analysis language lets through, such as en,pt-BR.")
@click.option(
    "--from-beginning",
    is_flag=True,
    help="Begin with the oldest record: results with the same keys are replaced.",
)
@click.option(
    "--close-windows",
    is_flag=True,
    hidden=True,  # --once writes all windows; older scripts ask for it
)
@click.option(
    "--print",
    "shows",
    is_flag=True,
    help="Of --mode sql: show the results live; on Flink, instead of writing them.",
)
@once_option
@seconds_option
@metrics_option
def analyze(
    settings: MakeSettings,
    output: Output,
    engine_name: str,
    target: str | None,
    detached: bool,
    from_savepoint: str | None,
    python_archive: str | None,
    mode: Any,
    names: Sequence[str],
    languages: str | None,
    from_beginning: bool,
    close_windows: bool,
    shows: bool,
    once: bool,
    seconds: float | None,
    metrics_port: int | None,
) -> None:
    """Run analyses over the collected posts.

    Their results go into the log, or are shown as live tables where they have no topic.
    """
    if close_windows and not once:
        raise click.UsageError("--close-windows goes with --once")
    if shows and mode == "stream":
        raise click.UsageError("--print goes with --mode sql")
    flink_flags = {
        "--target": target,
        "--detached": detached,
        "--from-savepoint": from_savepoint,
        "--python-archive": python_archive,
    }
    if engine_name != "flink":
        refuse(flink_flags, "goes with --engine flink")
    elif from_beginning:
        raise click.UsageError("--from-beginning goes with --engine local")
    sys.path.insert(0, str(Path.cwd()))
    chosen = settings(
        languages=_languages(languages),
        flink__target=target,
        flink__python_archive=python_archive,
    )
    names = names or (("full",) if mode == "stream" else ("count",))
    picked = analyses(chosen, mode, names)
    if engine_name == "flink":
        on_cluster = {"--detached": detached, "--python-archive": python_archive}
        refuse_without_cluster(chosen, on_cluster)
        job = FlinkRun(
            mode=mode,
            names=names,
            shows=shows or not any(analysis.topic for analysis in picked),
            savepoint=from_savepoint or "",
            once=once,
            seconds=seconds,
            metrics_port=metrics_port,
        )
        (run_detached if detached else run_on_flink)(chosen, job, output)
        return
    shows = shows or any(analysis.aggregate or not analysis.topic for analysis in picked)
    results = Results(output)
    with stage_lock(chosen, [f"analyze-{analysis.name}" for analysis in picked]):
        stages = engines(
            chosen, picked, system_clock(), results, once=once, from_beginning=from_beginning
        )
        if once:
            _finish_engines(stages, chosen, output, results if shows else None)
            return
        watch = Watch(
            title=f"analyzing: {', '.join(analysis.name for analysis in picked)}",
            seconds=seconds,
            metrics_port=metrics_port,
            results=results if shows else None,
        )
        drive(stages, chosen, output, watch)


def _languages(text: str | None) -> list[str] | None:
    if text is None:
        return None
    named = [language for language in text.split(",") if language.strip()]
    if not named:
        raise click.UsageError("--languages: expected at least one language, such as en,pt-BR")
    return named


def _finish_engines(
    stages: Sequence[LocalEngine],
    settings: Settings,
    output: Output,
    results: Results | None,
) -> None:
    try:
        for stage in stages:
            while stage.step(0.0):
                pass
            stage.write_windows()
            stage.finish()
    finally:
        for stage in stages:
            stage.close()
    if results is not None and not output.json:
        output.console.print(results.tables())
    stats = Counter[str]()
    for stage in stages:
        stats.update(attrs.asdict(stage.stats))
    del stats["observed_ms"]  # a time, which is no count
    output.emit("done", **stats)
    if not output.json:
        facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in stats.items())
        tell(output, f"done: {facts}. The results are in {log_name(settings)}")
    complaints = [complaint for stage in stages for complaint in stage.complaints()]
    if complaints:
        raise RecordError("; ".join(complaints))


def run_stage(
    stage: Stage,
    settings: Settings,
    output: Output,
    once: bool,
    seconds: float | None,
    metrics_port: int | None,
) -> None:
    """Run one stage until it is stopped, or with ``once`` until it has no more work."""
    if not once:
        watch = Watch(title=f"running: {stage.name}", seconds=seconds, metrics_port=metrics_port)
        drive([stage], settings, output, watch)
        return
    done = run_until_idle([stage])
    output.emit("done", **done)
    if not output.json:
        tell(output, f"done: {done[stage.name]} records. The data is in {data_place(settings)}")
