"""Whether an archive is what it should be."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Final

import attrs

from mastostream.exceptions import DamagedError
from mastostream.ports.filesystem import FileSystem
from mastostream.sinks.archive.archive_reader import blocks, check_bytes, lines, opened, tables
from mastostream.sinks.archive.lines import is_line
from mastostream.sinks.archive.listing import Listing, TopicPlace, look
from mastostream.sinks.archive.naming import DAY_MS, ArchiveFile, breaks, day_of_folder

__all__ = ["PartitionFacts", "Verified", "verify_archive"]

OnProgress = Callable[[int], None]
"""Called with how many bytes more have been looked at."""

_LOOKS: Final = 3


@attrs.frozen(kw_only=True)
class PartitionFacts:
    """What one partition's files hold. Offsets are inclusive."""

    partition: int
    files: int
    records: int
    size_bytes: int
    first: int
    last: int


@attrs.frozen(kw_only=True)
class Verified:
    """What was found.

    Attributes:
        partitions: by number.
        problems: one sentence each.
        replaced: files that compaction has merged and not removed yet: no problem.
        unfinished: temporary files: no problem.
    """

    partitions: Sequence[PartitionFacts]
    problems: Sequence[str]
    replaced: int
    unfinished: int


def verify_archive(place: TopicPlace, on_progress: OnProgress | None = None) -> Verified:
    """Read all that a topic's archive holds: no gap, no overlap, and every byte as it was written.

    Records are counted, not known: on a log whose offsets have holes there are fewer than offsets.

    Raises:
        RetriableError: not now, or the archive was compacted meanwhile.
        MissingExtraError: Parquet needs an extra that is not installed.
    """
    listing = _settled(place)
    problems = [f"{wrong}: move one away, or restore" for wrong in breaks(listing.files)]
    problems += [f"{path} is no file of an archive: move it away" for path in listing.unknown]
    counts: dict[int, int] = {}
    for file in listing.files:
        found = 0
        try:
            for found in _count(place.filesystem, listing, file):  # noqa: B007 - the last is the total
                pass
        except DamagedError as error:
            problems.append(str(error))
        counts[file.partition] = counts.get(file.partition, 0) + found
        if on_progress is not None:
            on_progress(file.size_bytes)
    return Verified(
        partitions=[
            _facts([file for file in listing.files if file.partition == partition], count)
            for partition, count in counts.items()
        ],
        problems=problems,
        replaced=len(listing.replaced),
        unfinished=len(listing.temporaries),
    )


def _settled(place: TopicPlace) -> Listing:
    """A listing that was not overtaken, or whose breaks are there each time."""
    for _ in range(_LOOKS):
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
    """How many records are good so far, up to all of them."""
    offsets = file.last - file.first + 1
    count = 0
    check_bytes(filesystem, listing, file)
    counting = _rows if file.format == "parquet" else _lines
    for count in counting(filesystem, file):
        yield count
    if count == 0:
        raise DamagedError(f"{file.path} holds no record")
    if count > offsets:
        raise DamagedError(f"{file.path} holds {count} records, but its name says {offsets}")


def _lines(filesystem: FileSystem, file: ArchiveFile) -> Iterator[int]:
    counted = opened(filesystem, file)
    with closing(counted.inner):
        for number, line in enumerate(lines(blocks(counted, file), file.path), start=1):
            if not is_line(line):
                raise DamagedError(f"{file.path} is damaged: line {number} is no JSON")
            yield number


def _rows(filesystem: FileSystem, file: ArchiveFile) -> Iterator[int]:
    day = day_of_folder(file.folder.rpartition("/")[2])
    count, after = 0, file.first
    counted = opened(filesystem, file)
    with closing(counted.inner):
        for table in tables(counted, file):
            for offset, time in zip(table["offset"], table["timestamp"], strict=True):
                if not after <= offset.as_py() <= file.last:
                    raise DamagedError(
                        f"{file.path} is damaged: offset {offset} is not where it should be"
                    )
                if day is not None and time.value // 1000 // DAY_MS != day:
                    raise DamagedError(f"{file.path} holds offset {offset}, of another day")
                after = offset.as_py() + 1
                count += 1
                yield count
