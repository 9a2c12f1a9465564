"""Conformance suites for file systems and archives, as test classes for pytest.

Subclass a suite and provide its fixture::

    class TestMyFiles(FileSystemConformance):
        @pytest.fixture
        def files(self, tmp_path: Path) -> FilesUnderTest:
            return FilesUnderTest(filesystem=MyFiles(), folder=str(tmp_path / "new"))

    class TestMyArchive(ArchiveConformance):
        @pytest.fixture
        def archive(self, tmp_path: Path) -> ArchiveUnderTest:
            return ArchiveUnderTest(sink=..., kept=...)

Each test needs a new folder.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Final

import attrs

from mastostream.exceptions import RetriableError
from mastostream.ports.filesystem import FileSystem
from mastostream.ports.log import Record
from mastostream.ports.sink import ArchiveSink

__all__ = [
    "ArchiveConformance",
    "ArchiveUnderTest",
    "FileSystemConformance",
    "FilesUnderTest",
    "records_of",
]

_VALUES: Final = (b"{}", b"", b"\x00\xff\n\r", b'{"a":\n1}', '"\U0001f4a5\u2028"'.encode(), b"null")
"""Values that a format could damage: binary data, line ends, empty and Unicode values."""

_RACES: Final = 6
"""How often two threads compete for one name."""

_ROUNDS: Final = 80
"""How many batches two sinks write to the same partition."""


@attrs.frozen(kw_only=True)
class FilesUnderTest:
    """The file system that a suite tests.

    Attributes:
        filesystem: the adapter under test.
        folder: an absolute path where nothing exists yet.
    """

    filesystem: FileSystem
    folder: str


@attrs.frozen(kw_only=True)
class ArchiveUnderTest:
    """The archive that a suite tests.

    Attributes:
        sink: ``() -> ArchiveSink``: opens a sink that writes the archive. The suite closes it.
        kept: ``() -> partition to values``: returns the values in the finished files of each
            partition, in their order.
    """

    sink: Callable[[], ArchiveSink]
    kept: Callable[[], Mapping[int, Sequence[bytes]]]


def records_of(
    values: Sequence[bytes], *, first: int = 0, partition: int = 0, step: int = 1
) -> list[Record]:
    """Return records of topic ``t`` with these values; their offsets are ``step`` apart."""
    return [
        Record("t", partition, first + order * step, 0, None, value)
        for order, value in enumerate(values)
    ]


class FileSystemConformance:
    """Tests :class:`mastostream.ports.filesystem.FileSystem`. Needs the fixture ``files``."""

    def test_a_folder_that_is_not_there_is_empty_and_can_be_made_twice(
        self, files: FilesUnderTest
    ) -> None:
        system, folder = files.filesystem, files.folder
        assert list(system.list(folder)) == []
        for _ in range(2):
            system.make_folder(f"{folder}/a/b")
        (entry,) = system.list(folder)
        assert (entry.path, entry.name, entry.is_folder) == (f"{folder}/a", "a", True)
        assert list(system.list(f"{folder}/a/b")) == []

    def test_bytes_come_back_as_they_were(self, files: FilesUnderTest) -> None:
        system = files.filesystem
        system.make_folder(files.folder)
        rng = random.Random(1)
        for number, sizes in enumerate(((), (0,), (1, 2, 3), (100_000,) * 7, (9 * 2**20, 1))):
            pieces = [rng.randbytes(size) for size in sizes]
            path = f"{files.folder}/{number}"
            put(system, path, *pieces)
            whole = b"".join(pieces)
            with closing(system.open(path)) as stream:
                assert stream.read() == whole
                stream.seek(len(whole) // 2)
                assert stream.read(7) == whole[len(whole) // 2 :][:7]
                stream.seek(-min(5, len(whole)), 2)
                assert stream.read() == whole[-5:]
            (entry,) = (entry for entry in system.list(files.folder) if entry.path == path)
            assert (entry.size_bytes, entry.is_folder) == (len(whole), False)
            assert entry.modified_ms > 0

    def test_a_name_is_given_once(self, files: FilesUnderTest) -> None:
        system = files.filesystem
        system.make_folder(files.folder)
        put(system, f"{files.folder}/a", b"old")
        with suppress(FileExistsError):
            system.create(f"{files.folder}/a")
            raise AssertionError("a file was replaced")
        assert content(system, f"{files.folder}/a") == b"old"

    def test_a_rename_never_takes_a_name_from_another_file(self, files: FilesUnderTest) -> None:
        system = files.filesystem
        system.make_folder(f"{files.folder}/sub")
        put(system, f"{files.folder}/a", b"a")
        system.rename(f"{files.folder}/a", f"{files.folder}/sub/b")
        assert [entry.name for entry in system.list(files.folder)] == ["sub"]
        put(system, f"{files.folder}/c", b"c")
        with suppress(FileExistsError):
            system.rename(f"{files.folder}/c", f"{files.folder}/sub/b")
            raise AssertionError("a file was replaced")
        assert content(system, f"{files.folder}/sub/b") == b"a"
        assert content(system, f"{files.folder}/c") == b"c"

    def test_of_several_that_want_one_name_one_gets_it(self, files: FilesUnderTest) -> None:
        system = files.filesystem
        system.make_folder(files.folder)

        def claim(path: str) -> bool:
            try:
                system.rename(path, f"{files.folder}/target")
            except FileExistsError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            for _ in range(_RACES):
                paths = [f"{files.folder}/{name}" for name in "ab"]
                for path in paths:
                    put(system, path, path.encode())
                won = list(pool.map(claim, paths))
                assert sorted(won) == [False, True]
                winner = paths[won.index(True)]
                assert content(system, f"{files.folder}/target") == winner.encode()
                for entry in system.list(files.folder):
                    system.remove(entry.path)

    def test_what_is_not_there_is_said_to_be_missing(self, files: FilesUnderTest) -> None:
        system = files.filesystem
        system.make_folder(files.folder)
        with suppress(FileNotFoundError):
            system.open(f"{files.folder}/none")
            raise AssertionError("nothing was opened")
        with suppress(FileNotFoundError):
            system.rename(f"{files.folder}/none", f"{files.folder}/new")
            raise AssertionError("nothing was renamed")
        system.remove(f"{files.folder}/none")
        put(system, f"{files.folder}/a", b"")
        system.remove(f"{files.folder}/a")
        assert list(system.list(files.folder)) == []

    def test_a_file_that_is_removed_while_it_is_written_gets_no_name(
        self, files: FilesUnderTest
    ) -> None:
        system = files.filesystem
        system.make_folder(files.folder)
        for data in (b"", b"x", b"x" * 10_000_000):
            file = system.create(f"{files.folder}/_a.tmp")
            file.write(b"begun")
            system.remove(f"{files.folder}/_a.tmp")
            try:
                file.write(data)
                file.seal()
                system.rename(f"{files.folder}/_a.tmp", f"{files.folder}/a")
            except FileNotFoundError:
                pass
            else:
                raise AssertionError("nobody told that the file was gone")
            file.close()
            file.close()
            assert list(system.list(files.folder)) == []

    def test_many_files_are_all_listed(self, files: FilesUnderTest) -> None:
        system = files.filesystem
        system.make_folder(files.folder)
        names = {f"{number:04}" for number in range(60)}
        for name in names:
            put(system, f"{files.folder}/{name}", b"")
        assert {entry.name for entry in system.list(files.folder)} == names


class ArchiveConformance:
    """Tests :class:`mastostream.ports.sink.ArchiveSink`. Needs the fixture ``archive``."""

    def test_records_come_back_in_order_whatever_they_hold(self, archive: ArchiveUnderTest) -> None:
        with closing(archive.sink()) as sink:
            sink.reload()
            assert sink.positions() == {}
            for first in (0, 6):
                for partition in (0, 3):
                    sink.write(records_of(_VALUES, first=first, partition=partition))
            assert sink.positions() == {0: 12, 3: 12}
            assert sink.flush(force=True) == {0: 12, 3: 12}
        assert archive.kept() == {0: [*_VALUES, *_VALUES], 3: [*_VALUES, *_VALUES]}

    def test_another_sink_goes_on_where_the_last_one_ended(self, archive: ArchiveUnderTest) -> None:
        for number in range(4):
            with closing(archive.sink()) as sink:
                sink.reload()
                assert sink.positions() == ({0: number} if number else {})
                sink.write(records_of([b"%d" % number], first=number))
        assert archive.kept() == {0: [b"0", b"1", b"2", b"3"]}

    def test_what_was_kept_already_is_left_out(self, archive: ArchiveUnderTest) -> None:
        with closing(archive.sink()) as sink:
            sink.reload()
            sink.write(records_of([b"0", b"1", b"2"]))
            sink.write(records_of([b"1", b"2", b"3"], first=1))
            sink.flush(force=True)
            sink.write(records_of([b"2", b"3", b"4"], first=2))
        assert archive.kept() == {0: [b"0", b"1", b"2", b"3", b"4"]}

    def test_offsets_may_have_holes(self, archive: ArchiveUnderTest) -> None:
        offsets = [5, 6, 9, 30]
        for number, offset in enumerate(offsets):
            with closing(archive.sink()) as sink:
                sink.reload()
                assert sink.positions() == ({0: offsets[number - 1] + 1} if number else {})
                sink.write(records_of([b"%d" % offset], first=offset))
        assert archive.kept() == {0: [b"5", b"6", b"9", b"30"]}

    def test_nothing_is_kept_of_a_sink_that_was_reloaded(self, archive: ArchiveUnderTest) -> None:
        with closing(archive.sink()) as sink:
            sink.reload()
            sink.write(records_of([b"0"]))
            sink.flush(force=True)
            sink.write(records_of([b"1"], first=1))
            sink.reload()
            assert sink.positions() == {0: 1}
            assert sink.flush(force=True) == {}
        assert archive.kept() == {0: [b"0"]}

    def test_two_that_write_the_same_lose_nothing_and_repeat_nothing(
        self, archive: ArchiveUnderTest
    ) -> None:
        rng = random.Random(3)
        values = [b"%d" % number for number in range(400)]
        sinks = [archive.sink(), archive.sink()]
        for sink in sinks:
            sink.reload()
        for _ in range(_ROUNDS):
            sink = rng.choice(sinks)
            with suppress(RetriableError):
                position = sink.positions().get(0, 0)
                count = rng.randrange(1, 9)
                sink.write(records_of(values[position : position + count], first=position))
                sink.flush(force=rng.random() < 0.4)
            if rng.random() < 0.1:
                sink.reload()
        for sink in sinks:
            sink.close()
        kept = archive.kept()[0]
        assert len(kept) > 30
        assert list(kept) == values[: len(kept)]

    def test_closing_finishes_and_twice_is_harmless(self, archive: ArchiveUnderTest) -> None:
        sink = archive.sink()
        sink.reload()
        sink.write(records_of([b"0"]))
        sink.close()
        sink.close()
        assert archive.kept() == {0: [b"0"]}


def put(system: FileSystem, path: str, *pieces: bytes) -> None:
    """Write a complete file from these pieces."""
    file = system.create(path)
    for piece in pieces:
        assert file.write(piece) == len(piece)
    file.flush()
    file.seal()
    file.close()


def content(system: FileSystem, path: str) -> bytes:
    """Return the complete content of a file."""
    with closing(system.open(path)) as stream:
        return stream.read()
