"""Builds a pipeline's stages from the settings: the only package that names the adapters."""

from mastostream.engines.local.local_engine import OnResults
from mastostream.wiring.archiver_stage import (
    archiver,
    compact,
    export,
    replay_inputs,
    verify,
)
from mastostream.wiring.collector_stage import (
    CredentialsFor,
    collector,
    followed_servers,
    key_by,
    mastodon_client,
)
from mastostream.wiring.engine_stages import Mode, analyses, engines
from mastostream.wiring.flink_stage import flink_engine
from mastostream.wiring.indexer_stage import index_place, index_reader, indexer, set_up_index
from mastostream.wiring.log_backends import (
    TOPICS,
    data_place,
    dead_letter_reader,
    kafka_client_config,
    log_ends,
    log_name,
    log_reader,
    log_writer,
    topic_name,
    topic_names,
    topics,
)
from mastostream.wiring.paths import DataPaths, data_paths, stage_lock, system_clock
from mastostream.wiring.retention import retention_stages
from mastostream.wiring.stage_stats import (
    counters,
    details,
    newest_observation_ms,
    troubles,
)

__all__ = [
    "TOPICS",
    "CredentialsFor",
    "DataPaths",
    "Mode",
    "OnResults",
    "analyses",
    "archiver",
    "collector",
    "compact",
    "counters",
    "data_paths",
    "data_place",
    "dead_letter_reader",
    "details",
    "engines",
    "export",
    "flink_engine",
    "followed_servers",
    "index_place",
    "index_reader",
    "indexer",
    "kafka_client_config",
    "key_by",
    "log_ends",
    "log_name",
    "log_reader",
    "log_writer",
    "mastodon_client",
    "newest_observation_ms",
    "replay_inputs",
    "retention_stages",
    "set_up_index",
    "stage_lock",
    "system_clock",
    "topic_name",
    "topic_names",
    "topics",
    "troubles",
    "verify",
]
