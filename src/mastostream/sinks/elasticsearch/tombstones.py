"""Tombstones: the versions at which documents were deleted, kept for good.

Elasticsearch itself remembers the version of a delete only for a while (``index.gc_deletes``), and
not across a restart. After that, a late older version would bring a deleted post back. Therefore
each deletion writes a tombstone, a small document with the version, into a hidden index before it
deletes the post. A writer of documents first reads the tombstones of their ids. A read by id also
sees a tombstone that was written a moment ago.

Another process may delete a post between that read and the write. Elasticsearch still remembers
such a recent delete, and refuses the older version.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from elasticsearch import Elasticsearch

from mastostream.exceptions import ConfigurationError, RetriableError
from mastostream.sinks.elasticsearch.errors import reason_text
from mastostream.sinks.elasticsearch.operations import refusal_reason

__all__ = ["read_tombstones", "record_tombstones"]

_BATCH_SIZE: Final = 1_000
"""The most tombstones of one bulk request."""

_NEEDED: Final = ("items.*.status", "items.*.error")


def record_tombstones(
    client: Elasticsearch, index: str, versions: Mapping[str, int], where: str
) -> None:
    """Write the tombstones of deleted ids. The highest version of an id stays.

    Args:
        client: of the server.
        index: the index of the tombstones.
        versions: id to the version of its deletion.
        where: the server's address for messages, without secrets.

    Raises:
        RetriableError: not now; call again.
        ConfigurationError: the index of the tombstones has a wrong mapping.
        vendor errors: the caller has to translate them.
    """
    pairs = list(versions.items())
    for start in range(0, len(pairs), _BATCH_SIZE):
        lines: list[Any] = []
        for id_, version in pairs[start : start + _BATCH_SIZE]:
            action = {"_id": id_, "version": version, "version_type": "external_gte"}
            lines += [msgspec.json.encode({"index": action}), b'{"version":%d}' % version]
        response = client.bulk(
            index=index, operations=lines, require_alias=True, filter_path=_NEEDED
        )
        for item in response["items"]:
            reason = refusal_reason(item, where)
            if reason is not None:
                raise ConfigurationError(
                    f"Elasticsearch at {where}: {index} cannot take a deletion ({reason}): "
                    "'mastostream index --setup' says what differs"
                )


def read_tombstones(
    client: Elasticsearch, index: str, ids: Sequence[str], where: str
) -> dict[str, int]:
    """Look up tombstones: return id to the version of its deletion, only for deleted ids.

    Args:
        client: of the server.
        index: the index of the tombstones.
        ids: the ids to look for, each once.
        where: the server's address for messages, without secrets.

    Raises:
        RetriableError: not now.
        vendor errors: the caller has to translate them.
    """
    response = client.mget(
        index=index,
        ids=ids,
        source_includes=["version"],
        filter_path=["docs.found", "docs.error", "docs._source"],
    )
    versions: dict[str, int] = {}
    for id_, entry in zip(ids, response["docs"], strict=True):
        if "error" in entry:
            raise RetriableError(
                f"Elasticsearch at {where} cannot say what was deleted "
                f"({reason_text(entry['error'])})"
            )
        if entry["found"]:
            versions[id_] = entry["_source"]["version"]
    return versions
