"""The names of an archive's files, which say the topic, the partition and the offsets inside.

``Mastodon_stream+00000+00000000000000000000-00000000000000000999.jsonl.zst`` holds the offsets 0 to
999 of partition 0. The offsets of a log may have holes. The first offset in a name is therefore the
one after the previous file, even if no record has this offset. So a gap between two names always
means that a file is missing.

Programs that read such folders take a file whose name begins with ``_`` for no data. Unfinished
files and checksums have such names.
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
"""The suffix of a file with the checksum of another file."""

DAY_MS: Final = 86_400_000
"""Milliseconds of a day."""

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
    """A finished file.

    Attributes:
        path: its absolute path.
        topic: the topic of its records.
        partition: the partition of its records.
        first: its first offset, inclusive.
        last: its last offset, inclusive.
        suffix: the end of its name, with format and compression: ``.jsonl.zst``.
        size_bytes: its size as stored.
        modified_ms: when it was last modified, milliseconds since the epoch.
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
        """The path of the folder that it is in."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def format(self) -> Format:
        """The format of its content."""
        return "parquet" if self.suffix == ".parquet" else "jsonl"

    @property
    def compression(self) -> Compression:
        """The compression of its lines; ``none`` for Parquet, which compresses its pages."""
        return compression_of(self.suffix)


@attrs.frozen(kw_only=True)
class TemporaryName:
    """The parts of an unfinished file's name.

    Attributes:
        topic: the topic of its records.
        partition: the partition of its records.
        compacting: whether compaction writes it, from finished files.
        host: the host of the process that writes it.
        pid: the id of that process.
    """

    topic: str
    partition: int
    compacting: bool
    host: str
    pid: int

    def is_dead(self) -> bool:
        """Whether its process is known to have ended; False for a process of another host."""
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
    """Return the suffix of the names of files with this format and compression."""
    return ".parquet" if form == "parquet" else ".jsonl" + SUFFIXES[compression]


def file_name(topic: str, partition: int, first: int, last: int, suffix: str) -> str:
    """Return the name of a finished file."""
    return f"{topic}+{partition:05}+{first:020}-{last:020}{suffix}"


def parse_name(path: str, size_bytes: int = 0, modified_ms: int = 0) -> ArchiveFile | None:
    """Return the finished file that a path names, or ``None`` for any other path."""
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
    """Return a new name for an unfinished file, which no other process chooses."""
    kind = "compact+" if compacting else ""
    writer = f"{_host()}+{os.getpid()}+{secrets.token_hex(4)}"
    return f"_{kind}{topic}+{partition:05}+{first:020}+{writer}.tmp"


def parse_temporary(name: str) -> TemporaryName | None:
    """Return the parts of an unfinished file's name, or ``None`` for any other name."""
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
    """Return the name of the file with the checksum of the named file."""
    return f"_{name}{CHECKSUM}"


def day_folder(day: int) -> str:
    """Return the name of the folder for a day, which is given in days since the epoch."""
    return f"date={datetime.fromtimestamp(day * DAY_MS / 1000, UTC):%Y-%m-%d}"


def day_of_folder(name: str) -> int | None:
    """Return the day of a folder, in days since the epoch, or ``None`` for any other folder."""
    match = _DAY.fullmatch(name)
    if match is not None:
        with suppress(ValueError):
            date = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
            return int(date.timestamp()) * 1000 // DAY_MS
    return None


def placed(files: Iterable[ArchiveFile]) -> tuple[list[ArchiveFile], list[ArchiveFile]]:
    """Sort one topic's files by partition and offset, and separate the replaced ones.

    A file is replaced if a larger file holds all of its offsets: compaction has merged it, but not
    removed it yet.

    Returns the files to read, and the replaced files.
    """
    kept: list[ArchiveFile] = []
    replaced: list[ArchiveFile] = []
    for file in sorted(files, key=lambda file: (file.partition, file.first, -file.last)):
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
    """Return a message for each gap and each overlap between neighbours, in files in order."""
    problems = []
    for left, right in pairwise(files):
        if left.partition == right.partition and left.last + 1 != right.first:
            what = "overlap" if right.first <= left.last else "have a gap between them"
            problems.append(f"the archive files {left.path} and {right.path} {what}")
    return problems


def _host() -> str:
    """Return the name of this host, with only the characters that a file's name may hold."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:60] or "unknown"
