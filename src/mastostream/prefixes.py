"""Rules for name prefixes, which keep pipelines on one Kafka or Elasticsearch server apart.

A prefix that passes these checks gives only names that the server accepts.
"""

import re
from typing import Final

__all__ = ["LONGEST_PREFIX", "check_index_prefix", "check_topic_prefix"]

LONGEST_PREFIX: Final = 64
"""The longest prefix, in bytes.

Two limits have to hold. Kafka allows 249 bytes for a topic's name (``Topic.MAX_NAME_LENGTH``), and
a topic's name without the prefix has up to 100. File systems allow 255 bytes for a file's name, and
the name of a file that an archiver is writing has about 130 besides the prefix.
"""

_NOT_IN_TOPIC: Final = re.compile(r"[^A-Za-z0-9._-]")
_NOT_IN_INDEX: Final = re.compile(r'[\\/*?"<>|\s,#:]')
_BAD_INDEX_STARTS: Final = ("-", "_", "+", ".")


def check_topic_prefix(prefix: str) -> None:
    """Check that names of Kafka topics and of archive folders and files may begin with this prefix.

    Kafka's rule is ``[a-zA-Z0-9._-]`` (``org.apache.kafka.common.internals.Topic``). The first
    character has to be a letter or a digit, because programs that read archives ignore files whose
    names begin with ``_`` or ``.``.

    Raises:
        ValueError: the prefix is not allowed; the message says why.
    """
    label = f"topic_prefix {prefix!r}"
    if bad := _NOT_IN_TOPIC.search(prefix):
        raise ValueError(
            f"{label} has {bad[0]!r}, which no topic of Kafka may have: use letters, digits, "
            "'.', '_' and '-'"
        )
    _check_length(label, prefix)
    if prefix and not prefix[0].isalnum():
        raise ValueError(
            f"{label} begins with {prefix[0]!r}: begin with a letter or a digit, since files of an "
            "archive begin with it, and one that begins with '_' or '.' counts as no data"
        )


def check_index_prefix(prefix: str) -> None:
    """Check that names of Elasticsearch indices, aliases and templates may begin with this prefix.

    The rules are those of Elasticsearch's ``PUT /<index>``. Names that begin with ``.`` are for
    Elasticsearch's own indices, and deprecated for others.

    Raises:
        ValueError: the prefix is not allowed; the message says why.
    """
    label = f"index_prefix {prefix!r}"
    if bad := _NOT_IN_INDEX.search(prefix):
        raise ValueError(
            f"{label} has {bad[0]!r}, which no index of Elasticsearch may have: leave out spaces "
            'and any of \\ / * ? " < > | , # :'
        )
    if not prefix.isprintable():
        raise ValueError(f"{label} has a character that cannot be printed: leave it out")
    if prefix != prefix.lower():
        raise ValueError(
            f"{label} has a capital letter, which no index of Elasticsearch may have: "
            f"{prefix.lower()!r} would do"
        )
    _check_length(label, prefix)
    if prefix.startswith(_BAD_INDEX_STARTS):
        raise ValueError(
            f"{label} begins with {prefix[0]!r}, and an index of Elasticsearch may not begin with "
            "'-', '_', '+' or '.': begin with a letter or a digit"
        )


def _check_length(label: str, prefix: str) -> None:
    if (size := len(prefix.encode())) > LONGEST_PREFIX:
        raise ValueError(f"{label} is {size} bytes long: at most {LONGEST_PREFIX} are allowed")
