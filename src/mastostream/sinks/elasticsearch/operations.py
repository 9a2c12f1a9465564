"""One document of a bulk request: its bytes in the request, and the meaning of the response."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from mastostream.core.indices import INDEXED_AT, INDICES
from mastostream.exceptions import FatalError
from mastostream.ports.index import Document
from mastostream.sinks.elasticsearch.errors import error_of_response, reason_text

__all__ = [
    "LONGEST_ID_BYTES",
    "BulkOperation",
    "bulk_operation",
    "indexed_at_prefix",
    "refusal_reason",
]

LONGEST_ID_BYTES: Final = 512
"""Elasticsearch's limit on the length of ``_id``, in bytes of UTF-8."""

_MAX_VERSION: Final = 2**63 - 1
_NAMES: Final = frozenset(index.name for index in INDICES)
_CONFLICT: Final = 409
_encode: Final = msgspec.json.encode


class BulkOperation(NamedTuple):
    """One document, or one deletion, as a bulk request holds it.

    Attributes:
        position: the document's position in its batch.
        index_name: the document's index, without the prefix.
        id: the document's id.
        version: the document's version, at least 0.
        lines: its lines in the bulk request, including the last line break.
        deletes: whether it is a deletion.
    """

    position: int
    index_name: str
    id: str
    version: int
    lines: bytes
    deletes: bool


def indexed_at_prefix(now: str) -> bytes:
    """Return the bytes that replace the ``{"`` of a document, to add the time of its indexing.

    Args:
        now: that time, in ISO 8601.
    """
    return b'{"%b":"%b","' % (INDEXED_AT.encode(), now.encode())


def bulk_operation(
    position: int, document: Document, body_prefix: bytes, index_prefix: str = ""
) -> BulkOperation:
    """Return the operation that writes or deletes a document.

    The body is sent unchanged, except that the prefix adds a first member. A version below 0 (a
    time before 1970) becomes 0: Elasticsearch accepts no lower one.

    Args:
        position: the document's position in its batch.
        document: its ``index_name`` has no prefix.
        body_prefix: the result of :func:`indexed_at_prefix`.
        index_prefix: the prefix of all names of indices.

    Raises:
        ValueError, msgspec.MsgspecError, RecursionError: the index can never store the document;
            the message says why.
    """
    name, id_, version, body = document
    if name not in _NAMES:
        raise ValueError(f"there is no index {name}")
    if not id_:
        raise ValueError("a document needs an id")
    encoded_id = _encode(id_)
    if len(encoded_id) > LONGEST_ID_BYTES and len(id_.encode()) > LONGEST_ID_BYTES:
        raise ValueError(
            f"the id is longer than the {LONGEST_ID_BYTES} bytes that Elasticsearch takes"
        )
    if version > _MAX_VERSION:
        raise ValueError(f"the version {version} is no 64-bit number")
    version = max(version, 0)
    deletes = body is None
    lines = b'%b%b,"version":%d,"version_type":"external_gte"}}\n' % (
        _action_start(index_prefix + name, deletes),
        encoded_id,
        version,
    )
    if body is not None:
        lines += _in_one_line(body, body_prefix)
    return BulkOperation(position, name, id_, version, lines, deletes)


@lru_cache
def _action_start(index_name: str, deletes: bool) -> bytes:
    """Return the action line up to the id, which is the same for all documents of an index."""
    action = b"delete" if deletes else b"index"
    return b'{"%b":{"_index":%b,"_id":' % (action, _encode(index_name))


def _in_one_line(body: bytes, body_prefix: bytes) -> bytes:
    """Return the body as one line, with the prefix.

    A bulk request separates documents by line breaks. A line break inside a body would let its
    text begin another operation, so none may be left there.
    """
    if body.startswith(b'{"') and b"\n" not in body:
        return body_prefix + body[2:] + b"\n"
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    compact = msgspec.json.format(_encode(members), indent=-1)
    if b"\n" in compact:
        raise ValueError("a line break inside a JSON text")
    if not members:
        return body_prefix.removesuffix(b',"') + b"}\n"
    return body_prefix + compact[2:] + b"\n"


def refusal_reason(item: Mapping[str, Any], where: str) -> str | None:
    """Return why a document can never be stored, or ``None`` if nothing is left to do.

    Nothing is left to do either if the index holds a newer version of the document.

    Args:
        item: its item of the bulk response: ``{"index": {"status": ..., "error": ...}}``.
        where: the server's address for messages, without secrets.

    Raises:
        RetriableError: the server cannot store the document now.
        ConfigurationError: these credentials may not write.
    """
    (outcome,) = item.values()
    error = outcome.get("error")
    status = int(outcome["status"])
    if error is None or status == _CONFLICT:
        return None
    translated_error = error_of_response(status, error, where)
    if isinstance(translated_error, FatalError):
        return f"Elasticsearch refuses it: {reason_text(error)}"
    raise translated_error
