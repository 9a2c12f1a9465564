"""What an archive's folder holds, by the names alone."""

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
    "ends",
    "list_archive",
    "look",
    "topic_place",
]

_LOOKS: Final = 3
"""A listing takes several requests: one that was overtaken by compaction is made again."""


@attrs.frozen(kw_only=True)
class TopicPlace:
    """Where one topic's archive is.

    Attributes:
        root: the folder of its files, or of its folders of days.
    """

    filesystem: FileSystem
    root: str
    topic: str


@attrs.frozen(kw_only=True)
class Temporary:
    """A file that is being written, or was when its writer ended."""

    facts: FileFacts
    name: TemporaryName


@attrs.frozen(kw_only=True)
class Listing:
    """What is there of one topic.

    Attributes:
        files: by partition and offset, without those that are replaced.
        replaced: what compaction has merged and not removed yet.
        temporaries: what is being written.
        checksums: the files that hold checksums, by path, with when they were written,
            milliseconds since the epoch.
        unknown: the names of what is neither.
    """

    files: Sequence[ArchiveFile]
    replaced: Sequence[ArchiveFile]
    temporaries: Sequence[Temporary]
    checksums: Mapping[str, int]
    unknown: Sequence[str]

    def checksum_of(self, file: ArchiveFile) -> str | None:
        """Return the path of a file's checksum, where there is one."""
        path = f"{file.folder}/{checksum_name(file.name)}"
        return path if path in self.checksums else None


def topic_place(filesystem: FileSystem, folder: str, topic: str) -> TopicPlace:
    """Return where the files of a topic are, in the folder of an archive.

    Raises:
        ConfigurationError: its files would look like files that readers leave out.
    """
    if topic.startswith(("_", ".")):
        raise ConfigurationError(
            f"the topic {topic} cannot be archived: readers leave out files whose names begin so"
        )
    root = f"{folder.rstrip('/')}/{topic}"
    return TopicPlace(filesystem=filesystem, root=root, topic=topic)


def look(place: TopicPlace) -> Listing:
    """Return what is in the folder of a topic and in its folders of days."""
    facts: list[FileFacts] = []
    for entry in place.filesystem.list(place.root):
        if entry.is_folder and day_of_folder(entry.name) is not None:
            facts += (each for each in place.filesystem.list(entry.path) if not each.is_folder)
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
        checksums={each.path: each.modified_ms for each in facts if each.name.endswith(CHECKSUM)},
        unknown=sorted(unknown),
    )


def list_archive(place: TopicPlace) -> Listing:
    """Return what :func:`look` finds, once the names say that nothing is missing.

    Raises:
        DamagedError: two files hold the same offset, or an offset between two files is missing.
    """
    for _ in range(_LOOKS):
        found = look(place)
        wrong = breaks(found.files)
        if not wrong:
            return found
    raise DamagedError(f"{wrong[0]}: move one away, or restore what is missing")


def ends(files: Sequence[ArchiveFile]) -> Mapping[int, int]:
    """Return the offset after the last one of each partition."""
    return {file.partition: file.last + 1 for file in files}
