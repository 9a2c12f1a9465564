"""Reads archives for the tests of the archive."""

from pathlib import Path

from mastostream.ports.filesystem import FileSystem
from mastostream.sinks.archive import LocalFiles, TopicPlace, list_archive, topic_place, values


def place_of(folder: Path | str, filesystem: FileSystem | None = None) -> TopicPlace:
    return topic_place(filesystem or LocalFiles(), str(folder), "t")


def kept(place: TopicPlace) -> dict[int, list[bytes]]:
    """Return the values of each partition, as a replay reads them."""
    by_partition: dict[int, list[bytes]] = {}
    for file in list_archive(place).files:
        read = (value for value, _ in values(place.filesystem, file))
        by_partition.setdefault(file.partition, []).extend(read)
    return by_partition


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())
