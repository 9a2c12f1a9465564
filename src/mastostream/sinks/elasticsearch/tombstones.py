"""What was deleted, for good.

Elasticsearch remembers the version of a delete for a while (``index.gc_deletes``), and not across
a restart. After that, an older version that comes late would bring a deleted post back. So each
deletion leaves a small document with its version in a hidden index, written before the post is
deleted; who writes documents looks there first, by id, which sees what was written a moment ago.

Between that look and the write, another process may delete the post: then Elasticsearch itself
still remembers, and refuses the older version.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from elasticsearch import Elasticsearch

from mastostream.exceptions import ConfigurationError, RetriableError
from mastostream.sinks.elasticsearch.errors import said
from mastostream.sinks.elasticsearch.operations import refusal

__all__ = ["read_tombstones", "record_tombstones"]

_AT_ONCE: Final = 1_000
_NEEDED: Final = ("items.*.status", "items.*.error")


def record_tombstones(
    client: Elasticsearch, index: str, versions: Mapping[str, int], where: str
) -> None:
    """Remember that these ids were deleted at these versions; the highest stays.

    Args:
        client: of the server.
        index: of the tombstones.
        versions: by id.
        where: the server's address.

    Raises:
        RetriableError: not now; call again.
        ConfigurationError: the index of the deletions is not as it should be.
        vendor errors: translate them.
    """
    pairs = list(versions.items())
    for start in range(0, len(pairs), _AT_ONCE):
        lines: list[Any] = []
        for id_, version in pairs[start : start + _AT_ONCE]:
            action = {"_id": id_, "version": version, "version_type": "external_gte"}
            lines += [msgspec.json.encode({"index": action}), b'{"version":%d}' % version]
        answer = client.bulk(index=index, operations=lines, require_alias=True, filter_path=_NEEDED)
        for item in answer["items"]:
            reason = refusal(item, where)
            if reason is not None:
                raise ConfigurationError(
                    f"Elasticsearch at {where}: {index} cannot take a deletion ({reason}): "
                    "'mastostream index --setup' says what differs"
                )


def read_tombstones(
    client: Elasticsearch, index: str, ids: Sequence[str], where: str
) -> dict[str, int]:
    """Return the versions at which those of these ids were deleted that were. Arguments as above.

    Raises:
        RetriableError: not now.
        vendor errors: translate them.
    """
    answer = client.mget(
        index=index,
        ids=ids,
        source_includes=["version"],
        filter_path=["docs.found", "docs.error", "docs._source"],
    )
    found: dict[str, int] = {}
    for id_, entry in zip(ids, answer["docs"], strict=True):
        if "error" in entry:
            raise RetriableError(
                f"Elasticsearch at {where} cannot say what was deleted ({said(entry['error'])})"
            )
        if entry["found"]:
            found[id_] = entry["_source"]["version"]
    return found
