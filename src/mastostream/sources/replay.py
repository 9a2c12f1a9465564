"""Replay: sends the posts of an archive, or of any file of statuses, into a log again."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import attrs

from mastostream.core.codec import decode
from mastostream.core.models import Deletion, Post, Rejected
from mastostream.core.time import to_ms
from mastostream.exceptions import ConfigurationError
from mastostream.ports.clock import Clock
from mastostream.ports.log import LogWriter, NewRecord
from mastostream.sources.text_file import TextFile, Unwrap, is_text_file

__all__ = [
    "ReplayFile",
    "ReplayResult",
    "due_s",
    "replay",
    "replay_files",
    "total_bytes",
]

BATCH: Final = 500
"""Records that are appended to the log at once."""

LONGEST_PAUSE_S: Final = 3_600.0
"""A longer pause between two posts is cut to this, before it is divided by the replay's speed."""

OnProgress = Callable[[int, int], None]
"""Takes the number of records that were sent, and of bytes that were read."""


class ReplayFile(Protocol):
    """A file of records, on this machine or elsewhere."""

    @property
    def size_bytes(self) -> int:
        """The size of the file as it is stored."""

    def values(self) -> Iterator[tuple[bytes, int]]:
        """Yield the value of each record, and the number of bytes that were read so far.

        Raises:
            DamagedError: the file is cut short or damaged; all values before that were yielded.
            RetriableError: the file cannot be read now.
        """


@attrs.frozen(kw_only=True)
class ReplayResult:
    """The number of records that a replay has sent.

    Attributes:
        records: all records.
        undecodable: those of them that are neither a post nor a deletion; the engine turns them
            into dead letters.
    """

    records: int
    undecodable: int


def replay_files(path: Path, unwrap: Unwrap = bytes) -> tuple[TextFile, ...]:
    """Return the file at a path of this machine, or all files in the folder there, by path.

    Subfolders are searched too. Only files that :func:`is_text_file` takes count, and none whose
    name begins with ``_``. A file that the path itself names is taken whatever its name is.

    Args:
        path: a file or a folder.
        unwrap: turns an object of a file into the record's value.

    Raises:
        ConfigurationError: there is no file to read.
    """
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and is_text_file(file.name) and not file.name.startswith("_")
        )
        if not files:
            raise ConfigurationError(f"{path} holds no archive: expected files *.jsonl")
    elif path.is_file():
        files = [path]
    else:
        raise ConfigurationError(f"there is no file or folder {path}")
    return tuple(
        TextFile(
            name=str(file),
            size_bytes=file.stat().st_size,
            open=lambda file=file: file.open("rb"),  # type: ignore[misc]  # file is bound as a default
            unwrap=unwrap,
        )
        for file in files
    )


def total_bytes(files: Sequence[ReplayFile]) -> int:
    """Return the number of bytes that a replay of these files reads."""
    return sum(file.size_bytes for file in files)


def due_s(first_ms: int, created_ms: int, speed: float) -> float:
    """Return when a post is due, in seconds after the first: the real time divided by the speed."""
    return max(0.0, (created_ms - first_ms) / 1000 / speed)


def replay(  # noqa: PLR0913 - each is a choice of the user's, by name
    files: Sequence[ReplayFile],
    writer: LogWriter,
    *,
    topic: str,
    clock: Clock,
    stop: threading.Event,
    speed: float | None = None,
    on_progress: OnProgress | None = None,
) -> ReplayResult:
    """Append every value, as its file gives it, to a topic; return once the log has confirmed all.

    The values that were already read are also sent if ``stop`` is set or a file raises an error.

    Args:
        files: the files to send, in this order.
        writer: appends to the log; not closed here.
        topic: the topic to append to.
        clock: waits between posts.
        stop: set it to end the replay early.
        speed: a multiple of real time, by ``created_at``; ``None`` for as fast as possible. A pause
            of more than one hour between two posts is cut to one hour, before it is divided.
        on_progress: called after each batch with the records sent and the bytes read so far.

    Raises:
        DamagedError: a file is cut short or damaged; all values that were read from it were sent.
        RetriableError: a file cannot be read, or the log cannot be written, now.
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
        for value, position in _lines(files):
            read_bytes = position
            if stop.is_set():
                break
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
    """Delays every post until it is due."""

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


def _lines(files: Sequence[ReplayFile]) -> Iterator[tuple[bytes, int]]:
    """Yield every value, and the number of bytes that were read so far."""
    before = 0
    for file in files:
        for value, position in file.values():
            yield value, before + position
        before += file.size_bytes
