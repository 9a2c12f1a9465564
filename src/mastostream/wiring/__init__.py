"""Which adapters a pipeline is made of: the only room that names them."""

from mastostream.engines.local.engine import OnResults
from mastostream.wiring.analyzing import Mode, analyses, engines
from mastostream.wiring.archiving import (
    archiver,
    compact,
    export,
    replay_inputs,
    verify,
)
from mastostream.wiring.collecting import (
    CredentialsFor,
    collector,
    followed_servers,
    key_by,
    mastodon_client,
)
from mastostream.wiring.flink import flink_engine
from mastostream.wiring.indexing import index_place, index_reader, indexer, set_up_index
from mastostream.wiring.logs import (
    TOPICS,
    data_place,
    dead_letter_reader,
    kafka_place,
    log_ends,
    log_name,
    log_reader,
    log_writer,
    topic_name,
    topics,
)
from mastostream.wiring.places import Places, held, places, system_clock
from mastostream.wiring.storing import retention_stages
from mastostream.wiring.telling import counters, details

__all__ = [
    "TOPICS",
    "CredentialsFor",
    "Mode",
    "OnResults",
    "Places",
    "analyses",
    "archiver",
    "collector",
    "compact",
    "counters",
    "data_place",
    "dead_letter_reader",
    "details",
    "engines",
    "export",
    "flink_engine",
    "followed_servers",
    "held",
    "index_place",
    "index_reader",
    "indexer",
    "kafka_place",
    "key_by",
    "log_ends",
    "log_name",
    "log_reader",
    "log_writer",
    "mastodon_client",
    "places",
    "replay_inputs",
    "retention_stages",
    "set_up_index",
    "system_clock",
    "topic_name",
    "topics",
    "verify",
]
