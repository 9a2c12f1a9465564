"""Publishing: renames a complete file so that no two finished files hold the same records.

Several writers may have the same records. A temporary file belongs to one writer, and a rename is
atomic. A writer publishes its file in three steps:

1. It removes the temporary files of the other writers for the same partition. Their renames fail
   from now on.
2. It looks for finished files with the same offsets. If there is one, this writer is too late.
3. It renames its file.

If two writers do this at the same time, one of them is the last to begin step 1. It either finds
the temporary file of the other and removes it, or finds the finished file of the other in step 2
and gives up. So at most one of them succeeds. The same holds for a writer that was suspended for
hours and then continues. In the worst case both fail, and both read their records again.
"""

import logging
from collections.abc import Sequence

from mastostream.exceptions import FatalError, RetriableError
from mastostream.ports.filesystem import FileSystem, NewFile
from mastostream.sinks.archive.listing import TopicPlace
from mastostream.sinks.archive.naming import (
    ArchiveFile,
    day_of_folder,
    parse_name,
    parse_temporary,
)

__all__ = ["TakenOverError", "abandon", "publish"]

_logger = logging.getLogger(__name__)


class TakenOverError(RetriableError):
    """Another writer has continued this partition: read back the archive, and continue after it."""


def publish(place: TopicPlace, temporary: str, target: str, *, compacting: bool = False) -> None:
    """Rename a complete file, unless another writer was faster.

    Args:
        place: the archive; its folder holds the temporary files.
        temporary: the path of the file, which is sealed.
        target: the new path of the file; its folder exists.
        compacting: whether the file was merged from finished files; then all of these must still
            exist.

    Raises:
        TakenOverError: another writer was faster; the temporary file may still exist.
        RetriableError: not now; it is unknown whether the file was renamed.
    """
    file = parse_name(target)
    if file is None:
        raise ValueError(f"no name of an archive's file: {target}")
    for entry in place.filesystem.list(place.root):
        other = parse_temporary(entry.name)
        if (
            other is not None
            and entry.path != temporary
            and (other.topic, other.partition) == (file.topic, file.partition)
            and other.compacting == compacting
        ):
            place.filesystem.remove(entry.path)
    finished = _finished_files(place, file)
    if compacting:
        _check_inputs(finished, file)
    elif any(other_file.last >= file.first for other_file in finished):
        raise _taken_over(file)
    try:
        place.filesystem.rename(temporary, target)
    except (FileNotFoundError, FileExistsError):
        raise _taken_over(file) from None


def _finished_files(place: TopicPlace, file: ArchiveFile) -> list[ArchiveFile]:
    """Return the partition's finished files in all folders that may hold the records of the file.

    These are the root folder and, for a file in the folder of a day, that folder; for a file in
    the root folder, the folders of all days.
    """
    entries = list(place.filesystem.list(place.root))
    days = [entry.path for entry in entries if day_of_folder(entry.name) is not None]
    for folder in days if file.folder == place.root else [file.folder]:
        entries += place.filesystem.list(folder)
    parsed = (parse_name(entry.path) for entry in entries if not entry.is_folder)
    return [
        other
        for other in parsed
        if other is not None and (other.topic, other.partition) == (file.topic, file.partition)
    ]


def abandon(filesystem: FileSystem, file: NewFile, temporary: str) -> None:
    """Close and remove a temporary file that will not be published. Never raises.

    If the file cannot be removed now, a later writer or compaction removes it.
    """
    file.close()
    try:
        filesystem.remove(temporary)
    except (RetriableError, FatalError) as error:
        _logger.info("%s stays for now: %s", temporary, error)


def _check_inputs(finished: Sequence[ArchiveFile], merged: ArchiveFile) -> None:
    """Check that a merged file replaces whole files that have exactly its offsets.

    Raises:
        TakenOverError: a file that was merged is missing, or another one overlaps.
    """
    next_offset = merged.first
    for file in sorted(finished, key=lambda file: file.first):
        inside = merged.first <= file.first and file.last <= merged.last
        outside = file.last < merged.first or merged.last < file.first
        if (inside and file.first != next_offset) or not (inside or outside):
            raise _taken_over(merged)
        if inside:
            next_offset = file.last + 1
    if next_offset != merged.last + 1:
        raise _taken_over(merged)


def _taken_over(file: ArchiveFile) -> TakenOverError:
    return TakenOverError(
        f"another process has gone on with partition {file.partition} of {file.topic} in "
        f"{file.folder}: going on after it"
    )
