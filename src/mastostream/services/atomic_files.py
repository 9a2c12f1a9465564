"""Atomic file writes, for files that another process may read at the same time."""

from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file atomically: a concurrent reader gets the old content or the new, never a part.

    This matters where two servers share their configuration: one may still read it while the start
    of the next server writes it again. Text is encoded as UTF-8.
    """
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(path)
