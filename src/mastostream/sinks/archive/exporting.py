"""Exports an archive as one file of JSON lines."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

from mastostream.compression import compression_of
from mastostream.exceptions import ConfigurationError
from mastostream.ports.filesystem import FileSystem
from mastostream.sinks.archive.archive_reader import open_file, read_blocks, split_lines, values
from mastostream.sinks.archive.formats import JsonLines
from mastostream.sinks.archive.lines import line_of
from mastostream.sinks.archive.listing import TopicPlace, list_archive
from mastostream.sinks.archive.naming import ArchiveFile
from mastostream.sinks.archive.publishing import abandon

__all__ = ["export_lines"]

OnProgress = Callable[[int, int], None]
"""Called after each file with the bytes that it had, and the bytes to read in total."""

_BATCH_BYTES: Final = 2**20


def export_lines(
    place: TopicPlace,
    target: FileSystem,
    path: str,
    on_progress: OnProgress | None = None,
) -> int:
    """Write all records of a topic's archive as lines into one new file; return their number.

    The records are written unchanged, with edits, refreshes and deletions, by partition and offset.
    The file has a temporary name until it is complete.

    Args:
        place: the archive of a topic.
        target: the file system of the new file.
        path: the path of the new file; it is compressed if its name ends in ``.gz`` or ``.zst``.
        on_progress: called after each file of the archive.

    Raises:
        ConfigurationError: a file with this name exists.
        DamagedError: the archive has a gap, an overlap or a damaged file.
        RetriableError: not now.
    """
    parent, _, name = path.rpartition("/")
    name_taken = ConfigurationError(f"{target.address}{path} is there already: choose another name")
    if any(entry.name == name for entry in target.list(parent or "/")):
        raise name_taken
    files = list_archive(place).files
    total = sum(file.size_bytes for file in files)
    target.make_folder(parent or "/")
    temporary = f"{parent}/_{name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    raw = target.create(temporary)
    writer = JsonLines(raw, compression_of(name), hashing=False)
    count = 0
    try:
        for file in files:
            for batch in _batches(_lines(place.filesystem, file)):
                writer.add_lines(b"".join(batch))
                count += len(batch)
            if on_progress is not None:
                on_progress(file.size_bytes, total)
        writer.finish()
        raw.seal()
        target.rename(temporary, path)
    except FileExistsError:
        abandon(target, raw, temporary)
        raise name_taken from None
    except BaseException:
        writer.give_up()
        abandon(target, raw, temporary)
        raise
    return count


def _lines(source: FileSystem, file: ArchiveFile) -> Iterator[bytes]:
    if file.format == "parquet":
        yield from (line_of(value) + b"\n" for value, _ in values(source, file))
        return
    stream = open_file(source, file)
    with closing(stream.inner):
        yield from (line + b"\n" for line in split_lines(read_blocks(stream, file), file.path))


def _batches(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Group lines into batches of about one MiB, to write many lines in one call."""
    batch: list[bytes] = []
    size_bytes = 0
    for line in lines:
        batch.append(line)
        size_bytes += len(line)
        if size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
