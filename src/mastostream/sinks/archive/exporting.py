"""An archive as one file of JSON lines."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

from mastostream.compression import compression_of
from mastostream.exceptions import ConfigurationError
from mastostream.ports.filesystem import FileSystem
from mastostream.sinks.archive.archive_reader import blocks, lines, opened, values
from mastostream.sinks.archive.formats import JsonLines
from mastostream.sinks.archive.lines import line_of
from mastostream.sinks.archive.listing import TopicPlace, list_archive
from mastostream.sinks.archive.naming import ArchiveFile
from mastostream.sinks.archive.publishing import abandon

__all__ = ["export_lines"]

OnProgress = Callable[[int, int], None]
"""Called with how many bytes more have been read, and how many there are in all."""

_BATCH_BYTES: Final = 2**20


def export_lines(
    place: TopicPlace,
    target: FileSystem,
    path: str,
    on_progress: OnProgress | None = None,
) -> int:
    """Write all records of a topic's archive as lines into one new file; return how many.

    As they were archived, partition by partition in the order of their offsets: edits, refreshes
    and deletions too. The file gets its name when it is complete.

    Args:
        place: whose records.
        target: where the file goes.
        path: the file: compressed where its name ends in ``.gz`` or ``.zst``.
        on_progress: how far it is.

    Raises:
        ConfigurationError: there is a file of that name.
        DamagedError: the archive is not what it should be.
        RetriableError: not now.
    """
    parent, _, name = path.rpartition("/")
    taken = ConfigurationError(f"{target.address}{path} is there already: choose another name")
    if any(entry.name == name for entry in target.list(parent or "/")):
        raise taken
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
        raise taken from None
    except BaseException:
        writer.give_up()
        abandon(target, raw, temporary)
        raise
    return count


def _lines(source: FileSystem, file: ArchiveFile) -> Iterator[bytes]:
    if file.format == "parquet":
        yield from (line_of(value) + b"\n" for value, _ in values(source, file))
        return
    counted = opened(source, file)
    with closing(counted.inner):
        yield from (line + b"\n" for line in lines(blocks(counted, file), file.path))


def _batches(items: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size_bytes = 0
    for item in items:
        batch.append(item)
        size_bytes += len(item)
        if size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
