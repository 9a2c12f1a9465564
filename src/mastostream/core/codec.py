"""JSON bytes to models and back.

``decode`` first tries the fast path: msgspec decodes the bytes to the model in one step. What does
not fit takes the careful path: it accepts what servers of other software and older versions really
send (integer ids, missing or null members, unusual dates), and explains what it does not accept.
"""

import json
import operator
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_origin

import attrs
import msgspec

from mastostream.core.models import (
    EVENTS,
    MAX_COUNT,
    Account,
    Count,
    Deletion,
    Event,
    Name,
    Post,
    Rejected,
    Tag,
    to_utc,
)

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["decode", "encode"]

_T = TypeVar("_T")
_decode_post: Final = msgspec.json.Decoder(Post).decode
_encode: Final = msgspec.json.Encoder().encode
_ID_MEMBERS: Final = ("id", "in_reply_to_id")


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
    A boost becomes the boosted post, with the stamp of the boost. All times are in UTC.

    Args:
        data: a JSON object: Mastodon's entity ``Status``, or an encoded :class:`Deletion`.
    """
    try:
        post = _decode_post(data)
    except msgspec.ValidationError:
        return _decode_old(data)
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


@cache
def _old_post_decoder() -> Callable[[bytes | str], Any]:
    """Return the fast path's decoder for integer ids, which Mastodon sent before version 2.

    Some servers still send them. The decoder is made when the first such status comes: to make its
    classes at import time would delay every import.
    """

    @attrs.frozen(kw_only=True)
    class OldAccount(Account):
        id: str | int = ""  # type: ignore[assignment]  # the class is used in this module only

    @attrs.frozen(kw_only=True)
    class OldPost(Post):
        id: str | int  # type: ignore[assignment]  # the class is used in this module only
        in_reply_to_id: str | int | None = None  # type: ignore[assignment]  # used here only
        account: OldAccount

    return msgspec.json.Decoder(OldPost).decode


_POST_MEMBERS: Final = tuple(field.name for field in attrs.fields(Post) if field.init)
_ACCOUNT_MEMBERS: Final = tuple(field.name for field in attrs.fields(Account))


def _decode_old(data: bytes | str) -> Post | Deletion | Rejected:
    """Decode with the fast path for integer ids; fall back on the careful path."""
    try:
        old = _old_post_decoder()(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return _decode_carefully(data)
    if old.reblog is not None or old.id == "" or not _is_plain(old):
        return _decode_carefully(data)
    account = {name: getattr(old.account, name) for name in _ACCOUNT_MEMBERS}
    account["id"] = str(account["id"])
    members = {name: getattr(old, name) for name in _POST_MEMBERS}
    members["id"] = str(members["id"])
    if members["in_reply_to_id"] is not None:
        members["in_reply_to_id"] = str(members["in_reply_to_id"])
    members["account"] = Account(**account)
    return Post(**members)


def _decode_carefully(data: bytes | str) -> Post | Deletion | Rejected:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        return _rejected(data, _explain_syntax(data, error))
    if not isinstance(value, dict):
        return _rejected(data, f"$: expected object, got {_json_type(value)}")
    stamp = value.get("mastostream")
    path = "$"
    if isinstance(stamp, dict) and stamp.get("event") == "delete":
        return _structure(data, value, Deletion, path)
    if isinstance(value.get("reblog"), dict):
        value = value["reblog"] | {"mastostream": stamp, "reblog": None}
        path = "$.reblog"
    return _structure(data, value, Post, path)


def _structure(
    data: bytes | str, value: dict[str, Any], model: type[_T], path: str
) -> _T | Rejected:
    from cattrs import transform_error  # noqa: PLC0415 - cattrs takes 50 ms to import; few need it

    try:
        return _converter().structure(value, model)
    except RecursionError:
        return _rejected(data, "$: nested too deeply")
    except Exception as error:  # noqa: BLE001 - an exception group of anything that hooks raise
        lines = transform_error(error, path=path, format_exception=_explain)
        return _rejected(data, *(_path_first(line) for line in lines))


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


def _path_first(line: str) -> str:
    message, _, path = line.rpartition(" @ ")
    return f"{path}: {message}"


def _explain(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return "missing"
    return str(error)


def _json_type(value: object) -> str:
    names = {dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), type(value).__name__)


@cache
def _converter() -> "Converter":
    """Return the careful path's converter: strict about types, lenient about missing members."""
    from cattrs import Converter  # noqa: PLC0415 - cattrs takes 50 ms to import; few need it

    converter = Converter(detailed_validation=True, prefer_attrib_converters=False)
    for primitive in (str, bool):
        converter.register_structure_hook(primitive, _strict(primitive))
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(datetime, _time)
    converter.register_structure_hook_factory(attrs.has, lambda model: _object(converter, model))
    for annotation, hook in (
        (tuple[Tag, ...], lambda value, _: _tags(converter, value)),
        (Count, _count),
        (Name, _name),
        (Event, _event),
    ):
        converter.register_structure_hook_func(partial(operator.eq, annotation), hook)
    return converter


