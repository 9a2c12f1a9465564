"""Giving a finished file its name, so that no other writer's file keeps the same records.

A file under its temporary name belongs to one writer alone, and a rename is one step. So whoever
wants to publish, in this order:

1. removes the temporary files that others have of the same partition: their renames fail from now
   on;
2. looks for finished files that keep the same offsets: then it is too late;
3. renames.

Of two writers that do this at the same time, the second to look finds either the other's temporary
file, and removes it, or its finished one. That both rename would need each of them to be first. A
writer that was paused for hours loses in the same way, whatever it still believes: at worst both
lose, and read their records again.
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
    """Another writer has gone on with the partition: read what is kept again, and go on after."""


def publish(place: TopicPlace, temporary: str, target: str, *, compacting: bool = False) -> None:
    """Rename a complete file, unless another writer was faster.

    Args:
        place: its folder is where temporary files are.
        temporary: the path of the file; sealed.
        target: the path that it gets; its folder is there.
        compacting: the file is made of finished ones, which must all be there still.

    Raises:
        TakenOverError: another writer was faster; the temporary file may still be there.
        RetriableError: not now; the file may have got its name all the same.
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
    there = _neighbours(place, file)
    if compacting:
        _check_inputs(there, file)
    elif any(each.last >= file.first for each in there):
        raise _taken_over(file)
    try:
        place.filesystem.rename(temporary, target)
    except (FileNotFoundError, FileExistsError):
        raise _taken_over(file) from None


def _neighbours(place: TopicPlace, file: ArchiveFile) -> list[ArchiveFile]:
    """The partition's files, wherever the same records may be: those of a day are in one folder."""
    entries = list(place.filesystem.list(place.root))
    days = [entry.path for entry in entries if day_of_folder(entry.name) is not None]
    for folder in days if file.folder == place.root else [file.folder]:
        entries += place.filesystem.list(folder)
    found = (parse_name(entry.path) for entry in entries if not entry.is_folder)
    return [
        each
        for each in found
        if each is not None and (each.topic, each.partition) == (file.topic, file.partition)
    ]


def abandon(filesystem: FileSystem, file: NewFile, temporary: str) -> None:
    """Let go of a file that will get no name; never raises.

    Where it cannot be removed now, whoever finds it later does.
    """
    file.close()
    try:
        filesystem.remove(temporary)
    except (RetriableError, FatalError) as error:
        _logger.info("%s stays for now: %s", temporary, error)


def _check_inputs(there: Sequence[ArchiveFile], merged: ArchiveFile) -> None:
    """Refuse where the merged file would not replace whole files, all that it is made of."""
    first = merged.first
    for each in sorted(there, key=lambda one: one.first):
        inside = merged.first <= each.first and each.last <= merged.last
        outside = each.last < merged.first or merged.last < each.first
        if (inside and each.first != first) or not (inside or outside):
            raise _taken_over(merged)
        if inside:
            first = each.last + 1
    if first != merged.last + 1:
        raise _taken_over(merged)


def _taken_over(file: ArchiveFile) -> TakenOverError:
    return TakenOverError(
        f"another process has gone on with partition {file.partition} of {file.topic} in "
        f"{file.folder}: going on after it"
    )
