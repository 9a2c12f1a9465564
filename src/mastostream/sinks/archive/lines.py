"""Values as lines: a line is the record's value as it was, wherever that is JSON on one line.

Any other value becomes ``{"mastostream_archive":{"base64":"..."}}``.
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
    """Return the line that keeps this value, without its end."""
    if b"\n" not in value and not value.startswith(_WRAPPED) and is_line(value):
        return value
    return _WRAPPED + base64.b64encode(value) + b'"}}'


def is_line(line: bytes) -> bool:
    """Whether these bytes are JSON, and text, without a carriage return."""
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
    """Return the value that a line keeps."""
    if not line.startswith(_WRAPPED):
        return line
    with suppress(msgspec.MsgspecError, ValueError):
        wrapped = msgspec.json.decode(line, type=_Line)
        return base64.b64decode(wrapped.mastostream_archive.base64, validate=True)
    return line
