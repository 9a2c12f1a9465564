"""Builds the collector: which servers and hashtags it follows, and with which clients."""

import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from mastostream.collector import Collector, CollectorStateStore, KeyBy, PollSchedule, Target
from mastostream.config import Credentials, ServerSettings, Settings, credential_name
from mastostream.core.consent import ConsentPolicy
from mastostream.core.hashtags import normalize_hashtag
from mastostream.core.pseudonyms import KEY_BYTES
from mastostream.core.topic_names import STREAM
from mastostream.exceptions import ConfigurationError, FatalError
from mastostream.ports.clock import Clock
from mastostream.ports.source import About
from mastostream.ports.stream import Feed, Put, Streams
from mastostream.sources.mastodon import server_url, streaming_url, user_agent
from mastostream.wiring.log_backends import log_ends, log_name, log_reader, log_writer
from mastostream.wiring.paths import data_paths

if TYPE_CHECKING:
    from mastostream.sources.mastodon.client import MastodonClient

__all__ = ["CredentialsFor", "collector", "followed_servers", "key_by", "mastodon_client"]

_NEVER_IN_TAGS: Final = re.compile(r"[\s\x00-/:-@\[-^`{-\x7f]")
"""White space, control characters and ASCII punctuation, except ``_``."""

_CHECK_S: Final = 300.0
"""Seconds between two polls that check whether a stream delivers all posts of its hashtag."""

_logger = logging.getLogger(__name__)

CredentialsFor = Callable[[str, bool], Credentials]
"""Returns the credentials for a host; the second argument says whether it is the only server."""


def followed_servers(settings: Settings) -> tuple[ServerSettings, ...]:
    """Return the servers to follow, each with its hashtags and its mode.

    Raises:
        ConfigurationError: a server has no hashtag or is named twice, two servers would share the
            name of a token, or the name of a server or hashtag is not valid.
    """
    by_url: dict[str, ServerSettings] = {}
    servers_by_token: dict[str, str] = {}
    for server in settings.servers or (ServerSettings(server=settings.server),):
        tags = tuple(map(_hashtag, server.tags or settings.tags))
        if not tags:
            raise ConfigurationError(
                "no hashtag to follow: name one with --tag, or 'tags' in mastostream.toml"
            )
        url = server_url(server.server)
        if url in by_url:
            raise ConfigurationError(f"the server {server.server} is named twice")
        token_name = credential_name("ACCESS_TOKEN", urlsplit(url).netloc)
        if token_name in servers_by_token:
            raise ConfigurationError(
                f"{servers_by_token[token_name]} and {server.server} would share the token "
                f"{token_name}: follow them from two data folders"
            )
        servers_by_token[token_name] = server.server
        spelled = {normalize_hashtag(tag): tag for tag in tags}
        by_url[url] = ServerSettings(
            server=server.server,
            tags=tuple(spelled.values()),
            mode=server.mode or settings.collect.mode,
        )
    return tuple(by_url.values())


def mastodon_client(settings: Settings, server: str, token: str | None) -> "MastodonClient":
    """Return a client for one Mastodon server; ``None`` for a client without a token."""
    from mastostream.sources.mastodon.client import (  # noqa: PLC0415 - 0.15 s to import
        MastodonClient,
    )

    timeout_s = settings.collect.request_timeout_s
    return MastodonClient(server, token=token, contact=settings.contact, timeout_s=timeout_s)


def key_by(settings: Settings) -> KeyBy:
    """Return how posts are identified: by one server's ids, or by URIs, the same on all servers."""
    if settings.collect.key != "auto":
        return settings.collect.key
    return "id" if len(followed_servers(settings)) == 1 else "uri"


def collector(settings: Settings, credentials_for: CredentialsFor, clock: Clock) -> Collector:
    """Return the stage that collects the configured hashtags from the configured servers.

    Raises:
        ConfigurationError: the name of a server or hashtag is not valid, or the pseudonym key
            cannot be read.
        FatalError: the state store belongs to another log.
    """
    paths = data_paths(settings)
    servers = followed_servers(settings)
    _warn_of_merged_spellings(settings)
    state_store = CollectorStateStore(
        paths.collector_state,
        key_by=key_by(settings),
        refresh_after_s=settings.collect.refresh_after_s,
    )
    _check_state_store(state_store, settings)
    collect = settings.collect
    return Collector(
        [_target(settings, server, credentials_for, only=len(servers) == 1) for server in servers],
        log_writer(settings, clock),
        log_reader(settings, STREAM, "collect", shared=False),
        state_store,
        clock=clock,
        schedule=PollSchedule(
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
        if any(server.mode != "poll" for server in servers)
        else None,
        policy=ConsentPolicy(
            leave_out_noindex=settings.consent.leave_out_noindex,
            leave_out_bots=settings.consent.leave_out_bots,
            languages=settings.consent.languages,
            visibilities=settings.consent.visibilities,
        ),
        pseudonym_key=_pseudonym_key(settings),
    )


def _check_state_store(state_store: CollectorStateStore, settings: Settings) -> None:
    """Refuse a state store that belongs to another log.

    It does not know the posts in this log, which would be logged again.

    Raises:
        FatalError: the store's offsets lie beyond the end of the log.
    """
    paths = data_paths(settings)
    ends = log_ends(settings, STREAM)
    for partition, position in state_store.positions().items():
        if position > ends.get(partition, 0):
            state_store.close()
            raise FatalError(
                f"{paths.collector_state} remembers the log up to offset {position - 1}, but "
                f"{log_name(settings)} ends before it: it is another log's memory. Move it away, "
                "and posts that the servers still show are logged again; or restore the log that "
                "belongs to it"
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


def _warn_of_merged_spellings(settings: Settings) -> None:
    """Log which hashtags are one for a server, so that one of their spellings is enough."""
    for server in settings.servers or (ServerSettings(server=settings.server),):
        spellings: dict[str, list[str]] = {}
        for tag in dict.fromkeys(map(_hashtag, server.tags or settings.tags)):
            spellings.setdefault(normalize_hashtag(tag), []).append(tag)
        for tags in spellings.values():
            if len(tags) > 1:
                _logger.warning(
                    "%s: #%s are spellings of one hashtag; #%s is collected",
                    server.server,
                    ", #".join(tags),
                    tags[-1],
                )


def _hashtag(text: str) -> str:
    tag = text.strip().removeprefix("#")
    if not normalize_hashtag(tag) or _NEVER_IN_TAGS.search(tag):
        raise ConfigurationError(f"{text!r} is no hashtag: expected letters, digits and '_'")
    return tag
