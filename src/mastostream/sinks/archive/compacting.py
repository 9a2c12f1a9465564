"""Making few large files of many small ones.

Files that follow each other are merged into one that keeps all their offsets. It is written under a
temporary name, read again to be sure, and renamed; then the small ones are removed. Between the two
both are there, also after a crash: since the names say that the large file keeps everything that
the small ones keep, all that reads archives here leaves those out, and the next compaction removes
them. At no moment is a record missing, or there twice.
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
from mastostream.sinks.archive.archive_reader import blocks, check_bytes, opened, tables
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
"""Called with how many bytes more have been merged, and how many there are in all."""

_PARQUET_ROWS: Final = 20_000


@attrs.frozen(kw_only=True)
class Compacted:
    """What was done.

    Attributes:
        merged: files that went into larger ones.
        made: these larger ones.
        files: how many there are now.
        removed: what earlier writers had left: merged, unfinished, without use.
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
    """Merge the files of each partition, up to a size, as they are stored.

    Only files of one folder, one format and one compression are merged. An archiver may write
    meanwhile.

    Args:
        place: whose files.
        clock: says how old an unfinished file is.
        target_bytes: no larger file is made.
        compression: of Parquet's pages; lines keep theirs.
        on_progress: how far it is.

    Raises:
        DamagedError: a file is not what it should be; nothing that belongs to it was touched.
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
    """Return which files become one: neighbours, two or more, up to this size together."""
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
    """Remove what no writer will come back to."""
    now_ms = clock.now_ms()
    useless = [
        each.facts.path
        for each in listing.temporaries
        if each.name.is_dead()
        or (each.name.compacting and now_ms - each.facts.modified_ms > STALE_MS)
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
    """A file, and then its checksum."""
    beside = listing.checksum_of(file)
    return [file.path] if beside is None else [file.path, beside]


def _merge(
    place: TopicPlace,
    listing: Listing,
    group: Sequence[ArchiveFile],
    compression: Compression,
) -> None:
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
    for each in group:
        for path in _paths(listing, each):
            filesystem.remove(path)


def _combine_lines(
    filesystem: FileSystem, listing: Listing, group: Sequence[ArchiveFile], file: NewFile
) -> tuple[str | None, str]:
    """Write all lines; return the checksum that has to be kept, and what the content is."""
    writer = JsonLines(file, group[0].compression, hashing=not filesystem.notices_damage)
    content = hashlib.sha256()
    try:
        for each in group:
            check_bytes(filesystem, listing, each)
            for piece in _whole_lines(filesystem, each):
                writer.add_lines(piece)
                content.update(piece)
        return writer.finish(), content.hexdigest()
    except BaseException:
        writer.give_up()
        raise


def _whole_lines(filesystem: FileSystem, file: ArchiveFile) -> Iterator[bytes]:
    counted = opened(filesystem, file)
    end = b""
    with closing(counted.inner):
        for piece in blocks(counted, file):
            end = piece[-1:]
            yield piece
    if end != b"\n":
        raise DamagedError(f"{file.path} is damaged: its last line has no end")


def _combine_tables(
    filesystem: FileSystem,
    listing: Listing,
    group: Sequence[ArchiveFile],
    file: NewFile,
    compression: Compression,
) -> tuple[str | None, str]:
    """Write all rows; return the checksum that has to be kept, and what the content is."""
    from mastostream.sinks.archive.parquet import (  # noqa: PLC0415 - needs an extra
        ParquetTables,
        joined,
    )

    writer = ParquetTables(file, compression, hashing=not filesystem.notices_damage)
    content = hashlib.sha256()
    waiting: list[Any] = []
    try:
        for each in group:
            check_bytes(filesystem, listing, each)
            for table in _tables(filesystem, each):
                _add_rows(content, table)
                waiting.append(table)
                if sum(one.num_rows for one in waiting) >= _PARQUET_ROWS:
                    writer.add(joined(waiting))
                    waiting.clear()
        if waiting:
            writer.add(joined(waiting))
        return writer.finish(), content.hexdigest()
    except BaseException:
        writer.give_up()
        raise


def _check_content(filesystem: FileSystem, file: ArchiveFile, expected: str) -> None:
    """Read a merged file again, before anything is removed."""
    content = hashlib.sha256()
    if file.format == "parquet":
        for table in _tables(filesystem, file):
            _add_rows(content, table)
    else:
        counted = opened(filesystem, file)
        with closing(counted.inner):
            for piece in blocks(counted, file):
                content.update(piece)
    if content.hexdigest() != expected:
        raise DamagedError(
            f"what was merged into {filesystem.address}{file.path} is not what is there now: "
            "check the disk; nothing was removed"
        )


def _tables(filesystem: FileSystem, file: ArchiveFile) -> Iterator[Any]:
    counted = opened(filesystem, file)
    with closing(counted.inner):
        yield from tables(counted, file)


def _add_rows(content: Any, table: Any) -> None:
    for offset, raw in zip(table["offset"], table["raw"], strict=True):
        value = raw.as_py()
        content.update(b"%d %d " % (offset.as_py(), len(value)))
        content.update(value)
