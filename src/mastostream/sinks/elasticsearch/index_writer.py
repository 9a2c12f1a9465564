"""Writing documents."""

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
from mastostream.sinks.elasticsearch.connection import address, check_version, connect
from mastostream.sinks.elasticsearch.definitions import TOMBSTONES
from mastostream.sinks.elasticsearch.errors import translated
from mastostream.sinks.elasticsearch.index_setup import ensure
from mastostream.sinks.elasticsearch.operations import BulkOperation, opening, operation, refusal
from mastostream.sinks.elasticsearch.tombstones import read_tombstones, record_tombstones

__all__ = ["CONNECTIONS", "ElasticsearchIndex"]

CONNECTIONS: Final = 4
"""Requests on their way at once."""

_TOO_LARGE: Final = 413
_NEEDED: Final = (
    "items.*.status",
    "items.*.error.type",
    "items.*.error.reason",
    "items.*.error.caused_by.reason",
)
_UNFIT: Final = (ValueError, msgspec.MsgspecError, RecursionError)
_logger = logging.getLogger(__name__)


@attrs.define
class _Try:
    """How far a write has come that may have to be made again."""

    documents: Sequence[Document] = ()
    again: bool = False
    settled: set[int] = attrs.field(factory=set)
    refusals: list[Refusal] = attrs.field(factory=list)


class ElasticsearchIndex:
    """A :class:`ports.index.IndexWriter` on Elasticsearch, used by one thread.

    A write is split into bulk requests, several of which are on their way at once; it returns when
    all are answered. What was written may be written again: Elasticsearch keeps the highest
    version (``external_gte``), and :mod:`tombstones` keep what was deleted deleted. A deletion
    counts for both indices. Each document gets the member ``indexed_at``.

    When a write of the very same list is made again, only what was not answered is sent, one
    request after another: so it comes to an end however little the server can take at once.

    The first write, and each after one that failed, makes the indices and aliases that are missing.
    """

    def __init__(
        self, settings: ElasticsearchSettings, secrets: Mapping[str, str], *, clock: Clock
    ) -> None:
        """Remember where the server is; nothing is asked yet.

        Args:
            settings: hosts, and how much a request holds.
            secrets: those of :data:`connection.SECRETS` that are set.
            clock: the time of ``indexed_at``.

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
        self._try = _Try()
        self._ready = False
        self._was_ready = False

    def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
        """Store what is newer; return what can never be stored.

        Raises:
            RetriableError: not now (unreachable, overloaded, read-only); the same call may be made
                again.
            ConfigurationError: credentials, privileges, certificates, version, or an index that is
                in the way.
            FatalError: the server refuses the requests as such.
        """
        if not self._ready:
            self._prepare()
        if self._try.documents is not documents:
            self._try = _Try(documents)
        self._ready = False
        self._bury()
        send = self._send_in_turn if self._try.again else self._send_at_once
        self._try.again = True
        refusals: list[Refusal] = []
        send(self._operations(refusals))
        refusals += self._try.refusals
        self._try = _Try()
        self._ready = True
        return sorted(refusals)

    def close(self) -> None:
        self._pool.shutdown()
        self._client.close()

    def _prepare(self) -> None:
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

    def _bury(self) -> None:
        deleted: dict[str, int] = {}
        for each in self._try.documents:
            if each.body is None:
                with suppress(*_UNFIT):
                    version = operation(0, each, b"").version
                    deleted[each.id] = max(version, deleted.get(each.id, 0))
        if deleted:
            with translated(self._where):
                record_tombstones(self._client, self._tombstones, deleted, self._where)

    def _operations(self, refusals: list[Refusal]) -> Iterator[BulkOperation]:
        """What is left to do; what nobody needs to be asked about is refused."""
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        opened = opening(f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z")
        settled = self._try.settled
        for position, document in enumerate(self._try.documents):
            if position in settled:
                continue
            try:
                yield operation(position, document, opened, self._prefix)
            except _UNFIT as error:
                refusals.append(Refusal(position, str(error)))

    def _requests(
        self, operations: Iterable[BulkOperation], later: list[BulkOperation]
    ) -> Iterator[list[BulkOperation]]:
        """Requests of the size that is set.

        What belongs to a document that an earlier request holds goes to ``later``: only within one
        request does the server keep the order.
        """
        most, most_bytes = self._settings.batch_documents, self._settings.batch_bytes
        sent: set[tuple[str, str]] = set()
        names: set[tuple[str, str]] = set()
        request: list[BulkOperation] = []
        size = 0
        for each in operations:
            name = (each.index_name, each.id)
            if name in sent:
                later.append(each)
                continue
            if request and (len(request) >= most or size + len(each.lines) > most_bytes):
                yield request
                sent |= names
                names, request, size = set(), [], 0
                if name in sent:
                    later.append(each)
                    continue
            names.add(name)
            request.append(each)
            size += len(each.lines)
        if request:
            yield request

    def _send_at_once(self, operations: Iterable[BulkOperation]) -> None:
        """Send the first request while the second is made, and so on."""
        later: list[BulkOperation] = []
        sent: list[tuple[list[BulkOperation], Future[list[Refusal]]]] = [
            (request, self._pool.submit(self._send, request))
            for request in self._requests(operations, later)
        ]
        errors: list[Exception] = []
        for request, future in sent:
            try:
                self._settle(request, future.result())
            except Exception as error:  # noqa: BLE001 - raised below, when all are answered
                errors.append(error)
        if errors:
            raise min(errors, key=lambda error: isinstance(error, RetriableError))
        self._send_in_turn(later)

    def _send_in_turn(self, operations: Iterable[BulkOperation]) -> None:
        while True:
            later: list[BulkOperation] = []
            for request in self._requests(operations, later):
                self._settle(request, self._send(request))
            if not later:
                return
            operations = later

    def _settle(self, request: Iterable[BulkOperation], refusals: Iterable[Refusal]) -> None:
        self._try.settled.update(each.position for each in request)
        self._try.refusals.extend(refusals)

    def _send(self, request: list[BulkOperation]) -> list[Refusal]:
        with translated(self._where):
            ids = list(dict.fromkeys(each.id for each in request if not each.deletes))
            deleted = (
                read_tombstones(self._client, self._tombstones, ids, self._where) if ids else {}
            )
            kept = [
                each for each in request if each.deletes or each.version > deleted.get(each.id, -1)
            ]
            return _bulk(self._client, kept, self._where) if kept else []


def _bulk(client: Elasticsearch, request: Sequence[BulkOperation], where: str) -> list[Refusal]:
    """Send one request, in halves where the server finds it too large."""
    lines: list[Any] = [b"".join(each.lines for each in request)]
    try:
        answer = client.bulk(operations=lines, require_alias=True, filter_path=_NEEDED)
    except ApiError as error:
        if error.meta.status != _TOO_LARGE:
            raise
        if len(request) == 1:
            too_large = "the document is larger than the server takes (http.max_content_length)"
            return [Refusal(request[0].position, too_large)]
        middle = len(request) // 2
        return _bulk(client, request[:middle], where) + _bulk(client, request[middle:], where)
    refusals = []
    for each, item in zip(request, answer["items"], strict=True):
        reason = refusal(item, where)
        if reason is not None:
            refusals.append(Refusal(each.position, reason))
    return refusals
