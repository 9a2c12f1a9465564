"""Builds the engine that runs analyses as a job on Flink."""

import math
import sys
import time
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import attrs

from mastostream.config import FlinkSettings, Settings
from mastostream.core.analyses import Analysis
from mastostream.core.topic_names import COUNTS, DASHBOARD, LATE, STREAM, TRENDS
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
    read_sql,
    record_of,
)
from mastostream.engines.local.local_engine import OnResults
from mastostream.engines.local.windowed_analysis import FORGET_MARGIN_MS, WindowTiming
from mastostream.exceptions import ConfigurationError, MissingExtraError
from mastostream.services import OnProgress, download, find_java
from mastostream.services.versions import FLINK_KAFKA_JAR
from mastostream.wiring.engine_stages import Mode, analyses
from mastostream.wiring.log_backends import TOPICS, kafka_client_config
from mastostream.wiring.paths import name_prefix

if TYPE_CHECKING:
    from pyflink.table import StatementSet, StreamTableEnvironment, Table

__all__ = ["chosen_analyses", "flink_engine", "flink_job", "sql_literals"]

_DAY_S: Final = 86_400.0
"""How much longer than the horizon SQL keeps what it knows of posts: one day. A job that has an end
takes less."""


def flink_engine(  # noqa: PLR0913 - every argument is a choice of the user, by name
    settings: Settings,
    mode: Mode,
    names: Sequence[str],
    on_progress: OnProgress,
    *,
    once: bool,
    savepoint: str = "",
    on_results: OnResults | None = None,
) -> FlinkEngine:
    """Return the engine that runs these analyses as one Flink job; the job is not started yet.

    Missing topics are created in Kafka, and Flink's connector for Kafka is downloaded unless the
    settings name one. An analysis of mode ``sql`` that has an SQL file runs as SQL, all others as
    Python functions.

    Args:
        settings: the settings of the pipeline.
        mode: the mode in which the names of the analyses are looked up.
        names: the names of the analyses: built-in ones, or ``module:NAME``.
        on_progress: called during the download of Flink's connector for Kafka.
        once: whether the job ends after the records that exist when it begins; it then closes all
            windows.
        savepoint: path of the savepoint whose state the job begins with; empty for none.
        on_results: called with each result, which is then not written; only for a single built-in
            analysis of mode ``sql``. ``None``: all results are written.

    Raises:
        ConfigurationError: something that Flink needs is missing, or cannot run there.
        BusyError: a job of the same name runs on the cluster.
        RetriableError: Kafka, or Maven Central, cannot be reached now.
    """
    if settings.log != "kafka":
        raise ConfigurationError('Flink reads from Kafka: add --log kafka, or set log = "kafka"')
    in_sql, chosen = chosen_analyses(settings, mode, names, shown=on_results is not None)
    if in_sql or any(analysis.aggregate is not None for analysis in chosen):
        _check_age(savepoint)
    _check_installed()
    archive = _archive(settings.flink)
    job = flink_job(settings, in_sql, chosen, once=once, on_results=on_results)
    if settings.flink.target != LOCAL:
        check_cluster(settings.flink.target)
        with Cluster(settings.flink.target) as cluster:
            cluster.check_free(job.name)
    from mastostream.log.kafka import ensure_topics  # noqa: PLC0415 - needs an extra

    own_topics = [str(analysis.topic) for analysis in chosen]
    ensure_topics(kafka_client_config(settings), [*TOPICS, *own_topics])
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
    """Return a job's definition, with its name; sends no request to Flink or Kafka.

    Args:
        settings: the settings of the pipeline.
        in_sql: names of the analyses that run as SQL.
        chosen: the analyses that run as Python functions.
        once: whether the job ends after the records that exist when it begins.
        on_results: called with each result of the single analysis ``in_sql``, which is then not
            written. ``None``: all results are written.

    Raises:
        MissingExtraError: the extra ``kafka`` is not installed.
        ConfigurationError: the settings of Kafka contain one that users may not set, or windows in
            SQL are never to be corrected.
    """
    if in_sql and not once and math.isinf(settings.windows.correct_every_s):
        raise ConfigurationError(
            'windows.correct_every_s = "never": windows in SQL on Flink are corrected as long as '
            "the job runs; choose a number of seconds, or --once"
        )
    parts = "+".join([*(f"sql-{name}" for name in in_sql), *(analysis.name for analysis in chosen)])
    shown = "" if on_results is None else "-shown"
    name = f"{name_prefix(settings)}{settings.kafka.group}-flink-{parts}{shown}"
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
    """Return the names of the analyses that run as SQL, and the other analyses.

    Args:
        settings: the settings of the pipeline, with the weights and languages of the analyses.
        mode: the mode in which the names of the analyses are looked up.
        names: the names of the analyses: built-in ones, or ``module:NAME``.
        shown: whether the results are shown instead of written.

    Raises:
        ConfigurationError: there is no such analysis, or Flink cannot write or show its results.
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


def _check_age(savepoint: str) -> None:
    """Refuse a savepoint of windows that is too old, where its age can be seen from here.

    Elsewhere the job finds out, fails, and is started again by Flink.
    """
    metadata = Path(urlsplit(savepoint).path, "_metadata")
    if urlsplit(savepoint).scheme not in {"", "file"} or not metadata.is_file():
        return
    age_s = time.time() - metadata.stat().st_mtime
    if age_s > FORGET_MARGIN_MS / 1000:
        raise ConfigurationError(
            f"{savepoint} is {age_s / 86_400:.1f} days old, so that windows would lack posts: "
            "start without --from-savepoint; the job then reads the topic from its beginning"
        )


def _archive(flink: FlinkSettings) -> Path | None:
    """Return the bundle of Python code for a cluster; a job within the process needs none."""
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
    """Return one job that runs all analyses and writes their results."""
    per_post = [analysis for analysis in chosen if analysis.function is not None]
    windowed = [analysis for analysis in chosen if analysis.aggregate is not None]
    files = {name: read_sql(name, sql_literals(settings, topics)) for name in in_sql}

    def declare(env: "StreamTableEnvironment") -> "StatementSet":
        from mastostream.engines.flink.sql_job import add_sql  # noqa: PLC0415 - needs an extra

        if not per_post:
            statements = env.create_statement_set()
        else:
            from mastostream.engines.flink.stream_job import stream_job  # noqa: PLC0415 - an extra

            statements = stream_job(env, per_post, STREAM, topics, settings.flink.on_error)
        if windowed:
            from mastostream.engines.flink.window_topology import add_windows  # noqa: PLC0415 - an extra

            add_windows(
                env,
                statements,
                windowed,
                STREAM,
                topics,
                timing=WindowTiming(
                    delay_s=settings.windows.delay_s,
                    correct_every_s=settings.windows.correct_every_s,
                    at_end=topics.bounded,
                ),
                horizon_ms=round(settings.windows.horizon_s * 1000),
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
    """Return a job that runs one SQL analysis and shows its results."""
    (analysis,) = analyses(settings, "sql", [name])
    file = read_sql(name, sql_literals(settings, topics))

    def declare(env: "StreamTableEnvironment") -> "Table":
        from mastostream.engines.flink.sql_job import results_of  # noqa: PLC0415 - needs an extra

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
    """Return the job settings of the SQL files.

    Jobs with Python operators do not use them, as the two were not tested together.
    """
    return {name: value for file in files for name, value in file.settings.items()}


def sql_literals(settings: Settings, topics: Topics) -> dict[str, str | int]:
    """Return the values that replace literals in the SQL files, by the literals' names.

    A job that ends writes its windows when it ends: it would wait for longer than it takes. With
    ``correct_every_s = 0`` no job waits.
    """
    windows = settings.windows
    wait_s = min(windows.correct_every_s, _DAY_S)
    if topics.bounded and wait_s > 0:
        wait_s = _DAY_S
    return {
        "topic": topics.full_name(STREAM),
        "counts": topics.full_name(COUNTS),
        "dashboard": topics.full_name(DASHBOARD),
        "trends": topics.full_name(TRENDS),
        "late": topics.full_name(LATE),
        "servers": topics.servers,
        "group": topics.group,
        "mini_batch": "true" if wait_s > 0 else "false",
        "correct_every": f"{max(1, round(wait_s * 1000))} ms",
        "horizon_ms": round(windows.horizon_s * 1000),
        "state_ttl": f"{round((windows.horizon_s + _DAY_S) * 1000)} ms",
        **attrs.asdict(settings.weights),
    }
