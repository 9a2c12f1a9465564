"""What the archive promises, on HDFS through pydoop. Run by ``test_pydoop.py`` in its environment.

pydoop brings a Java machine into the process, and is built for one environment: so it has its own.
"""

import os
import uuid

import pytest

from mastostream.config import HdfsSettings
from mastostream.exceptions import RetriableError
from mastostream.ports.clock import SystemClock
from mastostream.sinks.archive import (
    FileArchive,
    list_archive,
    open_place,
    topic_place,
    value_of,
    values,
    verify_archive,
)
from mastostream.testing.conformance.archive import (
    ArchiveConformance,
    ArchiveUnderTest,
    FilesUnderTest,
    FileSystemConformance,
)

SETTINGS = HdfsSettings(backend="pydoop")


@pytest.fixture
def files() -> FilesUnderTest:
    url = f"{os.environ['MASTOSTREAM_TEST_HDFS']}/test-{uuid.uuid4().hex}"
    filesystem, folder = open_place(url, SETTINGS)
    return FilesUnderTest(filesystem=filesystem, folder=folder)


class TestPydoop(FileSystemConformance):
    """Hadoop's own client."""


class TestArchiveThroughPydoop(ArchiveConformance):
    @pytest.fixture
    def archive(self, files: FilesUnderTest) -> ArchiveUnderTest:
        place = topic_place(files.filesystem, files.folder, "t")

        def kept() -> dict[int, list[bytes]]:
            assert not verify_archive(place).problems
            found: dict[int, list[bytes]] = {}
            for file in list_archive(place).files:
                read = (value_of(value) for value, _ in values(place.filesystem, file))
                found.setdefault(file.partition, []).extend(read)
            return found

        return ArchiveUnderTest(
            sink=lambda: FileArchive(
                files.folder, "t", clock=SystemClock(), filesystem=files.filesystem
            ),
            kept=kept,
        )


def test_a_namenode_that_is_away_is_waited_for() -> None:
    filesystem, _ = open_place("hdfs://localhost:1/a", SETTINGS)
    with pytest.raises(RetriableError, match="HDFS cannot serve hdfs://localhost:1/a"):
        filesystem.list("/a")
