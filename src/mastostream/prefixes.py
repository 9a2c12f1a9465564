"""Prefixes of names: they keep pipelines apart that share a server.

Rules alone: what a prefix may be, so that the server takes each name that begins with it.
"""

import re
from typing import Final

__all__ = ["LONGEST_PREFIX", "check_index_prefix", "check_topic_prefix"]

LONGEST_PREFIX: Final = 64
"""Bytes. A topic's own name has up to 100, and Kafka takes 249 (``Topic.MAX_NAME_LENGTH``); the
file that an archiver is writing has about 130 more in its name, and file systems take 255."""

_NO_TOPIC: Final = re.compile(r"[^A-Za-z0-9._-]")
_NO_INDEX: Final = re.compile(r'[\\/*?"<>|\s,#:]')
_HIDDEN: Final = ("-", "_", "+", ".")


def check_topic_prefix(prefix: str) -> None:
    """See that topics in Kafka, and folders and files of an archive, may begin with this.

    Kafka's rule is ``[a-zA-Z0-9._-]`` (``org.apache.kafka.common.internals.Topic``). The first
    character has to be a letter or a digit: readers of archives take a file that begins with ``_``
    or ``.`` for none.

    Raises:
        ValueError: they may not; the message says why.
    """
    told = f"topic_prefix {prefix!r}"
    if wrong := _NO_TOPIC.search(prefix):
        raise ValueError(
            f"{told} has {wrong[0]!r}, which no topic of Kafka may have: use letters, digits, "
            "'.', '_' and '-'"
        )
    _check_length(told, prefix)
    if prefix and not prefix[0].isalnum():
        raise ValueError(
            f"{told} begins with {prefix[0]!r}: begin with a letter or a digit, since files of an "
            "archive begin with it, and one that begins with '_' or '.' counts as no data"
        )


def check_index_prefix(prefix: str) -> None:
    """See that indices, aliases and templates in Elasticsearch may begin with this.

    The rules are those of Elasticsearch's ``PUT /<index>``. An index that begins with ``.`` is for
    Elasticsearch's own parts, and deprecated for others.

    Raises:
        ValueError: they may not; the message says why.
    """
    told = f"index_prefix {prefix!r}"
    if wrong := _NO_INDEX.search(prefix):
        raise ValueError(
            f"{told} has {wrong[0]!r}, which no index of Elasticsearch may have: leave out spaces "
            'and any of \\ / * ? " < > | , # :'
        )
    if not prefix.isprintable():
        raise ValueError(f"{told} has a character that cannot be printed: leave it out")
    if prefix != prefix.lower():
        raise ValueError(
            f"{told} has a capital letter, which no index of Elasticsearch may have: "
            f"{prefix.lower()!r} would do"
        )
    _check_length(told, prefix)
    if prefix.startswith(_HIDDEN):
        raise ValueError(
            f"{told} begins with {prefix[0]!r}, and an index of Elasticsearch may not begin with "
            "'-', '_', '+' or '.': begin with a letter or a digit"
        )


def _check_length(told: str, prefix: str) -> None:
    if (size := len(prefix.encode())) > LONGEST_PREFIX:
        raise ValueError(f"{told} is {size} bytes long: at most {LONGEST_PREFIX} are allowed")
