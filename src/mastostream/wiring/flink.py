"""Analyses on Flink."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mastostream.config import Settings
from mastostream.core.analyses import Analysis
from mastostream.core.topics import STREAM
from mastostream.engines.flink import (
    LOCAL,
    Cluster,
    FlinkEngine,
    Job,
    OnError,
    Topics,
    check_archive,
    check_cluster,
)
from mastostream.exceptions import ConfigurationError, MissingExtraError
from mastostream.services import OnProgress, download, find_java
from mastostream.services.versions import FLINK_KAFKA_JAR
from mastostream.wiring.logs import TOPICS, kafka_place

if TYPE_CHECKING:
    from pyflink.table import StatementSet, StreamTableEnvironment

__all__ = ["flink_engine"]


def flink_engine(
    settings: Settings,
    chosen: Sequence[Analysis],
    on_progress: OnProgress,
    *,
    once: bool,
    savepoint: str = "",
) -> FlinkEngine:
    """Return a job that runs these analyses; nothing is started.

    Args:
        settings: where.
        chosen: each works post by post and has a topic.
        on_progress: told of the download of Flink's connector for Kafka.
        once: whether the job ends with what is there when it begins.
        savepoint: whose state it begins with; empty for none.

    Raises:
        ConfigurationError: something that Flink needs is missing, or cannot run there.
        BusyError: a job of the same name runs on the cluster.
        RetriableError: Kafka, or Maven Central, cannot be reached now.
    """
    if settings.log != "kafka":
        raise ConfigurationError('Flink reads from Kafka: add --log kafka, or set log = "kafka"')
    for analysis in chosen:
        if analysis.function is None:
            raise ConfigurationError(
                f"{analysis.name} works window by window: on Flink only analyses run that work "
                "post by post"
            )
        if analysis.topic is None:
            raise ConfigurationError(f"{analysis.name} has no topic: Flink has nowhere to write")
    if find_spec("pyflink") is None:
        if sys.version_info >= (3, 13):
            raise ConfigurationError("apache-flink 2.2 needs Python 3.11 or 3.12")
        raise MissingExtraError("Flink", "flink")
    find_java()
    archive = None
    if settings.flink.python_archive and settings.flink.target != LOCAL:
        archive = Path(settings.flink.python_archive)
        check_archive(archive)
    chosen = sorted(chosen, key=lambda analysis: analysis.name)
    names = "+".join(analysis.name for analysis in chosen)
    name = f"{settings.kafka.group}-flink-{names}"
    if settings.flink.target != LOCAL:
        check_cluster(settings.flink.target)
        with Cluster(settings.flink.target) as cluster:
            cluster.check_free(name)
    from mastostream.log.kafka import ensure_topics  # noqa: PLC0415 - an extra

    kafka = kafka_place(settings)
    ensure_topics(kafka, TOPICS)
    flink = settings.flink
    jar = Path(flink.jar) if flink.jar else download(FLINK_KAFKA_JAR, "jar", on_progress)
    if not jar.is_file():
        raise ConfigurationError(f"flink.jar: there is no file {jar}")
    topics = Topics(
        servers=kafka.servers,
        group=name,
        delivery=settings.kafka.delivery,
        bounded=once,
        compression=kafka.compression,
        settings=flink.kafka,
    )
    job = attrs.evolve(
        _per_post(chosen, topics, flink.on_error),
        archive=archive,
        folder=Path.cwd(),
        savepoint=savepoint,
    )
    return FlinkEngine(flink, jar, job)


def _per_post(chosen: Sequence[Analysis], topics: Topics, on_error: OnError) -> Job:
    from mastostream.engines.flink.stream import stream_job  # noqa: PLC0415 - an extra

    def declare(env: "StreamTableEnvironment") -> "StatementSet":
        return stream_job(env, chosen, STREAM, topics, on_error)

    return Job(name=topics.group, declare=declare, delivery=topics.delivery)
