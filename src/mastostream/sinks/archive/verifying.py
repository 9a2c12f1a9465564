"""Verifies an archive: no gap, no overlap, no damaged file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Final

import attrs

from mastostream.exceptions import DamagedError
from mastostream.ports.filesystem import FileSystem
from mastostream.sinks.archive.archive_reader import (
    check_bytes,
    open_file,
    read_blocks,
    read_tables,
    split_lines,
)
from mastostream.sinks.archive.lines import is_line
from mastostream.sinks.archive.listing import Listing, TopicPlace, look
from mastostream.sinks.archive.naming import DAY_MS, ArchiveFile, breaks, day_of_folder

__all__ = ["PartitionFacts", "Verified", "verify_archive"]

OnProgress = Callable[[int], None]
"""Called after each file with the bytes that it had."""

_ATTEMPTS: Final = 3
"""How often a listing with a gap is made: compaction may rename files during a listing."""


@attrs.frozen(kw_only=True)
class PartitionFacts:
    """The files of one partition.

    Attributes:
        partition: the number of the partition.
        files: number of its files.
        records: number of the undamaged records in them.
        size_bytes: their size as stored.
        first: the first offset, inclusive.
        last: the last offset, inclusive.
    """

    partition: int
    files: int
    records: int
    size_bytes: int
    first: int
    last: int


@attrs.frozen(kw_only=True)
class Verified:
    """The result of a verification.

    Attributes:
        partitions: the partitions, by number.
        problems: one sentence for each problem; empty if the archive is in order.
        replaced: number of files that compaction has merged, but not removed yet; not a problem.
        unfinished: number of temporary files; not a problem.
    """

    partitions: Sequence[PartitionFacts]
    problems: Sequence[str]
    replaced: int
    unfinished: int


def verify_archive(place: TopicPlace, on_progress: OnProgress | None = None) -> Verified:
    """Read the whole archive of a topic; look for gaps, overlaps and changed bytes.

    The number of records in a file is counted, but cannot be compared with the name: where the
    offsets of the log have holes, a file has fewer records than offsets.

    Args:
        place: the archive of a topic.
        on_progress: called after each file.

    Raises:
        RetriableError: not now, or the archive was compacted in the meantime.
        MissingExtraError: Parquet needs an extra that is not installed.
    """
    listing = _settled_listing(place)
    problems = [f"{message}: move one away, or restore" for message in breaks(listing.files)]
    problems += [f"{path} is no file of an archive: move it away" for path in listing.unknown]
    counts: dict[int, int] = {}
    for file in listing.files:
        records = 0
        try:
            for records in _count(place.filesystem, listing, file):  # noqa: B007 - used after the loop
                pass
        except DamagedError as error:
            problems.append(str(error))
        counts[file.partition] = counts.get(file.partition, 0) + records
        if on_progress is not None:
            on_progress(file.size_bytes)
    return Verified(
        partitions=[
            _facts([file for file in listing.files if file.partition == partition], records)
            for partition, records in counts.items()
        ],
        problems=problems,
        replaced=len(listing.replaced),
        unfinished=len(listing.temporaries),
    )


def _settled_listing(place: TopicPlace) -> Listing:
    """List the archive until there is no gap or overlap; return the last of a few listings."""
    for _ in range(_ATTEMPTS):
        listing = look(place)
        if not breaks(listing.files):
            break
    return listing


def _facts(files: Sequence[ArchiveFile], records: int) -> PartitionFacts:
    return PartitionFacts(
        partition=files[0].partition,
        files=len(files),
        records=records,
        size_bytes=sum(file.size_bytes for file in files),
        first=files[0].first,
        last=files[-1].last,
    )


def _count(filesystem: FileSystem, listing: Listing, file: ArchiveFile) -> Iterator[int]:
    """Yield the number of good records so far, after each record of a file.

    Raises:
        DamagedError: the file is damaged, empty, or has more records than offsets.
    """
    offsets = file.last - file.first + 1
    count = 0
    check_bytes(filesystem, listing, file)
    count_records = _count_rows if file.format == "parquet" else _count_lines
    for count in count_records(filesystem, file):
        yield count
    if count == 0:
        raise DamagedError(f"{file.path} holds no record")
    if count > offsets:
        raise DamagedError(f"{file.path} holds {count} records, but its name says {offsets}")


def _count_lines(filesystem: FileSystem, file: ArchiveFile) -> Iterator[int]:
    stream = open_file(filesystem, file)
    with closing(stream.inner):
        lines = split_lines(read_blocks(stream, file), file.path)
        for number, line in enumerate(lines, start=1):
            if not is_line(line):
                raise DamagedError(f"{file.path} is damaged: line {number} is no JSON")
            yield number


def _count_rows(filesystem: FileSystem, file: ArchiveFile) -> Iterator[int]:
    day = day_of_folder(file.folder.rpartition("/")[2])
    count, next_offset = 0, file.first
    stream = open_file(filesystem, file)
    with closing(stream.inner):
        for table in read_tables(stream, file):
            for offset, time in zip(table["offset"], table["timestamp"], strict=True):
                if not next_offset <= offset.as_py() <= file.last:
                    raise DamagedError(
                        f"{file.path} is damaged: offset {offset} is not where it should be"
                    )
                if day is not None and time.value // 1000 // DAY_MS != day:
                    raise DamagedError(f"{file.path} holds offset {offset}, of another day")
                next_offset = offset.as_py() + 1
                count += 1
                yield count
