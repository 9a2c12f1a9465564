"""Reads the logs of servers: their last lines, and the lines that are added.

Control characters are replaced by spaces, so that a log cannot control the terminal.
"""

import re
from pathlib import Path
from typing import Final

__all__ = ["Follower", "last_lines", "last_words"]

_BLOCK_BYTES: Final = 2**16
_MAX_READ_BYTES: Final = 2**24
"""No more than about this is read of a log at once."""

_MAX_LAST_WORDS: Final = 8
_NOISE: Final = re.compile(r"\s+at |\s+\.\.\. \d+ more|[/*]+$|.*SHUTDOWN_MSG")
"""Lines that do not help a user: Java's stack traces and the frame of Hadoop's shutdown note."""


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines that are not empty, the oldest first.

    There are fewer than ``count`` if the log is shorter, or if its last 16 MB hold fewer. A log
    that cannot be read has no lines.
    """
    try:
        with path.open("rb") as file:
            start = size = file.seek(0, 2)
            lines: list[str] = []
            # Each round reads twice as much. The first line may be cut, so one more is needed.
            while start > 0 and len(lines) <= count and size - start < _MAX_READ_BYTES:
                start = max(0, min(start - _BLOCK_BYTES, 2 * start - size))
                file.seek(start)
                lines = _lines(file.read(size - start))
    except OSError:
        return []
    return lines[-count:] if count else []


def last_words(text: bytes) -> list[str]:
    """Return the last lines of a program's output, at most 8, without stack traces."""
    return [line for line in _lines(text) if not _NOISE.match(line)][-_MAX_LAST_WORDS:]


class Follower:
    """Reads the lines that are added to a log, also to the new log file after a restart."""

    def __init__(self, path: Path) -> None:
        """Begin at the end of the log; the file need not exist yet."""
        self._path = path
        self._position = self._file_and_size()
        self._partial_line = b""

    def new_lines(self) -> list[str]:
        """Return the complete lines that were added since the last call."""
        inode, size = self._file_and_size()
        last_inode, offset = self._position
        if inode != last_inode or size < offset:
            offset, self._partial_line = 0, b""
        if size == offset:
            self._position = (inode, offset)
            return []
        with self._path.open("rb") as file:
            file.seek(offset)
            added = file.read(min(size - offset, _MAX_READ_BYTES))
        self._position = (inode, offset + len(added))
        complete, _, self._partial_line = (self._partial_line + added).rpartition(b"\n")
        return _lines(complete)

    def _file_and_size(self) -> tuple[int, int]:
        """Return the file's inode and its size in bytes; zeros if there is no file."""
        try:
            status = self._path.stat()
        except OSError:
            return 0, 0
        return status.st_ino, status.st_size


def _lines(text: bytes) -> list[str]:
    """Split into lines; control characters become spaces, and empty lines are left out."""
    lines = text.decode(errors="replace").splitlines()
    cleaned = ("".join(c if c.isprintable() else " " for c in line).rstrip() for line in lines)
    return [line for line in cleaned if line]
