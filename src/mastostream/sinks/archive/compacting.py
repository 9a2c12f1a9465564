"""Compaction: merges many small files of an archive into few large ones.

Files that follow each other are merged into one file with all their offsets. It is written under a
temporary name, read again as a check, and renamed; then the small files are removed. Between the
rename and the removal, and after a crash there, both the large file and the small ones exist. Their
names show that the large file holds all offsets of the small ones. So every reader of archives in
this package ignores the small ones, and the next compaction removes them. At no moment is a record
missing, or read twice.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final

import attrs

from mastostream.compression import Compression
from mastostream.exceptions import DamagedError
from mastostream.ports.clock import Clock
from mastostream.ports.filesystem import FileSystem, NewFile
from mastostream.sinks.archive.archive_reader import (
    check_bytes,
    open_file,
    read_blocks,
    read_tables,
)
from mastostream.sinks.archive.formats import JsonLines
from mastostream.sinks.archive.listing import Listing, TopicPlace, list_archive
from mastostream.sinks.archive.naming import (
    ArchiveFile,
    checksum_name,
    file_name,
    new_writer_name,
)
from mastostream.sinks.archive.publishing import abandon, publish
from mastostream.sinks.archive.sink import STALE_MS, write_checksum

__all__ = ["Compacted", "compact_archive", "groups_of"]

OnProgress = Callable[[int, int], None]
"""Called after each merge with the bytes that it merged, and the bytes to merge in total."""

_PARQUET_ROWS: Final = 20_000
"""A row group of a merged Parquet file is written once it has at least this many rows."""


@attrs.frozen(kw_only=True)
class Compacted:
    """The result of a compaction, as numbers of files.

    Attributes:
        merged: files that were merged into larger ones.
        made: larger files that were made of them.
        files: files that the archive has now.
        removed: leftovers that were removed: files that an earlier compaction had merged,
            unfinished files of writers that have ended, and checksums without a file.
    """

    merged: int
    made: int
    files: int
    removed: int


def compact_archive(
    place: TopicPlace,
    *,
    clock: Clock,
    target_bytes: int = 128 * 2**20,
    compression: Compression = "zstd",
    on_progress: OnProgress | None = None,
) -> Compacted:
    """Merge neighbouring files of each partition.

    Only files with the same folder, format and compression are merged. An archiver may write at the
    same time.

    Args:
        place: the archive of a topic.
        clock: tells the age of unfinished files.
        target_bytes: upper bound for the files of one merge together, in bytes as stored.
        compression: the compression of Parquet's pages; files of lines keep theirs.
        on_progress: called after each merge.

    Raises:
        DamagedError: a file is damaged; nothing of its group was changed.
        RetriableError: not now, or another process compacts the same archive.
    """
    listing = list_archive(place)
    removed = _tidy(place.filesystem, listing, clock)
    groups = groups_of(listing.files, target_bytes)
    total = sum(file.size_bytes for group in groups for file in group)
    for group in groups:
        _merge(place, listing, group, compression)
        if on_progress is not None:
            on_progress(sum(file.size_bytes for file in group), total)
    merged = sum(map(len, groups))
    return Compacted(
        merged=merged,
        made=len(groups),
        files=len(listing.files) - merged + len(groups),
        removed=removed,
    )


def groups_of(files: Sequence[ArchiveFile], target_bytes: int) -> list[list[ArchiveFile]]:
    """Return the groups of files to merge: two or more neighbours, up to this size together."""
    groups: list[list[ArchiveFile]] = []
    size_bytes = 0
    for file in files:
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and (last.partition, last.folder, last.suffix)
            == (file.partition, file.folder, file.suffix)
            and size_bytes + file.size_bytes <= target_bytes
        ):
            groups[-1].append(file)
            size_bytes += file.size_bytes
        else:
            groups.append([file])
            size_bytes = file.size_bytes
    return [group for group in groups if len(group) > 1]


def _tidy(filesystem: FileSystem, listing: Listing, clock: Clock) -> int:
    """Remove the leftovers that no writer uses any more; return how many there were."""
    now_ms = clock.now_ms()
    useless = [
        temporary.facts.path
        for temporary in listing.temporaries
        if temporary.name.is_dead()
        or (temporary.name.compacting and now_ms - temporary.facts.modified_ms > STALE_MS)
    ]
    for file in listing.replaced:
        useless += _paths(listing, file)
    needed = {f"{file.folder}/{checksum_name(file.name)}" for file in listing.files}
    useless += [
        path
        for path, modified_ms in listing.checksums.items()
        if path not in needed and path not in useless and now_ms - modified_ms > STALE_MS
    ]
    for path in useless:
        filesystem.remove(path)
    return len(useless)


def _paths(listing: Listing, file: ArchiveFile) -> list[str]:
    """Return the paths of a file and, after it, of its checksum."""
    checksum_path = listing.checksum_of(file)
    return [file.path] if checksum_path is None else [file.path, checksum_path]


def _merge(
    place: TopicPlace,
    listing: Listing,
    group: Sequence[ArchiveFile],
    compression: Compression,
) -> None:
    """Merge a group of files into one, and remove them."""
    filesystem = place.filesystem
    first, last = group[0], group[-1]
    name = file_name(first.topic, first.partition, first.first, last.last, first.suffix)
    temporary = new_writer_name(first.topic, first.partition, first.first, compacting=True)
    merged = attrs.evolve(first, path=f"{place.root}/{temporary}", last=last.last)
    file = filesystem.create(merged.path)
    try:
        if first.format == "parquet":
            checksum, content = _combine_tables(filesystem, listing, group, file, compression)
        else:
            checksum, content = _combine_lines(filesystem, listing, group, file)
        file.seal()
        _check_content(filesystem, merged, content)
        if checksum is not None:
            write_checksum(filesystem, first.folder, name, checksum)
        publish(place, merged.path, f"{first.folder}/{name}", compacting=True)
    except BaseException:
        abandon(filesystem, file, merged.path)
        raise
    for small in group:
        for path in _paths(listing, small):
            filesystem.remove(path)


def _combine_lines(
    filesystem: FileSystem, listing: Listing, group: Sequence[ArchiveFile], file: NewFile
) -> tuple[str | None, str]:
    """Write the lines of a group of files into the new file.

    Returns the checksum that has to be stored beside the file (``None`` if it needs none), and the
    SHA-256 of the lines.
    """
    writer = JsonLines(file, group[0].compression, hashing=not filesystem.notices_damage)
    content = hashlib.sha256()
    try:
        for small in group:
            check_bytes(filesystem, listing, small)
            for piece in _whole_lines(filesystem, small):
                writer.add_lines(piece)
                content.update(piece)
        return writer.finish(), content.hexdigest()
    except BaseException:
        writer.give_up()
        raise


def _whole_lines(filesystem: FileSystem, file: ArchiveFile) -> Iterator[bytes]:
    """Return the bytes of a file in pieces, and check that they end with a line break."""
    stream = open_file(filesystem, file)
    last_byte = b""
    with closing(stream.inner):
        for piece in read_blocks(stream, file):
            last_byte = piece[-1:]
            yield piece
    if last_byte != b"\n":
        raise DamagedError(f"{file.path} is damaged: its last line has no end")


def _combine_tables(
    filesystem: FileSystem,
    listing: Listing,
    group: Sequence[ArchiveFile],
    file: NewFile,
    compression: Compression,
) -> tuple[str | None, str]:
    """Write the rows of a group of files into the new file.

    Returns the checksum that has to be stored beside the file (``None`` if it needs none), and the
    SHA-256 of the offsets and values.
    """
    from mastostream.sinks.archive.parquet import (  # noqa: PLC0415 - pyarrow is an extra
        ParquetTables,
        concat_tables,
    )

    writer = ParquetTables(file, compression, hashing=not filesystem.notices_damage)
    content = hashlib.sha256()
    waiting: list[Any] = []
    try:
        for small in group:
            check_bytes(filesystem, listing, small)
            for small_table in _tables(filesystem, small):
                _add_rows(content, small_table)
                waiting.append(small_table)
                if sum(table.num_rows for table in waiting) >= _PARQUET_ROWS:
                    writer.add(concat_tables(waiting))
                    waiting.clear()
        if waiting:
            writer.add(concat_tables(waiting))
        return writer.finish(), content.hexdigest()
    except BaseException:
        writer.give_up()
        raise


def _check_content(filesystem: FileSystem, file: ArchiveFile, expected: str) -> None:
    """Read a merged file again and compare its content, before anything is removed."""
    content = hashlib.sha256()
    if file.format == "parquet":
        for table in _tables(filesystem, file):
            _add_rows(content, table)
    else:
        stream = open_file(filesystem, file)
        with closing(stream.inner):
            for piece in read_blocks(stream, file):
                content.update(piece)
    if content.hexdigest() != expected:
        raise DamagedError(
            f"what was merged into {filesystem.address}{file.path} is not what is there now: "
            "check the disk; nothing was removed"
        )


def _tables(filesystem: FileSystem, file: ArchiveFile) -> Iterator[Any]:
    stream = open_file(filesystem, file)
    with closing(stream.inner):
        yield from read_tables(stream, file)


def _add_rows(content: Any, table: Any) -> None:
    """Add the offset, length and value of each row to a hash."""
    for offset, raw in zip(table["offset"], table["raw"], strict=True):
        value = raw.as_py()
        content.update(b"%d %d " % (offset.as_py(), len(value)))
        content.update(value)
