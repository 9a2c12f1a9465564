"""Builds the indexer, and the reader of its index."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from mastostream.config import Settings, load_secrets
from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS
from mastostream.exceptions import MastostreamError, RetriableError
from mastostream.indexer import Batching, Indexer
from mastostream.ports.clock import Clock
from mastostream.ports.index import IndexReader, IndexWriter
from mastostream.ports.log import LogReader, Positions, Record
from mastostream.sinks.sqlite import SqliteIndex, SqliteIndexReader
from mastostream.wiring.log_backends import log_reader, log_writer
from mastostream.wiring.paths import data_paths

if TYPE_CHECKING:
    from mastostream.sinks.elasticsearch import SetupStep

__all__ = ["index_place", "index_reader", "indexer", "set_up_index"]

GROUP: Final = "index"
"""The consumer group of a reader begins with this; the identity of the index that it fills follows.
"""

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
    return Indexer(_readers(settings, index), index, log_writer(settings), clock=clock)


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
    readers = _readers(settings, index)
    return Indexer(readers, index, log_writer(settings), clock=clock, batching=batching)


def _readers(settings: Settings, index: IndexWriter) -> dict[str, LogReader]:
    """Return a reader for each index, which begins at the beginning if the index is made anew."""

    def open_reader(topic: str) -> LogReader:
        return log_reader(settings, topic, f"{GROUP}-{index.identity(topic)}")

    return {topic: _LateReader(partial(open_reader, topic)) for topic in (ENGAGEMENT, HASHTAGS)}


class _LateReader:
    """A :class:`ports.log.LogReader` that is opened when it is first read.

    Its name depends on the index, which may not be reachable yet.
    """

    def __init__(self, open_reader: Callable[[], LogReader]) -> None:
        self._open = open_reader
        self._reader: LogReader | None = None

    @property
    def lost(self) -> int:
        return 0 if self._reader is None else self._reader.lost

    @property
    def generation(self) -> int:
        return 0 if self._reader is None else self._reader.generation

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        return self._opened().read(max_records, timeout_s)

    def seek(self, positions: Positions) -> None:
        self._opened().seek(positions)

    def commit(self, positions: Positions) -> None:
        self._opened().commit(positions)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _opened(self) -> LogReader:
        if self._reader is None:
            self._reader = self._open()
        return self._reader
