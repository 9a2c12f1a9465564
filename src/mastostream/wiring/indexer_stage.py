"""The index, and what writes and reads it."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mastostream.config import Settings, load_secrets
from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS
from mastostream.exceptions import MastostreamError, RetriableError
from mastostream.indexer import Batching, Indexer
from mastostream.ports.clock import Clock
from mastostream.ports.index import IndexReader
from mastostream.ports.log import LogReader
from mastostream.sinks.sqlite import SqliteIndex, SqliteIndexReader
from mastostream.wiring.log_backends import log_reader, log_writer
from mastostream.wiring.paths import data_paths

if TYPE_CHECKING:
    from mastostream.sinks.elasticsearch import SetupStep

__all__ = ["index_place", "index_reader", "indexer", "set_up_index"]

GROUP: Final = "index"
_logger = logging.getLogger(__name__)


def indexer(settings: Settings, clock: Clock) -> Indexer:
    """Index the results of the per-post analyses.

    Raises:
        ConfigurationError: the index cannot be used as it is set. One that cannot be reached now
            is no error: the stage tries again.
    """
    if settings.index == "elasticsearch":
        return _into_elasticsearch(settings, clock)
    index = SqliteIndex(data_paths(settings).log)
    return Indexer(_readers(settings), index, log_writer(settings), clock=clock)


def index_reader(settings: Settings) -> IndexReader:
    """Return what answers a dashboard's questions."""
    if settings.index == "elasticsearch":
        from mastostream.sinks import elasticsearch as sink  # noqa: PLC0415 - needs an extra

        return sink.ElasticsearchIndexReader(settings.elasticsearch, load_secrets(sink.SECRETS))
    return SqliteIndexReader(data_paths(settings).log)


def index_place(settings: Settings) -> str:
    """Return where the index is, for a person."""
    if settings.index == "elasticsearch":
        from mastostream.sinks import elasticsearch as sink  # noqa: PLC0415 - needs an extra

        hosts, prefix = sink.address(settings.elasticsearch), settings.elasticsearch.index_prefix
        return f"{hosts}: {prefix}{ENGAGEMENT}, {prefix}{HASHTAGS}"
    return str(data_paths(settings).log)


def set_up_index(settings: Settings) -> "Sequence[SetupStep]":
    """Make the index what the settings say; return what was done.

    Raises:
        RetriableError: the server cannot be reached now.
        ConfigurationError: credentials, certificates, version.
    """
    if settings.index != "elasticsearch":
        SqliteIndex(data_paths(settings).log).close()
        return ()
    from mastostream.sinks import elasticsearch as sink  # noqa: PLC0415 - needs an extra

    return sink.set_up(settings.elasticsearch, load_secrets(sink.SECRETS))


def _into_elasticsearch(settings: Settings, clock: Clock) -> Indexer:
    from mastostream.sinks import elasticsearch as sink  # noqa: PLC0415 - needs an extra

    chosen = settings.elasticsearch
    index = sink.ElasticsearchIndex(chosen, load_secrets(sink.SECRETS), clock=clock)
    try:
        index.write(())
    except RetriableError as error:
        _logger.warning("%s; trying again", error)
    except MastostreamError:
        index.close()
        raise
    batching = Batching(
        records=chosen.batch_documents * sink.CONNECTIONS * 2,
        size_bytes=chosen.batch_bytes * sink.CONNECTIONS * 2,
        enough=chosen.batch_documents,
        wait_s=chosen.batch_s,
    )
    readers = _readers(settings)
    return Indexer(readers, index, log_writer(settings), clock=clock, batching=batching)


def _readers(settings: Settings) -> dict[str, LogReader]:
    return {topic: log_reader(settings, topic, GROUP) for topic in (ENGAGEMENT, HASHTAGS)}
