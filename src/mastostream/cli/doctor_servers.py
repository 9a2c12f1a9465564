"""Diagnostics of the servers that hold log, index and archive: Kafka, Elasticsearch, HDFS."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from mastostream.cli.diagnostics import Diagnostic, run_check
from mastostream.config import Settings, load_secrets
from mastostream.core.indices import INDICES
from mastostream.exceptions import ConfigurationError, FatalError, RetriableError
from mastostream.ports.filesystem import FileSystem
from mastostream.sinks.archive import is_url, open_place
from mastostream.wiring import TOPICS, data_paths, kafka_client_config

if TYPE_CHECKING:
    from mastostream.log.kafka import TopicCheck

__all__ = ["archive_diagnostics", "check_servers", "kafka_diagnostics"]

_MADE: Final = "makes what is missing, as does the first process that needs it"


def check_servers(settings: Settings) -> Iterator[Diagnostic]:
    """Ask each server once. Nothing is changed; only in HDFS a file is written and removed."""
    if settings.log == "kafka":
        yield from run_check("kafka", "", partial(_check_kafka, settings))
    if settings.index == "elasticsearch":
        yield from run_check("elasticsearch", "", partial(_check_elasticsearch, settings))
    if is_url(data_paths(settings).archive):
        yield from run_check("archive", "", partial(_check_archive, settings))


def _check_kafka(settings: Settings) -> Iterator[Diagnostic]:
    config = kafka_client_config(settings)
    from mastostream.log.kafka import check_topics  # noqa: PLC0415 - needs an extra

    topics = f"topics {config.topic_prefix}*" if config.topic_prefix else "topics"
    checks, missing = check_topics(config, TOPICS, create=False)
    yield from kafka_diagnostics(config.servers, topics, checks, missing)


def kafka_diagnostics(
    servers: str, topics: str, checks: Sequence["TopicCheck"], missing: Sequence[str]
) -> Iterator[Diagnostic]:
    """Yield diagnostics of the topics: missing, different from the settings, or as set."""
    if missing:
        names = topics if not checks else ", ".join(missing)
        detail = f"{servers} answers, but has no {names} yet: 'mastostream topics' {_MADE}"
        yield Diagnostic(what="kafka", state="warning", detail=detail)
    different = [
        f"{check.topic}: {', '.join(check.differences)}" for check in checks if check.differences
    ]
    if different:
        advice = "change the topics with Kafka's own tools, or the settings"
        detail = f"{servers}: {'; '.join(different)}: {advice}"
        yield Diagnostic(what="kafka", state="warning", detail=detail)
    if not missing and not different:
        detail = f"{servers}: all {len(checks)} {topics} are there, as set"
        yield Diagnostic(what="kafka", state="ok", detail=detail)


def _check_elasticsearch(settings: Settings) -> Iterator[Diagnostic]:
    from mastostream.sinks import elasticsearch as sink  # noqa: PLC0415 - needs an extra
    from mastostream.sinks.elasticsearch.cluster_connection import (  # noqa: PLC0415 - needs an extra
        check_version,
        connect,
    )
    from mastostream.sinks.elasticsearch.errors import translated  # noqa: PLC0415 - needs an extra

    where = sink.address(settings.elasticsearch)
    client = connect(settings.elasticsearch, load_secrets(sink.SECRETS))
    try:
        version = check_version(client, where)
        with translated(where):
            prefix = settings.elasticsearch.index_prefix
            names = [prefix + index.name for index in INDICES]
            missing = [name for name in names if not client.indices.exists(index=name)]
    finally:
        client.close()
    runs = f"{where} runs Elasticsearch {version}"
    if missing:
        advice = f"'mastostream index --setup' {_MADE}"
        detail = f"{runs}, but has no {', '.join(missing)} yet: {advice}"
        yield Diagnostic(what="elasticsearch", state="warning", detail=detail)
    else:
        detail = f"{runs}: {', '.join(names)} are there"
        yield Diagnostic(what="elasticsearch", state="ok", detail=detail)


def _check_archive(settings: Settings) -> Iterator[Diagnostic]:
    place = data_paths(settings).archive
    return archive_diagnostics(place, *open_place(place, settings.hdfs))


def archive_diagnostics(place: str, filesystem: FileSystem, folder: str) -> Iterator[Diagnostic]:
    """Yield the diagnostic of an archive's folder, after listing it and writing a file there."""
    filesystem.list(folder)
    filesystem.make_folder(folder)
    _write(filesystem, f"{folder.rstrip('/')}/_mastostream-doctor-{uuid4().hex}")
    yield Diagnostic(what="archive", state="ok", detail=f"{place}: a file can be written")


def _write(filesystem: FileSystem, path: str) -> None:
    """Write a file and remove it: only this asks the servers that hold the files' bytes."""
    try:
        file = filesystem.create(path)
        try:
            file.write(b"mastostream doctor\n")
            file.seal()
        finally:
            file.close()
    except (RetriableError, ConfigurationError, FatalError, OSError):
        with suppress(RetriableError, FatalError, OSError):
            filesystem.remove(path)
        raise
    filesystem.remove(path)
