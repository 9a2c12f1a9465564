"""Builds the archiver, and the operations on its archive: verify, compact, export, replay."""

import logging
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from mastostream.archiver import Archiver
from mastostream.config import Settings
from mastostream.core.topic_names import STREAM
from mastostream.exceptions import ConfigurationError, FatalError
from mastostream.ports.clock import Clock
from mastostream.ports.filesystem import FileFacts, FileSystem
from mastostream.ports.log import Positions
from mastostream.sinks.archive import (
    ArchiveFile,
    Compacted,
    FileArchive,
    TopicPlace,
    Verified,
    breaks,
    compact_archive,
    export_lines,
    open_place,
    parse_name,
    placed,
    topic_place,
    value_of,
    values,
    verify_archive,
)
from mastostream.sources.replay import ReplayFile
from mastostream.sources.text_file import TextFile, is_text_file
from mastostream.wiring.log_backends import log_ends, log_name, log_reader, topic_name
from mastostream.wiring.paths import data_paths

__all__ = ["archive_sink", "archiver", "compact", "export", "replay_inputs", "verify"]

_DAY: Final = re.compile(r"/date=[0-9-]+$")
_LISTINGS: Final = 3
"""How often an archive is listed, at most. Compaction may replace files during a listing, which
then has a gap between offsets and is repeated; a gap in the last listing is really there."""

_logger = logging.getLogger(__name__)


def archiver(settings: Settings, clock: Clock, topic: str = STREAM) -> Archiver:
    """Return the stage that archives a topic, by default the collected posts.

    Nothing is read or written before the stage's first step.

    Raises:
        ConfigurationError: the archive's address is not valid, or an extra is not installed.
    """
    place = data_paths(settings).archive
    filesystem, folder = open_place(place, settings.hdfs)
    sink = archive_sink(settings, topic, clock, filesystem, folder)
    name = topic_name(settings, topic)

    def check(positions: Positions) -> None:
        ends = log_ends(settings, topic) if positions else {}
        for partition, position in positions.items():
            if position > ends.get(partition, 0):
                raise FatalError(
                    f"the archive in {place} goes up to offset {position - 1} of {name}, but the "
                    f"log, {log_name(settings)}, ends before it: the archive is another log's, "
                    "choose another folder for it"
                )

    # Each folder has its own consumer group, whose commits are not used to resume: the files of the
    # archive alone say where to go on. A partition without files begins with its oldest record,
    # even if the archive once held more of it.
    group = f"archive-{zlib.crc32(f'{filesystem.address}{folder}'.encode()):08x}"
    return Archiver(log_reader(settings, topic, group, resume=False), sink, check=check)


def archive_sink(
    settings: Settings, topic: str, clock: Clock, filesystem: FileSystem, folder: str
) -> FileArchive:
    """Return the sink that writes a topic's archive to a folder. Nothing is read or written yet.

    The topic's subfolder and files carry the topic's name in the log, with its prefix. So pipelines
    with different prefixes on one Kafka have separate archives in one folder.

    Raises:
        ConfigurationError: the extra for the archive's format is not installed.
    """
    chosen = settings.archive
    if chosen.format == "parquet":
        import mastostream.sinks.archive.parquet  # noqa: F401, PLC0415 - fails without its extra
    return FileArchive(
        folder,
        topic_name(settings, topic),
        clock=clock,
        filesystem=filesystem,
        form=chosen.format,
        compression=chosen.compression,
        by_date=chosen.by_date,
        rotate_bytes=chosen.rotate_bytes,
        rotate_records=chosen.rotate_records,
        rotate_s=chosen.rotate_s,
    )


def verify(settings: Settings, topic: str, on_progress: Callable[[int], None]) -> Verified:
    """Read and check all archived records of a topic. Raises the errors of ``verify_archive``."""
    return verify_archive(_place(settings, topic), on_progress)


