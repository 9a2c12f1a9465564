"""Lists the files of an archive, without opening any: their names say what they hold."""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from mastostream.exceptions import ConfigurationError, DamagedError
from mastostream.ports.filesystem import FileFacts, FileSystem
from mastostream.sinks.archive.naming import (
    CHECKSUM,
    ArchiveFile,
    TemporaryName,
    breaks,
    checksum_name,
    day_of_folder,
    parse_name,
    parse_temporary,
    placed,
)

__all__ = [
    "Listing",
    "Temporary",
    "TopicPlace",
    "end_offsets",
    "list_archive",
    "look",
    "topic_place",
]

_ATTEMPTS: Final = 3
"""How often a listing that looks wrong is made. A listing takes several requests, and a compaction
may rename files between them."""


@attrs.frozen(kw_only=True)
class TopicPlace:
    """The archive of one topic.

    Attributes:
        filesystem: the file system that holds it.
        root: the folder of its files, or of its folders for days; absolute.
        topic: the topic.
    """

    filesystem: FileSystem
    root: str
    topic: str


@attrs.frozen(kw_only=True)
class Temporary:
    """An unfinished file: one that is being written, or that a writer left when it ended."""

    facts: FileFacts
    name: TemporaryName


@attrs.frozen(kw_only=True)
class Listing:
    """The files in the archive of one topic.

    Attributes:
        files: the finished files by partition and offset, without the replaced ones.
        replaced: files that compaction has merged, but not removed yet.
        temporaries: the unfinished files.
        checksums: path of each checksum's file to the time when it was written, in milliseconds
            since the epoch.
        unknown: paths of all other files, except those with a name that begins with ``_`` or ``.``.
    """

    files: Sequence[ArchiveFile]
    replaced: Sequence[ArchiveFile]
    temporaries: Sequence[Temporary]
    checksums: Mapping[str, int]
    unknown: Sequence[str]

    def checksum_of(self, file: ArchiveFile) -> str | None:
        """Return the path of the checksum of a file, or ``None`` if it has none."""
        path = f"{file.folder}/{checksum_name(file.name)}"
        return path if path in self.checksums else None


def topic_place(filesystem: FileSystem, folder: str, topic: str) -> TopicPlace:
    """Return the place of a topic's files in the folder of an archive.

    Raises:
        ConfigurationError: the topic's name begins with ``_`` or ``.``; readers of such folders
            leave out files with these names.
    """
    if topic.startswith(("_", ".")):
        raise ConfigurationError(
            f"the topic {topic} cannot be archived: readers leave out files whose names begin so"
        )
    root = f"{folder.rstrip('/')}/{topic}"
    return TopicPlace(filesystem=filesystem, root=root, topic=topic)


def look(place: TopicPlace) -> Listing:
    """List the folder of a topic and its folders for days, without any check for gaps."""
    facts: list[FileFacts] = []
    for entry in place.filesystem.list(place.root):
        if entry.is_folder and day_of_folder(entry.name) is not None:
            facts += (inner for inner in place.filesystem.list(entry.path) if not inner.is_folder)
        elif not entry.is_folder:
            facts.append(entry)
    files: list[ArchiveFile] = []
    temporaries: list[Temporary] = []
    unknown: list[str] = []
    for entry in facts:
        file = parse_name(entry.path, entry.size_bytes, entry.modified_ms)
        temporary = parse_temporary(entry.name)
        if file is not None and file.topic == place.topic:
            files.append(file)
        elif temporary is not None and temporary.topic == place.topic:
            temporaries.append(Temporary(facts=entry, name=temporary))
        elif not entry.name.startswith(("_", ".")):
            unknown.append(entry.path)
    kept, replaced = placed(files)
    return Listing(
        files=kept,
        replaced=replaced,
        temporaries=temporaries,
        checksums={
            entry.path: entry.modified_ms for entry in facts if entry.name.endswith(CHECKSUM)
        },
        unknown=sorted(unknown),
    )


def list_archive(place: TopicPlace) -> Listing:
    """List the files of a topic, and check their names for gaps and overlaps.

    Raises:
        DamagedError: two files hold the same offset, or an offset between two files is missing.
    """
    for _ in range(_ATTEMPTS):
        listing = look(place)
        problems = breaks(listing.files)
        if not problems:
            return listing
    raise DamagedError(f"{problems[0]}: move one away, or restore what is missing")


def end_offsets(files: Sequence[ArchiveFile]) -> Mapping[int, int]:
    """Return partition to the offset after its last file. The files are in order."""
    return {file.partition: file.last + 1 for file in files}
