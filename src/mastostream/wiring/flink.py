"""Analyses on Flink."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mastostream.config import Settings, WindowSettings
from mastostream.core.analyses import Analysis
from mastostream.core.topics import STREAM
from mastostream.engines.flink import LOCAL, FlinkEngine, Job, Topics, check_cluster
from mastostream.exceptions import ConfigurationError, MissingExtraError
from mastostream.services import OnProgress, download, find_java
from mastostream.services.versions import FLINK_KAFKA_JAR
from mastostream.wiring.analyzing import Mode
from mastostream.wiring.logs import TOPICS, kafka_place

if TYPE_CHECKING:
    from pyflink.table import StatementSet, StreamTableEnvironment

__all__ = ["flink_engine"]


def flink_engine(
    settings: Settings,
    mode: Mode,
    chosen: Sequence[Analysis],
    on_progress: OnProgress,
    *,
    once: bool,
) -> FlinkEngine:
    """Return a job that runs these analyses; nothing is started.

    Args:
        settings: where.
        mode: ``stream``; what ``sql`` offers does not run on Flink yet.
        chosen: each has a topic.
        on_progress: told of the download of Flink's connector for Kafka.
        once: whether the job ends with what is there when it begins; it closes all windows then.

    Raises:
        ConfigurationError: something that Flink needs is missing, or cannot run there.
        RetriableError: Kafka, or Maven Central, cannot be reached now.
    """
    if settings.log != "kafka":
        raise ConfigurationError('Flink reads from Kafka: add --log kafka, or set log = "kafka"')
    if mode == "sql":
        raise ConfigurationError(
            "--mode sql works window by window: on Flink only your own analyses do, as module:NAME "
            "with --mode stream"
        )
    for analysis in chosen:
        if analysis.topic is None:
            raise ConfigurationError(f"{analysis.name} has no topic: Flink has nowhere to write")
    if find_spec("pyflink") is None:
        if sys.version_info >= (3, 13):
            raise ConfigurationError("apache-flink 2.2 needs Python 3.11 or 3.12")
        raise MissingExtraError("Flink", "flink")
    find_java()
    if settings.flink.target != LOCAL:
        check_cluster(settings.flink.target)
    from mastostream.log.kafka import ensure_topics  # noqa: PLC0415 - an extra

    kafka = kafka_place(settings)
    ensure_topics(kafka, [*TOPICS, *(str(analysis.topic) for analysis in chosen)])
    flink = settings.flink
    jar = Path(flink.jar) if flink.jar else download(FLINK_KAFKA_JAR, "jar", on_progress)
    if not jar.is_file():
        raise ConfigurationError(f"flink.jar: there is no file {jar}")
    names = "+".join(sorted(analysis.name for analysis in chosen))
    topics = Topics(
        servers=kafka.servers,
        group=f"{kafka.group}-flink-{names}",
        delivery=settings.kafka.delivery,
        bounded=once,
        compression=kafka.compression,
        settings=flink.kafka,
    )
    return FlinkEngine(flink, jar, _job(chosen, topics, settings.windows))


def _job(chosen: Sequence[Analysis], topics: Topics, waits: WindowSettings) -> Job:
    from mastostream.engines.flink.stream import stream_job  # noqa: PLC0415 - an extra
    from mastostream.engines.flink.windowed import add_windows  # noqa: PLC0415 - as above

    per_post = [analysis for analysis in chosen if analysis.function is not None]
    windowed = [analysis for analysis in chosen if analysis.aggregate is not None]

    def declare(env: "StreamTableEnvironment") -> "StatementSet":
        if not per_post:
            statements = env.create_statement_set()
        else:
            statements = stream_job(env, per_post, STREAM, topics)
        if windowed:
            add_windows(
                env,
                statements,
                windowed,
                STREAM,
                topics,
                delay_ms=int(waits.delay_s * 1000),
                idle_timeout_ms=int(waits.idle_timeout_s * 1000),
                tells_rejected=not per_post,
            )
        return statements

    return Job(name=topics.group, declare=declare, delivery=topics.delivery)
