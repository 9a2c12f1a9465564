"""Writes documents into the indices in Elasticsearch."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import msgspec
from elasticsearch import ApiError, Elasticsearch

from mastostream.config import ElasticsearchSettings
from mastostream.exceptions import RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.index import Document, Refusal
from mastostream.sinks.elasticsearch.cluster_connection import address, check_version, connect
from mastostream.sinks.elasticsearch.definitions import TOMBSTONES
from mastostream.sinks.elasticsearch.errors import translated
from mastostream.sinks.elasticsearch.index_setup import ensure, write_index_uuid
from mastostream.sinks.elasticsearch.operations import (
    BulkOperation,
    bulk_operation,
    indexed_at_prefix,
    refusal_reason,
)
from mastostream.sinks.elasticsearch.tombstones import read_tombstones, record_tombstones

__all__ = ["CONNECTIONS", "ElasticsearchIndex"]

CONNECTIONS: Final = 4
"""The number of bulk requests that are sent at the same time."""

_TOO_LARGE: Final = 413
"""The HTTP status of a request with more bytes than ``http.max_content_length``."""

_NEEDED: Final = (
    "items.*.status",
    "items.*.error.type",
    "items.*.error.reason",
    "items.*.error.caused_by.reason",
)
_REFUSED: Final = (ValueError, msgspec.MsgspecError, RecursionError)
"""What :func:`bulk_operation` raises for a document that can never be stored."""

_logger = logging.getLogger(__name__)


@attrs.define
class _WriteProgress:
    """How far a write has come, for the case that it has to be retried.

    Attributes:
        documents: the list that is written; a retry passes the same list object.
        is_retry: whether the list was attempted before.
        settled: positions of the documents for which the server has responded.
        refusals: documents that the server has refused so far.
    """

    documents: Sequence[Document] = ()
    is_retry: bool = False
    settled: set[int] = attrs.field(factory=set)
    refusals: list[Refusal] = attrs.field(factory=list)


class ElasticsearchIndex:
    """A :class:`ports.index.IndexWriter` on Elasticsearch, used by one thread.

    A write is split into bulk requests, several of which are sent at the same time. It returns when
    the server has responded to all. A document may be written twice: Elasticsearch keeps the
    highest version (``external_gte``), and :mod:`tombstones` keep a deleted document deleted. A
    deletion counts for both indices. Each document gets the member ``indexed_at``.

    A retry passes the same list object again. It sends only the documents without a response, one
    request after another, so that it ends even if the server can take very little at once.

    The first write, and each write after a failed one, creates missing indices and aliases.
    """

    def __init__(
        self, settings: ElasticsearchSettings, secrets: Mapping[str, str], *, clock: Clock
    ) -> None:
        """Create the client, without sending a request.

        Args:
            settings: the server, and the size of a bulk request.
            secrets: the values of :data:`cluster_connection.SECRETS` that are set.
            clock: gives the time of ``indexed_at``.

        Raises:
            ConfigurationError: the settings cannot be used.
        """
        self._settings = settings
        self._prefix = settings.index_prefix
        self._tombstones = settings.index_prefix + TOMBSTONES
        self._where = address(settings)
        self._client = connect(settings, secrets)
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="elasticsearch")
        self._clock = clock
        self._progress = _WriteProgress()
        self._ready = False
        self._was_ready = False

    def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
        """Store the documents that are newer; return those that can never be stored, in order.

        Raises:
            RetriableError: not now, because the server cannot be reached, is overloaded or
                read-only; repeat the call with the same list.
            ConfigurationError: wrong credentials, privileges, certificates or version of the
                server, or an index has the name of an alias.
            FatalError: the server refuses a whole request.
        """
        if not self._ready:
            self._prepare()
        if self._progress.documents is not documents:
            self._progress = _WriteProgress(documents)
        self._ready = False
        self._record_deletions()
        send = self._send_in_turn if self._progress.is_retry else self._send_at_once
        self._progress.is_retry = True
        refusals: list[Refusal] = []
        send(self._operations(refusals))
        refusals += self._progress.refusals
        self._progress = _WriteProgress()
        self._ready = True
        return sorted(refusals)

    def identity(self, index_name: str) -> str:
        if not self._ready:
            self._prepare()
            self._ready = True
        uuid = write_index_uuid(self._client, self._prefix + index_name, self._where)
        return uuid.encode().hex()[:24]  # it has signs that a name of a group should not have

    def close(self) -> None:
        self._pool.shutdown()
        self._client.close()

    def _prepare(self) -> None:
        """Check the server's version, create missing indices, and warn of those that differ."""
        check_version(self._client, self._where)
        for step in ensure(self._client, self._settings, self._where):
            if step.state == "differs" and not self._was_ready:
                _logger.warning("Elasticsearch: %s: %s", step.what, step.advice)
            elif step.state == "created" and self._was_ready and step.what.startswith("index "):
                _logger.warning(
                    "Elasticsearch: %s was missing and was made again: what was in it is gone",
                    step.what,
                )
        self._was_ready = True

    def _record_deletions(self) -> None:
        """Write the tombstones of all deletions, before anything is deleted."""
        deleted: dict[str, int] = {}
        for document in self._progress.documents:
            if document.body is None:
                with suppress(*_REFUSED):
                    version = bulk_operation(0, document, b"").version
                    deleted[document.id] = max(version, deleted.get(document.id, 0))
        if deleted:
            with translated(self._where):
                record_tombstones(self._client, self._tombstones, deleted, self._where)

    def _operations(self, refusals: list[Refusal]) -> Iterator[BulkOperation]:
        """Return the operations without a response so far.

        A document that can never be stored is added to ``refusals`` instead.
        """
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        prefix = indexed_at_prefix(f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z")
        settled = self._progress.settled
        for position, document in enumerate(self._progress.documents):
            if position in settled:
                continue
            try:
                yield bulk_operation(position, document, prefix, self._prefix)
            except _REFUSED as error:
                refusals.append(Refusal(position, str(error)))

    def _requests(
        self, operations: Iterable[BulkOperation], later: list[BulkOperation]
    ) -> Iterator[list[BulkOperation]]:
        """Group the operations into requests of at most the size in the settings.

        The server keeps the order of operations only within one request. Therefore an operation on
        a document that an earlier request already holds is added to ``later`` instead.
        """
        most, most_bytes = self._settings.batch_documents, self._settings.batch_bytes
        sent: set[tuple[str, str]] = set()
        names: set[tuple[str, str]] = set()
        request: list[BulkOperation] = []
        size_bytes = 0
        for operation in operations:
            name = (operation.index_name, operation.id)
            if name in sent:
                later.append(operation)
                continue
            size_after = size_bytes + len(operation.lines)
            if request and (len(request) >= most or size_after > most_bytes):
                yield request
                sent |= names
                names, request, size_bytes = set(), [], 0
                if name in sent:
                    later.append(operation)
                    continue
            names.add(name)
            request.append(operation)
            size_bytes += len(operation.lines)
        if request:
            yield request

    def _send_at_once(self, operations: Iterable[BulkOperation]) -> None:
        """Send several requests at the same time, each as soon as its operations are ready."""
        later: list[BulkOperation] = []
        sent: list[tuple[list[BulkOperation], Future[list[Refusal]]]] = [
            (request, self._pool.submit(self._send, request))
            for request in self._requests(operations, later)
        ]
        errors: list[Exception] = []
        for request, future in sent:
            try:
                self._settle(request, future.result())
            except Exception as error:  # noqa: BLE001 - raised below, after all responses
                errors.append(error)
        if errors:
            raise min(errors, key=lambda error: isinstance(error, RetriableError))
        self._send_in_turn(later)

    def _send_in_turn(self, operations: Iterable[BulkOperation]) -> None:
        """Send one request after another."""
        while True:
            later: list[BulkOperation] = []
            for request in self._requests(operations, later):
                self._settle(request, self._send(request))
            if not later:
                return
            operations = later

    def _settle(self, request: Iterable[BulkOperation], refusals: Iterable[Refusal]) -> None:
        self._progress.settled.update(operation.position for operation in request)
        self._progress.refusals.extend(refusals)

    def _send(self, request: list[BulkOperation]) -> list[Refusal]:
        """Send one request, without the documents that a tombstone says were deleted later."""
        with translated(self._where):
            ids = list(
                dict.fromkeys(operation.id for operation in request if not operation.deletes)
            )
            deleted = (
                read_tombstones(self._client, self._tombstones, ids, self._where) if ids else {}
            )
            kept = [
                operation
                for operation in request
                if operation.deletes or operation.version > deleted.get(operation.id, -1)
            ]
            return _bulk(self._client, kept, self._where) if kept else []


def _bulk(client: Elasticsearch, request: Sequence[BulkOperation], where: str) -> list[Refusal]:
    """Send one request; if the server finds it too large, send each half of it."""
    lines: list[Any] = [b"".join(operation.lines for operation in request)]
    try:
        response = client.bulk(operations=lines, require_alias=True, filter_path=_NEEDED)
    except ApiError as error:
        if error.meta.status != _TOO_LARGE:
            raise
        if len(request) == 1:
            too_large = "the document is larger than the server takes (http.max_content_length)"
            return [Refusal(request[0].position, too_large)]
        middle = len(request) // 2
        return _bulk(client, request[:middle], where) + _bulk(client, request[middle:], where)
    refusals = []
    for operation, item in zip(request, response["items"], strict=True):
        reason = refusal_reason(item, where)
        if reason is not None:
            refusals.append(Refusal(operation.position, reason))
    return refusals
