"""Builds the indexer, and the reader of its index."""

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
"""Consumer group of the indexer's readers."""

_logger = logging.getLogger(__name__)


def indexer(settings: Settings, clock: Clock) -> Indexer:
    """Return the stage that indexes the results of the per-post analyses.

    An index that cannot be reached now is no error: the stage retries.

    Raises:
        ConfigurationError: the index cannot be used with these settings.
    """
    if settings.index == "elasticsearch":
        return _into_elasticsearch(settings, clock)
    index = SqliteIndex(data_paths(settings).log)
    return Indexer(_readers(settings), index, log_writer(settings), clock=clock)


def index_reader(settings: Settings) -> IndexReader:
    """Return the reader of the index, for dashboards."""
    if settings.index == "elasticsearch":
        from mastostream.sinks import elasticsearch as sink  # noqa: PLC0415 - needs an extra

        return sink.ElasticsearchIndexReader(settings.elasticsearch, load_secrets(sink.SECRETS))
    return SqliteIndexReader(data_paths(settings).log)


def index_place(settings: Settings) -> str:
    """Return the address of the index, to show it to a person."""
    if settings.index == "elasticsearch":
        from mastostream.sinks import elasticsearch as sink  # noqa: PLC0415 - needs an extra

        hosts, prefix = sink.address(settings.elasticsearch), settings.elasticsearch.index_prefix
        return f"{hosts}: {prefix}{ENGAGEMENT}, {prefix}{HASHTAGS}"
    return str(data_paths(settings).log)


def set_up_index(settings: Settings) -> "Sequence[SetupStep]":
    """Create the index, or update it to the settings; return the steps that were done.

    Raises:
        RetriableError: the server cannot be reached now.
        ConfigurationError: the credentials, the certificate or the server's version is wrong.
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
