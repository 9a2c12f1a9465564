"""The names of an archive's files: they say which records are inside.

``Mastodon_stream+00000+00000000000000000000-00000000000000000999.jsonl.zst`` keeps the offsets 0
to 999 of partition 0. A file begins where the one before it ends, whether or not its first offset
is a record; so a name that is missing is told from an offset that never was one.

What begins with ``_`` is no data, by the custom of the programs that read such folders: files that
are being written, and checksums.
"""

import os
import re
import secrets
import socket
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, Literal

import attrs

from mastostream.compression import SUFFIXES, Compression, compression_of

__all__ = [
    "CHECKSUM",
    "DAY_MS",
    "ArchiveFile",
    "Format",
    "TemporaryName",
    "breaks",
    "checksum_name",
    "day_folder",
    "day_of_folder",
    "file_name",
    "new_writer_name",
    "parse_name",
    "parse_temporary",
    "placed",
    "suffix_of",
]

CHECKSUM: Final = ".sha256"
DAY_MS: Final = 86_400_000

Format = Literal["jsonl", "parquet"]

_NAME: Final = re.compile(
    r"(?P<topic>[A-Za-z0-9][A-Za-z0-9._-]*)\+(?P<partition>\d{5,10})\+(?P<first>\d{20})-(?P<last>\d{20})"
    r"(?P<suffix>\.jsonl(?:\.gz|\.zst)?|\.parquet)"
)
_TEMPORARY: Final = re.compile(
    r"_(?P<compacting>compact\+)?(?P<topic>[A-Za-z0-9][A-Za-z0-9._-]*)\+(?P<partition>\d{5,10})\+\d{20}\+"
    r"(?P<host>[A-Za-z0-9.-]+)\+(?P<pid>\d+)\+[0-9a-f]+\.tmp"
)
_DAY: Final = re.compile(r"date=(\d{4}-\d{2}-\d{2})")


@attrs.frozen(kw_only=True)
class ArchiveFile:
    """A finished file. Offsets are inclusive.

    Attributes:
        suffix: how its name ends, from the format on: ``.jsonl.zst``.
        modified_ms: milliseconds since the epoch.
    """

    path: str
    topic: str
    partition: int
    first: int
    last: int
    suffix: str
    size_bytes: int = 0
    modified_ms: int = 0

    @property
    def folder(self) -> str:
        """Where it is."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def format(self) -> Format:
        """What is inside."""
        return "parquet" if self.suffix == ".parquet" else "jsonl"

    @property
    def compression(self) -> Compression:
        """How lines are compressed; Parquet's pages say it themselves."""
        return compression_of(self.suffix)


@attrs.frozen(kw_only=True)
class TemporaryName:
    """What the name of a file that is being written says.

    Attributes:
        compacting: whether it is made of files that are finished already.
        host: of the process that writes it.
        pid: of that process.
    """

    topic: str
    partition: int
    compacting: bool
    host: str
    pid: int

    def is_dead(self) -> bool:
        """Whether its process is known to have ended."""
        if self.host != _host():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return False


def suffix_of(form: Format, compression: Compression) -> str:
    """Return how the names of such files end."""
    return ".parquet" if form == "parquet" else ".jsonl" + SUFFIXES[compression]


def file_name(topic: str, partition: int, first: int, last: int, suffix: str) -> str:
    """Return the name of a finished file."""
    return f"{topic}+{partition:05}+{first:020}-{last:020}{suffix}"


def parse_name(path: str, size_bytes: int = 0, modified_ms: int = 0) -> ArchiveFile | None:
    """Return what the name of a finished file says; ``None`` for any other file."""
    match = _NAME.fullmatch(path.rpartition("/")[2])
    if match is None or int(match["first"]) > int(match["last"]):
        return None
    return ArchiveFile(
        path=path,
        topic=match["topic"],
        partition=int(match["partition"]),
        first=int(match["first"]),
        last=int(match["last"]),
        suffix=match["suffix"],
        size_bytes=size_bytes,
        modified_ms=modified_ms,
    )


def new_writer_name(topic: str, partition: int, first: int, *, compacting: bool = False) -> str:
    """Return a name for a file that begins to be written: no other process chooses the same."""
    kind = "compact+" if compacting else ""
    writer = f"{_host()}+{os.getpid()}+{secrets.token_hex(4)}"
    return f"_{kind}{topic}+{partition:05}+{first:020}+{writer}.tmp"


def parse_temporary(name: str) -> TemporaryName | None:
    """Return what the name of a file that is being written says; ``None`` for any other file."""
    match = _TEMPORARY.fullmatch(name)
    if match is None:
        return None
    return TemporaryName(
        topic=match["topic"],
        partition=int(match["partition"]),
        compacting=match["compacting"] is not None,
        host=match["host"],
        pid=int(match["pid"]),
    )


def checksum_name(name: str) -> str:
    """Return the name of the file that holds another one's checksum."""
    return f"_{name}{CHECKSUM}"


def day_folder(day: int) -> str:
    """Return the name of a day's folder, by days since the epoch."""
    return f"date={datetime.fromtimestamp(day * DAY_MS / 1000, UTC):%Y-%m-%d}"


def day_of_folder(name: str) -> int | None:
    """Return the day of a folder, in days since the epoch; ``None`` for any other folder."""
    match = _DAY.fullmatch(name)
    if match is not None:
        with suppress(ValueError):
            date = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
            return int(date.timestamp()) * 1000 // DAY_MS
    return None


def placed(files: Iterable[ArchiveFile]) -> tuple[list[ArchiveFile], list[ArchiveFile]]:
    """Return one topic's files by partition and offset, and those that a larger one replaces.

    A file whose offsets all lie inside another one's holds nothing of its own: it is what
    compaction has merged and not removed yet.
    """
    kept: list[ArchiveFile] = []
    replaced: list[ArchiveFile] = []
    for file in sorted(files, key=lambda each: (each.partition, each.first, -each.last)):
        last = kept[-1] if kept else None
        if (
            last is not None
            and last.partition == file.partition
            and file.last <= last.last
            and (file.first, file.last) != (last.first, last.last)
        ):
            replaced.append(file)
        else:
            kept.append(file)
    return kept, replaced


def breaks(files: Iterable[ArchiveFile]) -> list[str]:
    """Return, of files in order, where two share offsets or offsets in between are missing."""
    found = []
    for left, right in pairwise(files):
        if left.partition == right.partition and left.last + 1 != right.first:
            what = "overlap" if right.first <= left.last else "have a gap between them"
            found.append(f"the archive files {left.path} and {right.path} {what}")
    return found


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:60] or "unknown"