def compact(
    settings: Settings,
    topic: str,
    clock: Clock,
    target_bytes: int,
    on_progress: Callable[[int, int], None],
) -> Compacted:
    """Merge a topic's small files into large ones. Raises the errors of ``compact_archive``."""
    return compact_archive(
        _place(settings, topic),
        clock=clock,
        target_bytes=target_bytes,
        compression=settings.archive.compression,
        on_progress=on_progress,
    )


def export(
    settings: Settings, topic: str, output: str, on_progress: Callable[[int, int], None]
) -> int:
    """Write the archive to one file of JSON lines; return the number of records.

    Raises the errors of ``export_lines``.
    """
    target, path = open_place(output, settings.hdfs)
    return export_lines(_place(settings, topic), target, path, on_progress)


def _place(settings: Settings, topic: str) -> TopicPlace:
    filesystem, folder = open_place(data_paths(settings).archive, settings.hdfs)
    return topic_place(filesystem, folder, topic_name(settings, topic))


def replay_inputs(settings: Settings, place: str) -> tuple[ReplayFile, ...]:
    """Return the files to replay: one file of statuses, or all files of a folder.

    Files of an archive are ordered by topic, partition and offset; files that compaction has merged
    into others are left out. Beside an archive, other files are left out with a warning, since an
    exported file holds the same statuses again. Without an archive, files are ordered by name.

    Args:
        settings: how HDFS is reached.
        place: path or URL of the file or folder.

    Raises:
        ConfigurationError: there is nothing to read, or it is a pipe.
        RetriableError: the file system cannot be read now.
    """
    if Path(place).is_fifo():
        raise ConfigurationError(
            f"{place} is a pipe, and a file is read twice: write it into a file first"
        )
    filesystem, path = open_place(place, settings.hdfs)
    for _ in range(_LISTINGS):
        others: list[FileFacts] = []
        archives: dict[tuple[str, str], list[ArchiveFile]] = {}
        for entry in _data_files(filesystem, path, place):
            file = parse_name(entry.path, entry.size_bytes)
            if file is None:
                others.append(entry)
            else:
                root = _DAY.sub("", file.folder)
                archives.setdefault((root, file.topic), []).append(file)
        kept = [file for key in sorted(archives) for file in placed(archives[key])[0]]
        if not breaks(kept):
            break
    if not others and not kept:
        raise ConfigurationError(f"{place} holds no archive: expected files *.jsonl")
    if not kept:
        paths = sorted(others, key=lambda entry: entry.path)
        return tuple(_text(filesystem, entry.path, entry.size_bytes) for entry in paths)
    for entry in others:
        _logger.warning("%s stands beside an archive: left out, name it to send it", entry.path)
    return tuple(_ArchivedFile(filesystem=filesystem, file=file) for file in kept)


@attrs.frozen(kw_only=True)
class _ArchivedFile:
    """A file of an archive, as a :class:`sources.replay.ReplayFile`."""

    filesystem: FileSystem
    file: ArchiveFile

    @property
    def size_bytes(self) -> int:
        return self.file.size_bytes

    def values(self) -> Iterator[tuple[bytes, int]]:
        return values(self.filesystem, self.file)


def _text(filesystem: FileSystem, path: str, size_bytes: int) -> TextFile:
    return TextFile(
        name=path, size_bytes=size_bytes, open=partial(filesystem.open, path), unwrap=value_of
    )


def _data_files(filesystem: FileSystem, path: str, place: str) -> Iterator[FileFacts]:
    """Yield the file at ``path``, whatever its name; or all data files below that folder."""
    parent, _, name = path.rpartition("/")
    matches = [entry for entry in filesystem.list(parent or "/") if entry.name == name]
    if name and not matches:
        raise ConfigurationError(f"there is no file or folder {place}")
    if matches and not matches[0].is_folder:
        yield matches[0]
        return
    folders = [path]
    while folders:
        for entry in filesystem.list(folders.pop()):
            if entry.name.startswith("_"):
                continue
            if entry.is_folder:
                folders.append(entry.path)
            elif is_text_file(entry.name) or entry.name.endswith(".parquet"):
                yield entry
