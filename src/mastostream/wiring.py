"""Which adapters a pipeline is made of: the only module that names them."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import attrs
from filelock import FileLock, Timeout

from mastostream.archiver import Archiver
from mastostream.collector import Collector, CollectorMemory, KeyBy, Rhythm, Target
from mastostream.config import Credentials, ServerSettings, Settings, credential_name
from mastostream.core.analyses import Analysis, built_in
from mastostream.core.consent import REASONS, ConsentPolicy
from mastostream.core.engagement import EngagementWeights
from mastostream.core.hashtags import normalize_hashtag
from mastostream.core.pseudonyms import KEY_BYTES
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
from mastostream.ports.clock import Clock, ScaledClock, SystemClock
from mastostream.ports.log import LogReader, LogWriter
from mastostream.ports.source import About
from mastostream.ports.stage import Stage
from mastostream.ports.stream import Feed, Put, Streams
from mastostream.sinks.archive import FileArchive, value_of
from mastostream.sinks.sqlite import SqliteIndex, SqliteIndexReader
from mastostream.sources.mastodon import (
    MastodonClient,
    server_url,
    streaming_url,
    user_agent,
)

__all__ = [
    "Places",
    "analyses",
    "archiver",
    "collector",
    "counters",
    "dead_letter_reader",
    "details",
    "engine",
    "followed_servers",
    "held",
    "index_reader",
    "indexer",
    "key_by",
    "log_writer",
    "mastodon_client",
    "places",
    "retention_stages",
    "system_clock",
    "topics",
    "unwrap_line",
]

Mode = Literal["stream", "sql"]
_NEVER_IN_TAGS: Final = re.compile(r"[\s\x00-/:-@\[-^`{-\x7f]")
_CHECK_S: Final = 300.0
"""How often a page shows whether a stream brings all of a hashtag's posts."""

_CLOCK: Final = "MASTOSTREAM_SIMULATED_CLOCK"
CredentialsFor = Callable[[str, bool], Credentials]
"""The credentials for a host; the second argument says whether it is the only one."""

unwrap_line: Callable[[bytes], bytes] = value_of


def system_clock() -> Clock:
    """Return the machine's clock, or the one of the simulation that this process is part of.

    Raises:
        ConfigurationError: the simulation's clock cannot be read.
    """
    text = os.environ.get(_CLOCK)
    if not text:
        return SystemClock()
    try:
        real_ms, simulated_ms, speed = text.split(",")
        return ScaledClock(int(real_ms), int(simulated_ms), float(speed))
    except ValueError:
        raise ConfigurationError(
            f"{_CLOCK}={text!r}: expected three numbers: milliseconds since 1970 by the machine's "
            "clock, by the simulation's, and the speed"
        ) from None


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


def followed_servers(settings: Settings) -> tuple[ServerSettings, ...]:
    """Return whom to follow, each with its hashtags and its mode.

    Raises:
        ConfigurationError: a server without a hashtag, one that is named twice, or a name that is
            none.
    """
    found: dict[str, ServerSettings] = {}
    names: dict[str, str] = {}
    for each in settings.servers or (ServerSettings(server=settings.server),):
        tags = tuple(map(_hashtag, each.tags or settings.tags))
        if not tags:
            raise ConfigurationError(
                "no hashtag to follow: name one with --tag, or 'tags' in mastostream.toml"
            )
        url = server_url(each.server)
        if url in found:
            raise ConfigurationError(f"the server {each.server} is named twice")
        name = credential_name("ACCESS_TOKEN", urlsplit(url).netloc)
        if name in names:
            raise ConfigurationError(
                f"{names[name]} and {each.server} would share the token {name}: follow them from "
                "two data folders"
            )
        names[name] = each.server
        spelled = {normalize_hashtag(tag): tag for tag in tags}
        found[url] = ServerSettings(
            server=each.server,
            tags=tuple(spelled.values()),
            mode=each.mode or settings.collect.mode,
        )
    return tuple(found.values())


def mastodon_client(settings: Settings, server: str, token: str | None) -> MastodonClient:
    """Return a client for a server."""
    timeout_s = settings.collect.request_timeout_s
    return MastodonClient(server, token=token, contact=settings.contact, timeout_s=timeout_s)


def key_by(settings: Settings) -> KeyBy:
    """Return what posts are called: one server's ids, or the names that all servers share."""
    if settings.collect.key != "auto":
        return settings.collect.key
    return "id" if len(followed_servers(settings)) == 1 else "uri"


def collector(settings: Settings, credentials_for: CredentialsFor, clock: Clock) -> Collector:
    """Follow the configured hashtags of the configured servers.

    Raises:
        ConfigurationError: a server or a hashtag is none, or the key of pseudonyms is missing.
    """
    where = places(settings)
    servers = followed_servers(settings)
    memory = CollectorMemory(
        where.memory,
        key_by=key_by(settings),
        refresh_after_s=settings.collect.refresh_after_s,
    )
    _check_memory(memory, settings)
    collect = settings.collect
    return Collector(
        [_target(settings, each, credentials_for, only=len(servers) == 1) for each in servers],
        log_writer(settings, clock),
        SqliteLogReader(where.log, topic=STREAM, group="collect"),
        memory,
        clock=clock,
        rhythm=Rhythm(
            interval_s=settings.interval_s,
            longest_interval_s=collect.longest_interval_s,
            check_s=min(_CHECK_S, collect.overlap_s),
            overlap_s=collect.overlap_s,
            overlap_horizon_s=collect.overlap_horizon_s,
            requests_per_5_min=collect.requests_per_5_min,
            paging_requests_per_15_min=collect.paging_requests_per_15_min,
        ),
        key_by=key_by(settings),
        make_streams=partial(_streams, clock=clock, settings=settings)
        if any(each.mode != "poll" for each in servers)
        else None,
        policy=ConsentPolicy(
            leave_out_noindex=settings.consent.leave_out_noindex,
            leave_out_bots=settings.consent.leave_out_bots,
            languages=settings.consent.languages,
            visibilities=settings.consent.visibilities,
        ),
        pseudonym_key=_pseudonym_key(settings),
    )


