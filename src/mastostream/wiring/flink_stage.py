"""Analyses on Flink."""

import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mastostream.config import FlinkSettings, Settings
from mastostream.core.analyses import Analysis
from mastostream.core.topic_names import COUNTS, DASHBOARD, LATE, STREAM
from mastostream.engines.flink import (
    LOCAL,
    SQL_NAMES,
    Cluster,
    FlinkEngine,
    FlinkJob,
    SqlFile,
    Topics,
    check_bundle,
    check_cluster,
    delay_literal,
    read_sql,
    record_of,
)
from mastostream.engines.local.local_engine import OnResults
from mastostream.exceptions import ConfigurationError, MissingExtraError
from mastostream.services import OnProgress, download, find_java
from mastostream.services.versions import FLINK_KAFKA_JAR
from mastostream.wiring.engine_stages import Mode, analyses
from mastostream.wiring.log_backends import TOPICS, kafka_client_config
from mastostream.wiring.paths import name_prefix

if TYPE_CHECKING:
    from pyflink.table import StatementSet, StreamTableEnvironment, Table

__all__ = ["chosen_analyses", "flink_engine", "flink_job", "sql_literals"]


def flink_engine(  # noqa: PLR0913 - each is a choice of the user's, by name
    settings: Settings,
    mode: Mode,
    names: Sequence[str],
    on_progress: OnProgress,
    *,
    once: bool,
    savepoint: str = "",
    on_results: OnResults | None = None,
) -> FlinkEngine:
    """Return a job that runs these analyses; nothing is started.

    What ``sql`` has by name is SQL; all others are the functions of the analyses.

    Args:
        settings: where.
        mode: of the analyses.
        names: of them, built in or ``module:NAME``.
        on_progress: told of the download of Flink's connector for Kafka.
        once: whether the job ends with what is there when it begins; it closes all windows then.
        savepoint: whose state it begins with; empty for none.
        on_results: told of each result of the one analysis, built in and of mode ``sql``; nothing
            is written then. ``None``: all is written.

    Raises:
        ConfigurationError: something that Flink needs is missing, or cannot run there.
        BusyError: a job of the same name runs on the cluster.
        RetriableError: Kafka, or Maven Central, cannot be reached now.
    """
    if settings.log != "kafka":
        raise ConfigurationError('Flink reads from Kafka: add --log kafka, or set log = "kafka"')
    in_sql, chosen = chosen_analyses(settings, mode, names, shown=on_results is not None)
    _check_installed()
    archive = _archive(settings.flink)
    job = flink_job(settings, in_sql, chosen, once=once, on_results=on_results)
    if settings.flink.target != LOCAL:
        check_cluster(settings.flink.target)
        with Cluster(settings.flink.target) as cluster:
            cluster.check_free(job.name)
    from mastostream.log.kafka import ensure_topics  # noqa: PLC0415 - an extra

    ensure_topics(kafka_client_config(settings), [*TOPICS, *(str(each.topic) for each in chosen)])
    jar = _jar(settings.flink, on_progress)
    job = attrs.evolve(job, archive=archive, folder=Path.cwd(), savepoint=savepoint)
    return FlinkEngine(settings.flink, jar, job)


def flink_job(
    settings: Settings,
    in_sql: Sequence[str],
    chosen: Sequence[Analysis],
    *,
    once: bool,
    on_results: OnResults | None = None,
) -> FlinkJob:
    """Return what a job is called and does; neither Flink nor Kafka is asked.

    Args:
        settings: where.
        in_sql: the analyses that are SQL, by name.
        chosen: the others.
        once: as for :func:`flink_engine`.
        on_results: as for :func:`flink_engine`; the one analysis is SQL then.

    Raises:
        MissingExtraError: the extra ``kafka`` is not installed.
        ConfigurationError: a setting that cannot be chosen.
    """
    told = "+".join([*(f"sql-{name}" for name in in_sql), *(each.name for each in chosen)])
    shown = "" if on_results is None else "-shown"
    name = f"{name_prefix(settings)}{settings.kafka.group}-flink-{told}{shown}"
    kafka = kafka_client_config(settings)
    topics = Topics(
        servers=kafka.servers,
        group=name,
        prefix=kafka.topic_prefix,
        delivery=settings.kafka.delivery,
        bounded=once,
        compression=kafka.compression,
        settings=settings.flink.kafka,
    )
    if on_results is None:
        return _job(settings, topics, in_sql, chosen)
    return _shown(settings, topics, in_sql[0], on_results)


