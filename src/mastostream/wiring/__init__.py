"""Which adapters a pipeline is made of: the only room that names them."""

from mastostream.wiring.analyzing import Mode, analyses, engine
from mastostream.wiring.collecting import (
    CredentialsFor,
    collector,
    followed_servers,
    key_by,
    mastodon_client,
)
from mastostream.wiring.logs import dead_letter_reader, index_reader, log_writer, topics
from mastostream.wiring.places import Places, held, places, system_clock
from mastostream.wiring.storing import archiver, indexer, retention_stages, unwrap_line
from mastostream.wiring.telling import counters, details

__all__ = [
    "CredentialsFor",
    "Mode",
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
