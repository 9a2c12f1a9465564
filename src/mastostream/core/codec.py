"""JSON bytes to models and back.

``decode`` first tries the fast path: msgspec decodes the bytes to the model in one step. What does
not fit takes the careful path: it reads member by member, by the rules of ``core.members``, what
servers of other software and older versions really send, and explains what it does not accept.
"""

import json
from datetime import UTC
from typing import Any, Final

import msgspec

from mastostream.core.members import ACCOUNT, DELETION, POST, STAMP, json_type, read_members
from mastostream.core.models import Account, Deletion, Post, Rejected, Stamp

__all__ = ["decode", "encode"]

_decode_post: Final = msgspec.json.Decoder(Post).decode
_encode: Final = msgspec.json.Encoder().encode


def encode(model: object) -> bytes:
    """Return a model or record as compact UTF-8 JSON; times are ISO 8601 in UTC with ``Z``.

    ``decode(encode(x)) == x`` for every :class:`Post` and :class:`Deletion`.

    Raises:
        TypeError: the object, or one inside it, has no JSON form.
        UnicodeEncodeError: a string contains a lone surrogate.
    """
    return _encode(model)


def decode(data: bytes | str) -> Post | Deletion | Rejected:
    """Return the post, or the deletion of a post, that a record of the log contains.

    Never raises, on any bytes: those that are neither become a :class:`Rejected` with the reasons.
    A boost becomes the boosted post, with the stamp of the boost. All times are in UTC. A member
    that is wrong costs that member, not the post: the documentation has a table of what is repaired
    and what is left out. A record is rejected if it has no id, no author or no time of creation.

    Args:
        data: a JSON object: Mastodon's entity ``Status``, or an encoded :class:`Deletion`.
    """
    try:
        post = _decode_post(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _decode_carefully(data)
    if post.reblog is None and _is_plain(post):
        return post
    return _decode_wrapped(data, post)


def _is_plain(post: Post) -> bool:
    """Whether the fast path is done with the post: its times are in UTC, it is no deletion."""
    stamp = post.mastostream
    return (
        post.created_at.tzinfo is UTC
        and (post.edited_at is None or post.edited_at.tzinfo is UTC)
        and (stamp is None or (stamp.event != "delete" and stamp.observed_at.tzinfo is UTC))
    )


def _decode_wrapped(data: bytes | str, wrapper: Post) -> Post | Deletion | Rejected:
    boosted = wrapper.reblog
    if boosted is None or boosted.reblog is not None or not _is_plain(wrapper):
        return _decode_carefully(data)
    # The post is not shared yet, so it may be changed; `attrs.evolve` would double the time.
    object.__setattr__(boosted, "mastostream", wrapper.mastostream)
    return boosted if _is_plain(boosted) else _decode_carefully(data)


def _decode_carefully(data: bytes | str) -> Post | Deletion | Rejected:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        return _rejected(data, _explain_syntax(data, error))
    if not isinstance(value, dict):
        return _rejected(data, f"$: expected object, got {json_type(value)}")
    stamp = value.get("mastostream")
    is_deletion = isinstance(stamp, dict) and stamp.get("event") == "delete"
    found, reasons = read_members(value, DELETION, "$") if is_deletion else _post(value)
    if stamp is not None:
        found["mastostream"], more = _stamp(stamp)
        reasons += more
    if reasons:
        return _rejected(data, *reasons)
    return Deletion(**found) if is_deletion else Post(**found)


def _post(status: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    boosted, path = status.get("reblog"), "$"
    if boosted and isinstance(boosted, dict):
        status, path = boosted, "$.reblog"
    found, reasons = read_members(status, POST, path)
    found["account"], more = _account(status.get("account"), f"{path}.account")
    return found, reasons + more


def _account(value: Any, path: str) -> tuple[Account | None, list[str]]:
    if value is None:
        return None, [f"{path}: missing"]
    if isinstance(value, dict) and value.get("acct") in (None, ""):
        value = value | {"acct": value.get("username")}
    found, reasons = read_members(value, ACCOUNT, path)
    return None if reasons else Account(**found), reasons


def _stamp(value: Any) -> tuple[Stamp | None, list[str]]:
    if isinstance(value, dict):
        value = {"event": "new"} | value
    found, reasons = read_members(value, STAMP, "$.mastostream")
    return None if reasons else Stamp(**found), reasons


def _rejected(data: bytes | str, *reasons: str) -> Rejected:
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    return Rejected(raw=bytes(raw), reasons=reasons)


def _explain_syntax(data: bytes | str, error: Exception) -> str:
    if not data:
        return "$: the record is empty"
    if isinstance(error, RecursionError):
        return "$: nested too deeply"
    try:
        text = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as not_utf8:
        return f"$: not UTF-8 at byte {not_utf8.start}"
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except json.JSONDecodeError as not_json:
        return f"$: not JSON: {not_json.msg} at character {not_json.pos}"
    except UnicodeEncodeError:
        return "$: a string holds half a surrogate pair, which is no Unicode text"
    except (RecursionError, ValueError):
        pass
    return f"$: {error}"