def _strict(primitive: type[_T]) -> Callable[[object, Any], _T]:
    def structure(value: object, _: Any) -> _T:
        if not isinstance(value, primitive):
            raise TypeError(f"expected {primitive.__name__}, got {_json_type(value)}")
        return value

    return structure


def _integer(value: object, _: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"expected int, got {_json_type(value)}")
    return value


def _count(value: object, _: Any) -> int:
    number = _integer(value, int)
    if not 0 <= number <= MAX_COUNT:
        raise ValueError(f"expected a count from 0 to {MAX_COUNT}, got {number:.6g}")
    return number


def _name(value: object, _: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected str, got {_json_type(value)}")
    if not value:
        raise ValueError("expected a name, got an empty string")
    return value


def _event(value: object, _: Any) -> str:
    if value not in EVENTS:
        raise ValueError(f"expected one of {', '.join(EVENTS)}")
    return str(value)


def _time(value: object, _: Any) -> datetime:
    """Parse ISO 8601 in any spelling, or the format of e-mail, which GNU social uses.

    A time without a zone is taken for UTC.
    """
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - 5 ms, and few need it

    if not isinstance(value, str):
        raise TypeError(f"expected a time, got {_json_type(value)}")
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            time = parse(value.strip())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return to_utc(time.replace(tzinfo=UTC) if time.tzinfo is None else time)
    raise ValueError(f"expected a time, got {value[:40]!r}")


def _tags(converter: "Converter", value: object) -> tuple[Tag, ...]:
    if not isinstance(value, list):
        raise TypeError(f"expected array, got {_json_type(value)}")
    return tuple(converter.structure(value, list[Tag]))


def _object(converter: "Converter", model: type[Any]) -> Callable[[object, Any], Any]:
    from cattrs.gen import make_dict_structure_fn, override  # noqa: PLC0415 - slow import

    fields = attrs.fields(attrs.resolve_types(model))
    omitted = {field.name: override(omit=True) for field in fields if not field.init}
    structure = make_dict_structure_fn(model, converter, **omitted)  # type: ignore[arg-type]  # as documented
    nullable = {field.name for field in fields if _accepts_null(field.type)}

    def structure_object(value: object, target: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(f"expected object, got {_json_type(value)}")
        return structure(dict(_members(value, nullable)), target)

    return structure_object


def _accepts_null(annotation: Any) -> bool:
    if get_origin(annotation) is tuple:
        return False
    return type(None) in getattr(annotation, "__args__", ())


def _members(value: Mapping[str, Any], nullable: set[str]) -> Iterator[tuple[str, Any]]:
    """Yield the members of an object: without nulls where none is allowed, integer ids as text."""
    for name, member in value.items():
        if member is None and name not in nullable:
            continue
        if name in _ID_MEMBERS and isinstance(member, int) and not isinstance(member, bool):
            yield name, str(member)
        else:
            yield name, member
