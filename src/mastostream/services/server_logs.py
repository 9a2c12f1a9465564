"""Reading servers' logs: their ends, and what is added, without what steers a terminal."""

import re
from pathlib import Path
from typing import Final

__all__ = ["Follower", "last_lines", "last_words"]

_BLOCK_BYTES: Final = 2**16
_LONGEST_BYTES: Final = 2**24
_WORDS: Final = 8
_NOISE: Final = re.compile(r"\s+at |\s+\.\.\. \d+ more|[/*]+$|.*SHUTDOWN_MSG")
"""Where in a program an error arose, in Java's words, and Hadoop's way of saying good-bye."""


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines that are not empty; fewer where the log is shorter or very wide."""
    try:
        with path.open("rb") as file:
            start = size = file.seek(0, 2)
            found: list[str] = []
            while start > 0 and len(found) <= count and size - start < _LONGEST_BYTES:
                start = max(0, min(start - _BLOCK_BYTES, 2 * start - size))
                file.seek(start)
                found = _lines(file.read(size - start))
    except OSError:
        return []
    return found[-count:] if count else []


def last_words(text: bytes) -> list[str]:
    """Return the end of what a program said, without what only its authors understand."""
    return [line for line in _lines(text) if not _NOISE.match(line)][-_WORDS:]


class Follower:
    """Reads what is added to a log, also to the new one after a restart."""

    def __init__(self, path: Path) -> None:
        """Begin at its end."""
        self._path = path
        self._place = self._where()
        self._rest = b""

    def new_lines(self) -> list[str]:
        """Return the whole lines that were added since the last call."""
        number, size = self._where()
        before, position = self._place
        if number != before or size < position:
            position, self._rest = 0, b""
        if size == position:
            self._place = (number, position)
            return []
        with self._path.open("rb") as file:
            file.seek(position)
            added = file.read(min(size - position, _LONGEST_BYTES))
        self._place = (number, position + len(added))
        whole, _, self._rest = (self._rest + added).rpartition(b"\n")
        return _lines(whole)

    def _where(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return 0, 0
        return found.st_ino, found.st_size


def _lines(text: bytes) -> list[str]:
    lines = text.decode(errors="replace").splitlines()
    cleaned = ("".join(c if c.isprintable() else " " for c in line).rstrip() for line in lines)
    return [line for line in cleaned if line]
