"""Ids of posts. Each server makes its own ids from the creation time, and sorts posts by them.

A post that federates late therefore stands below newer posts in a timeline. Ids are integers here
and text on the wire: decimal snowflakes (Mastodon) or ULIDs of 26 characters (GoToSocial).
"""

import re
from hashlib import blake2b
from typing import Final
from zlib import crc32

from mastostream.testing.simulator.families import Family

__all__ = ["cursor_number", "post_number", "spell"]

_ULID_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_VALUES: Final = {digit: value for value, digit in enumerate(_ULID_DIGITS)}
_ULID_LENGTH: Final = 26
_LEADING_DIGITS: Final = re.compile(r"\s*-?\d+")


def post_number(family: Family, host: str, created_ms: int, order: int) -> int:
    """Return the id of a post on a server, as an integer.

    Args:
        family: the server's software.
        host: the server's host name; each server gives the same post another id.
        created_ms: creation time of the post, milliseconds since the epoch.
        order: number of the post among those of the same millisecond, from 0.
    """
    if family == "mastodon":
        salt = crc32(f"{host}:{created_ms}".encode())
        return (created_ms << 16) | ((salt + order) & 0xFFFF)
    salt_bytes = blake2b(f"{host}:{created_ms}:{order}".encode(), digest_size=10).digest()
    return (created_ms << 80) | int.from_bytes(salt_bytes)


def spell(family: Family, number: int) -> str:
    """Return the id as text, as the API sends it."""
    if family == "mastodon":
        return str(number)
    places = range(5 * (_ULID_LENGTH - 1), -1, -5)
    return "".join(_ULID_DIGITS[(number >> place) & 31] for place in places)


def cursor_number(family: Family, text: str) -> int | None:
    """Return the place of an id in a timeline, as an integer; ``None`` where it has none.

    The id may come from a server of the other family. Mastodon parses it as Ruby's ``to_i`` does:
    the leading digits, or 0. GoToSocial accepts ULIDs, and ``0`` for the beginning.
    """
    if family == "mastodon":
        digits = _LEADING_DIGITS.match(text)
        return int(digits[0]) if digits else 0
    if text == "0":
        return 0
    if len(text) != _ULID_LENGTH or not _ULID_VALUES.keys() >= set(text):
        return None
    number = 0
    for digit in text:
        number = number << 5 | _ULID_VALUES[digit]
    return number