def _check_memory(memory: CollectorMemory, settings: Settings) -> None:
    """Refuse what was remembered of another log: posts of this one would be logged again."""
    where = places(settings)
    ends = {
        facts.partition: facts.next_offset for facts in topics(settings) if facts.topic == STREAM
    }
    for partition, position in memory.positions().items():
        if position > ends.get(partition, 0):
            memory.close()
            raise FatalError(
                f"{where.memory} remembers the log up to offset {position - 1}, but {where.log} "
                "ends before it: it is another log's memory. Move it away, and posts that the "
                "servers still show are logged again; or restore the log that belongs to it"
            )


def _target(
    settings: Settings, server: ServerSettings, credentials_for: CredentialsFor, *, only: bool
) -> Target:
    token = credentials_for(urlsplit(server_url(server.server)).netloc, only).access_token
    client = mastodon_client(settings, server.server, token)

    def make_feed(
        about: About, tags: tuple[str, ...], transport: Literal["websocket", "sse"]
    ) -> Feed:
        return Feed(
            name=client.host,
            url=streaming_url(server.server, about.streaming_url),
            tags=tags,
            transport=transport,
            token=token,
            user_agent=user_agent(settings.contact),
        )

    return Target(server=client, tags=server.tags, mode=server.mode or "auto", make_feed=make_feed)


def _streams(put: Put, clock: Clock, settings: Settings) -> Streams:
    from mastostream.sources.mastodon.streaming import (  # noqa: PLC0415 - 0.2 s to import
        MastodonStreams,
    )

    return MastodonStreams(
        put, clock=clock, heartbeat_timeout_s=settings.collect.heartbeat_timeout_s
    )


def _pseudonym_key(settings: Settings) -> bytes | None:
    name = settings.consent.pseudonym_key_file
    if not name:
        return None
    try:
        key = Path(name).read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the key of the pseudonyms, {name}: {error.strerror}; make one with: "
            f"head -c 32 /dev/urandom | base64 > {name}"
        ) from error
    shortest, longest = KEY_BYTES
    if not shortest <= len(key) <= longest:
        raise ConfigurationError(
            f"the key of the pseudonyms, {name}, has {len(key)} bytes: expected {shortest} to "
            f"{longest}"
        )
    return key


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
            found.update(_collector_counters(stage))
        elif isinstance(stage, LocalEngine):
            found["records_rejected"] = stage.stats.rejected
            found["records_late"] = stage.stats.late
            found["records_lost"] = stage.stats.lost
        elif isinstance(stage, Indexer):
            found["documents_refused"] = stage.stats.refused
            found["documents_lost"] = stage.stats.lost
    return found


def details(stages: Sequence[Stage]) -> dict[str, str]:
    """Return what these stages are at, in a few words, by their names."""
    found = {}
    for stage in stages:
        if isinstance(stage, Collector):
            ways = [f"{server.name} {server.way}" for server in stage.stats.servers]
            failed = sum(source.failed for source in stage.stats.sources)
            troubled = next((each.error for each in stage.stats.sources if each.error), None)
            told = [", ".join(ways), f"{failed} sources given up" if failed else "", troubled or ""]
            found[stage.name] = "; ".join(filter(None, told))
    return found


def _collector_counters(stage: Collector) -> dict[str, int]:
    intake, sources = stage.stats.intake, stage.stats.sources
    return {
        "posts_collected": intake.new,
        "edits_collected": intake.edits,
        "deletes_collected": intake.deletes,
        "refreshes_collected": intake.refreshes,
        "posts_known": intake.known,
        "posts_stale": intake.stale,
        "posts_after_delete": intake.after_delete,
        "events_ignored": stage.stats.ignored_events,
        **{f"posts_left_out_{reason}": intake.left_out[reason] for reason in REASONS},
        "source_requests": sum(each.requests for each in stage.stats.servers),
        "source_retries": sum(each.retries for each in sources),
        "source_incomplete_rounds": sum(each.incomplete for each in sources),
        "source_stream_missed": sum(each.stream_missed for each in sources),
        "sources_failed": sum(each.failed for each in sources),
    }


def log_writer(settings: Settings, clock: Clock | None = None) -> LogWriter:
    """Return a writer to the log."""
    now_ms = (clock or system_clock()).now_ms
    return SqliteLogWriter(places(settings).log, partitions=settings.partitions, now_ms=now_ms)


def dead_letter_reader(settings: Settings, group: str) -> LogReader:
    """Return a reader of the dead letters."""
    return SqliteLogReader(places(settings).log, topic=DEAD_LETTERS, group=group)


def index_reader(settings: Settings) -> SqliteIndexReader:
    """Return what answers a dashboard's questions."""
    return SqliteIndexReader(places(settings).log)


def topics(settings: Settings) -> tuple[TopicFacts, ...]:
    """Return what the log holds."""
    return topic_facts(places(settings).log)
