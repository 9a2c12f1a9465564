"""Reads files before a replay: one that cannot be used is refused before anything is sent."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from mastostream.core.codec import decode
from mastostream.core.models import Post, Rejected
from mastostream.exceptions import ConfigurationError, DamagedError
from mastostream.sources.text_file import TextFile

__all__ = ["check_files"]

REFUSED_SHARE: Final = 0.1
"""A file is refused if a larger share of its records than this are neither posts nor deletions."""

_LONGEST_REASON: Final = 200


def check_files(
    files: Sequence[TextFile],
    *,
    statuses: bool,
    stop: threading.Event,
    on_progress: Callable[[int], None],
) -> None:
    """Read all files to their ends, and refuse them together if one of them cannot be used.

    Args:
        files: the files that are to be replayed.
        statuses: whether their records have to be posts or deletions.
        stop: set it to end the check early.
        on_progress: called with the bytes that were read so far, after each thousand records and
            each file.

    Raises:
        ConfigurationError: a file is damaged, cut short, or holds too much that is neither a post
            nor a deletion; or all files together hold nothing.
        RetriableError: a file cannot be read now.
    """
    records = before = 0
    for file in files:
        records += _check(
            file,
            statuses=statuses,
            stop=stop,
            on_progress=lambda read, before=before: on_progress(before + read),  # type: ignore[misc]  # bound as a default
        )
        if stop.is_set():
            return
        before += file.size_bytes
        on_progress(before)
    if not records:
        names = ", ".join(file.name for file in files[:3])
        raise ConfigurationError(f"nothing was sent: {names} holds no statuses")


def _check(
    file: TextFile, *, statuses: bool, stop: threading.Event, on_progress: Callable[[int], None]
) -> int:
    """Check one file; return the number of its records."""
    records = undecodable = 0
    first: tuple[int, Rejected] | None = None
    try:
        for value, position in file.values():
            if stop.is_set():
                return records
            records += 1
            if records % 1_000 == 0:
                on_progress(position)
            if statuses and isinstance(item := decode(value), Rejected):
                undecodable += 1
                first = first or (records, item)
    except DamagedError as error:
        raise ConfigurationError(f"nothing was sent: {error}") from error
    if first is not None and undecodable > REFUSED_SHARE * records:
        number, item = first
        reasons = "; ".join(item.reasons)[:_LONGEST_REASON]
        raise ConfigurationError(
            f"nothing was sent: {undecodable} of {records} records in {file.name} are no "
            f"statuses, the first of them is record {number} ({reasons}). {_advice(item.raw)}"
        )
    return records


def _advice(raw: bytes) -> str:
    """Return what a person can do about a record that is no status."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return "If the file is Latin-1: iconv -f LATIN1 -t UTF-8 FILE > statuses.jsonl"
    try:
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        return "Expected the statuses of Mastodon's API, as JSON objects."
    if "@context" in members:
        return (
            "It is ActivityPub, like outbox.json in the archive that Mastodon gives to a user: "
            "its activities have neither the ids nor the accounts nor the counts of statuses. "
            "Read the statuses from the server's API: /api/v1/accounts/ID/statuses"
        )
    for name, member in members.items():
        if not name.isascii() or not name.isidentifier():
            continue
        if isinstance(decode(bytes(member)), Post):
            return f"Its member {name} is a status: with jq, '.{name}', or '.[].{name}' in an array"
        if _begins_with_post(bytes(member)):
            return f"Its member {name} holds statuses: jq -c '.{name}[]' FILE > statuses.jsonl"
    return "Expected the statuses of Mastodon's API, each as an object of its own."


def _begins_with_post(value: bytes) -> bool:
    """Whether a JSON value is an array whose first element is a post."""
    try:
        items = msgspec.json.decode(value, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        return False
    return bool(items) and isinstance(decode(bytes(items[0])), Post)