def chosen_analyses(
    settings: Settings, mode: Mode, names: Sequence[str], *, shown: bool
) -> tuple[list[str], list[Analysis]]:
    """Return which of these analyses are SQL, by name, and the others.

    Args:
        settings: the weights of the analyses.
        mode: of the analyses.
        names: of them, built in or ``module:NAME``.
        shown: whether the results are shown, and not written.

    Raises:
        ConfigurationError: one that there is not, or that Flink cannot write or show.
    """
    in_sql = sorted(set(names) & set(SQL_NAMES)) if mode == "sql" else []
    others = analyses(settings, mode, [name for name in names if name not in in_sql])
    chosen = sorted(others, key=lambda analysis: analysis.name)
    if not shown:
        _check_written([*chosen, *analyses(settings, mode, in_sql)])
    elif chosen or len(in_sql) != 1:
        raise ConfigurationError(
            "Flink shows the results of one analysis at a time, of "
            f"{', '.join(SQL_NAMES)}: name one, with --mode sql"
        )
    return in_sql, chosen


def _check_written(chosen: Sequence[Analysis]) -> None:
    for analysis in chosen:
        if analysis.topic is None:
            raise ConfigurationError(
                f"{analysis.name} has no topic: Flink has nowhere to write it; --print shows "
                "one analysis of --mode sql"
            )


def _archive(flink: FlinkSettings) -> Path | None:
    """The code that travels to a cluster; a job within the process needs none."""
    if not flink.python_archive or flink.target == LOCAL:
        return None
    archive = Path(flink.python_archive)
    check_bundle(archive)
    return archive


def _jar(flink: FlinkSettings, on_progress: OnProgress) -> Path:
    jar = Path(flink.jar) if flink.jar else download(FLINK_KAFKA_JAR, "jar", on_progress)
    if not jar.is_file():
        raise ConfigurationError(f"flink.jar: there is no file {jar}")
    return jar


def _check_installed() -> None:
    if find_spec("pyflink") is None:
        if sys.version_info >= (3, 13):
            raise ConfigurationError("apache-flink 2.2 needs Python 3.11 or 3.12")
        raise MissingExtraError("Flink", "flink")
    find_java()


def _job(
    settings: Settings, topics: Topics, in_sql: Sequence[str], chosen: Sequence[Analysis]
) -> FlinkJob:
    """All analyses as one job."""
    per_post = [analysis for analysis in chosen if analysis.function is not None]
    windowed = [analysis for analysis in chosen if analysis.aggregate is not None]
    files = {name: read_sql(name, sql_literals(settings, topics)) for name in in_sql}

    def declare(env: "StreamTableEnvironment") -> "StatementSet":
        from mastostream.engines.flink.sql_job import add_sql  # noqa: PLC0415 - an extra
        from mastostream.engines.flink.stream_job import stream_job  # noqa: PLC0415 - as above
        from mastostream.engines.flink.window_topology import add_windows  # noqa: PLC0415 - as above

        if not per_post:
            statements = env.create_statement_set()
        else:
            statements = stream_job(env, per_post, STREAM, topics, settings.flink.on_error)
        if windowed:
            add_windows(
                env,
                statements,
                windowed,
                STREAM,
                topics,
                delay_ms=int(settings.windows.delay_s * 1000),
                idle_timeout_ms=int(settings.windows.idle_timeout_s * 1000),
                tells_rejected=not per_post,
            )
        for name, file in files.items():
            add_sql(env, statements, name, file, topics)
        return statements

    return FlinkJob(
        name=topics.group,
        declare=declare,
        delivery=topics.delivery,
        parallelism=None if chosen and settings.flink.target != LOCAL else 1,
        settings={} if chosen else _settings_of(files.values()),
    )


def _shown(settings: Settings, topics: Topics, name: str, on_results: OnResults) -> FlinkJob:
    """One analysis whose results are shown."""
    (analysis,) = analyses(settings, "sql", [name])
    file = read_sql(name, sql_literals(settings, topics))

    def declare(env: "StreamTableEnvironment") -> "Table":
        from mastostream.engines.flink.sql_job import results_of  # noqa: PLC0415 - an extra

        return results_of(env, name, file, topics)

    def on_row(row: Sequence[object]) -> None:
        on_results(analysis, [record_of(name, row)])

    return FlinkJob(
        name=topics.group,
        declare=declare,
        delivery=topics.delivery,
        parallelism=1,
        settings=_settings_of([file]),
        on_row=on_row,
    )


def _settings_of(files: Iterable[SqlFile]) -> dict[str, str]:
    """What the files set for the job: nothing that Python's operators were tried with."""
    return {name: value for file in files for name, value in file.settings.items()}


def sql_literals(settings: Settings, topics: Topics) -> dict[str, str | int]:
    """What stands in the place of a file's literals, by their names."""
    return {
        "topic": topics.full_name(STREAM),
        "counts": topics.full_name(COUNTS),
        "dashboard": topics.full_name(DASHBOARD),
        "late": topics.full_name(LATE),
        "servers": topics.servers,
        "group": topics.group,
        "delay": delay_literal(round(settings.windows.delay_s * 1000)),
        "idle_timeout": f"{round(settings.windows.idle_timeout_s * 1000)} ms",
        **attrs.asdict(settings.weights),
    }
