"""Which adapters a pipeline is made of: the only module that names them."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final, Literal

import attrs
from filelock import FileLock, Timeout

from mastostream.archiver import Archiver
from mastostream.collector import Collector, CollectorMemory
from mastostream.config import Credentials, Settings
from mastostream.core.analyses import Analysis, built_in
from mastostream.core.engagement import EngagementWeights
from mastostream.core.hashtags import normalize_hashtag
from mastostream.core.topics import DEAD_LETTERS, ENGAGEMENT, HASHTAGS, STREAM
from mastostream.engines.local import LocalEngine
from mastostream.engines.local.engine import OnResults
from mastostream.exceptions import BusyError, ConfigurationError, FatalError
from mastostream.indexer import Indexer
from mastostream.log.sqlite import (
    Retention,
    RetentionStage,
    SqliteEngineLog,
    SqliteLogReader,
    SqliteLogWriter,
    TopicFacts,
    topic_facts,
)
from mastostream.ports.clock import Clock
from mastostream.ports.log import LogReader, LogWriter
from mastostream.ports.stage import Stage
from mastostream.sinks.archive import FileArchive, value_of
from mastostream.sinks.sqlite import SqliteIndex, SqliteIndexReader
from mastostream.sources.mastodon import HashtagSource, MastodonClient

__all__ = [
    "Places",
    "analyses",
    "archiver",
    "collector",
    "counters",
    "dead_letter_reader",
    "engine",
    "held",
    "index_reader",
    "indexer",
    "log_writer",
    "mastodon_client",
    "places",
    "retention_stages",
    "topics",
    "unwrap_line",
]

Mode = Literal["stream", "sql"]
_NEVER_IN_TAGS: Final = re.compile(r"[\s\x00-/:-@\[-^`{-\x7f]")
unwrap_line: Callable[[bytes], bytes] = value_of


@attrs.frozen(kw_only=True)
class Places:
    """Where the data of one pipeline is.

    Attributes:
        log: log and index, one SQLite file.
        memory: what the collector remembers.
    """

    folder: Path
    log: Path
    memory: Path
    archive: Path
    locks: Path


def places(settings: Settings) -> Places:
    """Return where the data is, or will be."""
    folder = Path(settings.data)
    return Places(
        folder=folder,
        log=folder / "mastostream.sqlite3",
        memory=folder / "collector.sqlite3",
        archive=Path(settings.archive.folder) if settings.archive.folder else folder / "archive",
        locks=folder / "locks",
    )


@contextmanager
def held(settings: Settings, stages: Sequence[str]) -> Iterator[None]:
    """Hold these stages' locks, so that no second process does the same on one data folder.

    Raises:
        BusyError: another process holds one of them.
        FatalError: the folder cannot be written.
    """
    folder = places(settings).locks
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FatalError(f"cannot write {folder.parent}: {error.strerror}") from error
    locks = [FileLock(folder / f"{stage}.lock") for stage in stages]
    taken: list[FileLock] = []
    try:
        for lock, stage in zip(locks, stages, strict=True):
            owner = folder / f"{stage}.pid"
            try:
                lock.acquire(timeout=0)
            except Timeout:
                pid = owner.read_text().strip() if owner.is_file() else "unknown"
                raise BusyError(
                    f"another process (pid {pid}) already runs '{stage}' on {folder.parent}: "
                    "stop it, or choose another folder with --data"
                ) from None
            taken.append(lock)
            owner.write_text(f"{os.getpid()}\n")
        yield
    finally:
        for lock in taken:
            lock.release()


def analyses(settings: Settings, mode: Mode, names: Sequence[str]) -> tuple[Analysis, ...]:
    """Return the analyses of these names: built in, or ``module:NAME`` of the user's own.

    Raises:
        ConfigurationError: there is no such analysis.
    """
    weights = _weights(settings)
    found: dict[str, Analysis] = {}
    for name in names:
        if ":" in name:
            chosen: tuple[Analysis, ...] = (_load(name),)
        else:
            try:
                chosen = built_in(mode, name, weights=weights, languages=settings.languages)
            except KeyError:
                raise ConfigurationError(
                    f"--mode {mode} has no analysis {name!r}; see 'mastostream analyze --help', "
                    "or name your own as module:NAME"
                ) from None
        found.update({analysis.name: analysis for analysis in chosen})
    return tuple(found.values())


def _weights(settings: Settings) -> EngagementWeights:
    try:
        return EngagementWeights(**attrs.asdict(settings.weights))
    except ValueError as error:
        raise ConfigurationError(f"wrong settings: weights: {error}") from error


def _load(name: str) -> Analysis:
    module_name, _, attribute = name.partition(":")
    try:
        module = import_module(module_name)
    except Exception as error:
        raise ConfigurationError(
            f"cannot import {module_name!r} for the analysis {name}: "
            f"{type(error).__name__}: {error}"
        ) from error
    analysis = getattr(module, attribute, None)
    if not isinstance(analysis, Analysis):
        raise ConfigurationError(
            f"{module_name} has no Analysis named {attribute!r}: "
            f"expected {attribute} = Analysis(name=..., function=...)"
        )
    return analysis


def mastodon_client(settings: Settings, credentials: Credentials) -> MastodonClient:
    """Return a client for the configured server."""
    return MastodonClient(settings.server, token=credentials.access_token, contact=settings.contact)


def collector(settings: Settings, credentials: Credentials, clock: Clock) -> Collector:
    """Follow the configured hashtags of the configured server.

    Raises:
        ConfigurationError: no hashtag is given, or one that is none.
    """
    if not settings.tags:
        raise ConfigurationError(
            "no hashtag to follow: name one with --tag, or 'tags' in mastostream.toml"
        )
    where = places(settings)
    sources = [
        HashtagSource(mastodon_client(settings, credentials), tag, clock=clock)
        for tag in {normalize_hashtag(tag): tag for tag in map(_hashtag, settings.tags)}.values()
    ]
    return Collector(
        sources,
        log_writer(settings),
        SqliteLogReader(where.log, topic=STREAM, group="collect"),
        CollectorMemory(where.memory),
        clock=clock,
        interval_s=settings.interval_s,
    )


def _hashtag(text: str) -> str:
    tag = text.strip().removeprefix("#")
    if not normalize_hashtag(tag) or _NEVER_IN_TAGS.search(tag):
        raise ConfigurationError(f"{text!r} is no hashtag: expected letters, digits and '_'")
    return tag


def engine(
    settings: Settings,
    chosen: Sequence[Analysis],
    clock: Clock,
    on_results: OnResults | None = None,
) -> LocalEngine:
    """Run these analyses over the collected posts."""
    log = SqliteEngineLog(
        places(settings).log, topic=STREAM, partitions=settings.partitions, now_ms=clock.now_ms
    )
    return LocalEngine(
        log,
        chosen,
        clock=clock,
        delay_ms=int(settings.windows.delay_s * 1000),
        idle_timeout_ms=int(settings.windows.idle_timeout_s * 1000),
        on_results=on_results,
    )


def indexer(settings: Settings, clock: Clock) -> Indexer:
    """Index the results of the per-post analyses."""
    path = places(settings).log
    readers: dict[str, LogReader] = {
        topic: SqliteLogReader(path, topic=topic, group="index") for topic in (ENGAGEMENT, HASHTAGS)
    }
    return Indexer(readers, SqliteIndex(path), log_writer(settings), clock=clock)


def archiver(settings: Settings, clock: Clock, topic: str = STREAM) -> Archiver:
    """Archive a topic, by default the collected posts.

    Raises:
        FatalError: the folder holds another log's archive.
    """
    where = places(settings)
    sink = FileArchive(
        str(where.archive.absolute()),
        topic,
        clock=clock,
        compression=settings.archive.compression,
        rotate_bytes=settings.archive.rotate_bytes,
        rotate_s=settings.archive.rotate_s,
    )
    ends = {
        facts.partition: facts.next_offset for facts in topics(settings) if facts.topic == topic
    }
    for partition, position in sink.positions().items():
        if position > ends.get(partition, 0):
            raise FatalError(
                f"the archive in {where.archive} goes up to offset {position - 1} of {topic}, but "
                f"the log {where.log} ends before it: the archive is another log's, choose another "
                "folder for it"
            )
    return Archiver(SqliteLogReader(where.log, topic=topic, group="archive"), sink)


def retention_stages(settings: Settings, clock: Clock) -> tuple[Stage, ...]:
    """Return the stage that deletes old records, if the settings ask for it."""
    kept = settings.retention
    if not kept.age_days and not kept.size_bytes:
        return ()
    retention = Retention(age_s=kept.age_days * 86_400 or None, size_bytes=kept.size_bytes or None)
    return (RetentionStage(places(settings).log, retention, clock=clock),)


def counters(stages: Sequence[Stage]) -> dict[str, int]:
    """Return what these stages count beside their records: every way in which one is set aside."""
    found: dict[str, int] = {}
    for stage in stages:
        if isinstance(stage, Collector):
            sources = stage.stats.sources
            found["posts_collected"] = stage.stats.appended
            found["source_retries"] = sum(each.retries for each in sources)
            found["source_incomplete_rounds"] = sum(each.incomplete for each in sources)
        elif isinstance(stage, LocalEngine):
            found["records_rejected"] = stage.stats.rejected
            found["records_late"] = stage.stats.late
            found["records_lost"] = stage.stats.lost
        elif isinstance(stage, Indexer):
            found["documents_refused"] = stage.stats.refused
            found["documents_lost"] = stage.stats.lost
    return found


def log_writer(settings: Settings) -> LogWriter:
    """Return a writer to the log."""
    return SqliteLogWriter(places(settings).log, partitions=settings.partitions)


def dead_letter_reader(settings: Settings, group: str) -> LogReader:
    """Return a reader of the dead letters."""
    return SqliteLogReader(places(settings).log, topic=DEAD_LETTERS, group=group)


def index_reader(settings: Settings) -> SqliteIndexReader:
    """Return what answers a dashboard's questions."""
    return SqliteIndexReader(places(settings).log)


def topics(settings: Settings) -> tuple[TopicFacts, ...]:
    """Return what the log holds."""
    return topic_facts(places(settings).log)
