"""The stamp: the one member that the collector adds to a status."""

from contextlib import suppress

import msgspec

from mastostream.core.codec import encode
from mastostream.core.models import Stamp

__all__ = ["stamp_raw"]

_MEMBER = "mastostream"


def stamp_raw(raw: bytes, stamp: Stamp) -> bytes:
    """Add the stamp as the last member; every other byte stays as it is.

    A member of that name which the server sent is taken out: it would be a forgery. Bytes that are
    no JSON object are returned as they are.
    """
    body = raw.strip()
    if not (body.startswith(b"{") and body.endswith(b"}")):
        return raw
    if b'"mastostream"' in body:
        with suppress(msgspec.MsgspecError, RecursionError):
            members = msgspec.json.decode(body)
            members.pop(_MEMBER, None)
            body = msgspec.json.encode(members)
    head = body[:-1].rstrip()
    comma = b"" if head == b"{" else b","
    return head + comma + b'"mastostream":' + encode(stamp) + b"}"
