"""Files that others read while they are written."""

from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file at once: who reads it meanwhile finds the old one or the new one, never a part.

    A server that is just starting reads the configuration that the next one's start writes anew.
    """
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(path)
