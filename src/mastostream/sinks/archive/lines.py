"""The lines of an archive file: encodes a record's value as one line, and decodes it.

A value that is JSON on one line is the line, unchanged. Any other value becomes the line
``{"mastostream_archive":{"base64":"..."}}``.
"""

import base64
from contextlib import suppress
from typing import Final

import msgspec

__all__ = ["is_line", "line_of", "value_of"]

_WRAPPED: Final = b'{"mastostream_archive":{"base64":"'


class _Wrapper(msgspec.Struct):
    base64: str


class _Line(msgspec.Struct):
    mastostream_archive: _Wrapper


def line_of(value: bytes) -> bytes:
    """Return the line of a value, without a line break."""
    if b"\n" not in value and not value.startswith(_WRAPPED) and is_line(value):
        return value
    return _WRAPPED + base64.b64encode(value) + b'"}}'


def is_line(line: bytes) -> bool:
    """Whether these bytes are JSON, valid UTF-8, and without a carriage return."""
    if b"\r" in line:
        return False
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
        if not line.isascii():
            line.decode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


def value_of(line: bytes) -> bytes:
    """Return the value of a line; a malformed wrapper is returned as it is."""
    if not line.startswith(_WRAPPED):
        return line
    with suppress(msgspec.MsgspecError, ValueError):
        parsed = msgspec.json.decode(line, type=_Line)
        return base64.b64decode(parsed.mastostream_archive.base64, validate=True)
    return line
