"""One document of a bulk request: the bytes that ask for it, and what the answer means."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from mastostream.core.indices import INDEXED_AT, INDICES
from mastostream.exceptions import FatalError
from mastostream.ports.index import Document
from mastostream.sinks.elasticsearch.errors import of_answer, said

__all__ = ["LONGEST_ID_BYTES", "BulkOperation", "opening", "operation", "refusal"]

LONGEST_ID_BYTES: Final = 512
"""Elasticsearch's limit on ``_id``."""

_MAX_VERSION: Final = 2**63 - 1
_NAMES: Final = frozenset(index.name for index in INDICES)
_CONFLICT: Final = 409
_encode: Final = msgspec.json.encode


class BulkOperation(NamedTuple):
    """A document on its way.

    Attributes:
        position: its place in the batch.
        index_name: without the prefix.
        lines: what a bulk request holds of it, with the last line break.
        deletes: whether it is a deletion.
    """

    position: int
    index_name: str
    id: str
    version: int
    lines: bytes
    deletes: bool


def opening(now: str) -> bytes:
    """Return what takes the place of a document's ``{"``: the time of its indexing."""
    return b'{"%b":"%b","' % (INDEXED_AT.encode(), now.encode())


def operation(
    position: int, document: Document, opened: bytes, index_prefix: str = ""
) -> BulkOperation:
    """Return the operation of a document.

    The body goes as it is, with :func:`opening` put before its first member. All versions from
    before 1970 count as 0: Elasticsearch has none below.

    Args:
        position: of the document in its batch.
        document: names its index without the prefix.
        opened: as :func:`opening` makes it.
        index_prefix: what names of indices begin with.

    Raises:
        ValueError, msgspec.MsgspecError, RecursionError: the index can never take it; the message
            says why.
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
        _beginning(index_prefix + name, deletes),
        encoded_id,
        version,
    )
    if body is not None:
        lines += _in_one_line(body, opened)
    return BulkOperation(position, name, id_, version, lines, deletes)


@lru_cache
def _beginning(index_name: str, deletes: bool) -> bytes:
    action = b"delete" if deletes else b"index"
    return b'{"%b":{"_index":%b,"_id":' % (action, _encode(index_name))


def _in_one_line(body: bytes, opened: bytes) -> bytes:
    """A line break ends a document here, and could begin another request: none may be inside."""
    if body.startswith(b'{"') and b"\n" not in body:
        return opened + body[2:] + b"\n"
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    compact = msgspec.json.format(_encode(members), indent=-1)
    if b"\n" in compact:
        raise ValueError("a line break inside a JSON text")
    return opened.removesuffix(b',"') + b"}\n" if not members else opened + compact[2:] + b"\n"


def refusal(answer: Mapping[str, Any], where: str) -> str | None:
    """Return why a document can never be stored, ``None`` where it is done.

    Done is also what the index knows a newer version of.

    Args:
        answer: what a bulk request answers of it: ``{"index": {"status": ..., "error": ...}}``.
        where: the server's address.

    Raises:
        RetriableError: not now.
        ConfigurationError: these credentials may not write.
    """
    (outcome,) = answer.values()
    error = outcome.get("error")
    status = int(outcome["status"])
    if error is None or status == _CONFLICT:
        return None
    meaning = of_answer(status, error, where)
    if isinstance(meaning, FatalError):
        return f"Elasticsearch refuses it: {said(error)}"
    raise meaning
