"""An archive, or any file of statuses, sent into a log again."""

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
import msgspec

from mastostream.compression import DAMAGE, SUFFIXES, compressed
from mastostream.core.codec import decode
from mastostream.core.metrics import to_ms
from mastostream.core.models import Deletion, Post, Rejected
from mastostream.exceptions import ConfigurationError, DamagedError
from mastostream.ports.clock import Clock
from mastostream.ports.log import LogWriter, NewRecord

__all__ = ["ReplayResult", "due_s", "replay", "replay_files", "total_bytes"]

BATCH: Final = 500
LONGEST_PAUSE_S: Final = 3_600.0
"""In a replay at a multiple of real time, a longer silence is cut to this, before the multiple."""

_SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".ndjson")

Unwrap = Callable[[bytes], bytes]
OnProgress = Callable[[int, int], None]


@attrs.frozen(kw_only=True)
class ReplayResult:
    """What a replay has sent.

    Attributes:
        records: in all.
        undecodable: of these, lines that are no post; the engine makes them dead letters.
    """

    records: int
    undecodable: int


def replay_files(path: Path) -> tuple[Path, ...]:
    """Return the files that a path stands for: itself, or the data files below a folder, by name.

    Raises:
        ConfigurationError: there is nothing to read.
    """
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and file.name.endswith(_SUFFIXES) and not file.name.startswith("_")
        )
        if not files:
            raise ConfigurationError(f"{path} holds no archive: expected files *{_SUFFIXES[0]}")
        return tuple(files)
    if not path.is_file():
        raise ConfigurationError(f"there is no file or folder {path}")
    return (path,)


def total_bytes(files: tuple[Path, ...]) -> int:
    """Return how many bytes a replay of these files reads from the disk."""
    return sum(file.stat().st_size for file in files)


def due_s(first_ms: int, created_ms: int, speed: float) -> float:
    """Return when a post is due, in seconds after the first: real time, divided by the speed."""
    return max(0.0, (created_ms - first_ms) / 1000 / speed)


def replay(  # noqa: PLR0913 - each is a choice of the user's, by name
    files: tuple[Path, ...],
    writer: LogWriter,
    *,
    topic: str,
    clock: Clock,
    stop: threading.Event,
    unwrap: Unwrap,
    speed: float | None = None,
    on_progress: OnProgress | None = None,
) -> ReplayResult:
    """Send every line, as it is, and return once the log has confirmed them.

    Args:
        files: what :func:`replay_files` found.
        writer: where they go; not closed.
        topic: the topic that they go to.
        clock: waits between posts.
        stop: ends the replay after the batch at hand.
        unwrap: what turns a line of the archive into the value that it keeps.
        speed: a multiple of real time by ``created_at``; ``None`` for as fast as it goes.
        on_progress: called after each batch with the records sent and the bytes read so far.

    Raises:
        DamagedError: a compressed file is cut short; all lines before are sent.
        RetriableError: from the log.
    """
    pace = _Pace(clock, stop, speed)
    records = undecodable = 0
    batch: list[NewRecord] = []
    read_bytes = 0

    def send() -> None:
        nonlocal records
        writer.append(batch)
        records += len(batch)
        batch.clear()
        if on_progress is not None:
            on_progress(records, read_bytes)

    try:
        for line, position in _lines(files):
            read_bytes = position
            if stop.is_set():
                break
            value = unwrap(line)
            item = decode(value)
            undecodable += isinstance(item, Rejected)
            if isinstance(item, Post) and pace.must_wait(to_ms(item.created_at)):
                send()
                pace.wait()
            key = item.key if isinstance(item, (Post, Deletion)) else None
            batch.append(NewRecord(topic, key, value))
            if len(batch) >= BATCH:
                send()
    finally:
        if batch:
            send()
    return ReplayResult(records=records, undecodable=undecodable)


class _Pace:
    """Holds each post back until it is due."""

    def __init__(self, clock: Clock, stop: threading.Event, speed: float | None) -> None:
        self._clock = clock
        self._stop = stop
        self._speed = speed
        self._began_s = clock.monotonic_s()
        self._first_ms: int | None = None
        self._latest_ms = 0
        self._skipped_ms = 0
        self._due_s = 0.0

    def must_wait(self, created_ms: int) -> bool:
        if self._speed is None:
            return False
        if self._first_ms is None:
            self._first_ms = self._latest_ms = created_ms
        pause_ms = created_ms - self._latest_ms
        if pause_ms > LONGEST_PAUSE_S * 1000:
            self._skipped_ms += pause_ms - int(LONGEST_PAUSE_S * 1000)
        self._latest_ms = max(self._latest_ms, created_ms)
        self._due_s = due_s(self._first_ms, created_ms - self._skipped_ms, self._speed)
        return self._due_s > self._clock.monotonic_s() - self._began_s

    def wait(self) -> None:
        self._clock.wait(self._stop, self._due_s - (self._clock.monotonic_s() - self._began_s))


def _lines(files: tuple[Path, ...]) -> Iterator[tuple[bytes, int]]:
    """Each line with the bytes read from the disk so far."""
    before = 0
    for file in files:
        with file.open("rb") as raw:
            for line in _file_lines(file, raw):
                yield line, before + raw.tell()
        before += file.stat().st_size


def _file_lines(file: Path, raw: io.BufferedReader) -> Iterator[bytes]:
    if file.suffix == ".json":
        yield from _array_or_lines(raw)
        return
    kinds = {suffix: kind for kind, suffix in SUFFIXES.items()}
    stream = compressed(raw, kinds.get(file.suffix, "none"), "rb")
    number = 0
    try:
        for number, line in enumerate(stream, start=1):  # noqa: B007 - used in the message
            if text := line.rstrip(b"\r\n"):
                yield text
    except DAMAGE as error:
        raise DamagedError(f"{file} is damaged after line {number}: {error}") from error


def _array_or_lines(raw: io.BufferedReader) -> Iterator[bytes]:
    """A JSON array of statuses, read as a whole, or JSON lines."""
    start = raw.peek(64).lstrip()
    if start.startswith(b"["):
        try:
            items = msgspec.json.decode(raw.read(), type=list[msgspec.Raw])
        except msgspec.DecodeError as error:
            raise DamagedError(f"{raw.name} is no JSON array: {error}") from error
        yield from map(bytes, items)
        return
    for line in raw:
        if text := line.rstrip(b"\r\n"):
            yield text
