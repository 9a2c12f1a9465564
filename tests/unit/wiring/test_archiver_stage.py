"""What writes and reads the archive."""

import shutil
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mastostream.config import ArchiveSettings, Settings
from mastostream.exceptions import ConfigurationError, FatalError
from mastostream.log.sqlite import Retention, SqliteLogWriter, apply_retention
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import NewRecord
from mastostream.runner import run_until_idle
from mastostream.sinks.archive import FileArchive
from mastostream.sources.replay import ReplayFile, replay
from mastostream.testing.conformance.archive import records_of
from mastostream.wiring import archiver, compact, replay_inputs

VALUES = [b'{"id":"%d"}' % number for number in range(9)] + [b"\xff"]
STATUS = '{"id":"s"}\n'


def settings_of(data: Path, **archive: Any) -> Settings:
    return Settings(data=str(data), archive=ArchiveSettings(**archive))


def contents(files: Sequence[ReplayFile]) -> list[bytes]:
    return [value for file in files for value, _ in file.values()]


def filled(folder: Path, **options: Any) -> Path:
    for partition in (1, 0):
        sink = FileArchive(str(folder), "t", clock=SystemClock(), rotate_records=4, **options)
        sink.reload()
        sink.write(records_of(VALUES, partition=partition))
        sink.close()
    return folder


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("by_date", [True, False])
def test_an_archive_is_replayed_in_the_order_of_its_offsets(
    tmp_path: Path, form: str, by_date: bool
) -> None:
    folder = filled(tmp_path / "archive", form=form, by_date=by_date)
    for place in (folder, folder / "t", f"file://{folder}"):
        files = replay_inputs(Settings(), str(place))
        assert contents(files) == [*VALUES, *VALUES]
    assert sum(file.size_bytes for file in files) == sum(
        path.stat().st_size for path in folder.rglob("t+*")
    )


def test_what_compaction_left_is_not_sent_twice(tmp_path: Path) -> None:
    folder = filled(tmp_path / "data" / "archive")
    small = {path: path.read_bytes() for path in folder.rglob("t+*")}
    compact(settings_of(tmp_path / "data"), "t", SystemClock(), 2**20, lambda *_: None)
    for path, data in small.items():
        path.write_bytes(data)
    assert contents(replay_inputs(Settings(), str(folder))) == [*VALUES, *VALUES]


def test_one_file_of_any_kind_and_files_beside_an_archive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = filled(tmp_path / "archive", form="parquet")
    (folder / "b.ndjson").write_text(STATUS)
    (folder / "a.jsonl").write_text(STATUS)
    (folder / "_hidden.jsonl").write_text(STATUS)
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "c.jsonl").write_text(STATUS)
    (folder / "notes.txt").write_text(STATUS)
    assert contents(replay_inputs(Settings(), str(folder))) == [*VALUES, *VALUES]
    left_out = [record.getMessage().partition(" stands")[0] for record in caplog.records]
    assert sorted(left_out) == [str(folder / name) for name in ("a.jsonl", "b.ndjson")]
    assert contents(replay_inputs(Settings(), str(folder / "notes.txt"))) == [b'{"id":"s"}']
    (one, *others) = sorted(folder.rglob("*.parquet"))
    assert contents(replay_inputs(Settings(), str(one))) == VALUES[:4]
    for path in (one, *others):
        path.unlink()
    assert contents(replay_inputs(Settings(), str(folder))) == [STATUS.strip().encode()] * 2


def test_nothing_to_replay_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no file or folder"):
        replay_inputs(Settings(), str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="holds no archive"):
        replay_inputs(Settings(), str(tmp_path))


def test_a_replayed_archive_gives_the_same_archive(tmp_path: Path) -> None:
    folder = filled(tmp_path / "old")
    settings = settings_of(tmp_path / "new", format="parquet", rotate_records=3)
    writer = SqliteLogWriter(tmp_path / "new" / "mastostream.sqlite3")
    result = replay(
        replay_inputs(settings, str(folder)),
        writer,
        topic="t",
        clock=SystemClock(),
        stop=threading.Event(),
    )
    writer.close()
    assert result.records == 2 * len(VALUES)
    run_until_idle([archiver(settings, SystemClock(), "t")])
    assert contents(replay_inputs(settings, str(tmp_path / "new" / "archive"))) == [
        *VALUES,
        *VALUES,
    ]


def test_an_archive_that_was_removed_is_made_again_from_the_oldest_record(tmp_path: Path) -> None:
    settings, folder = settings_of(tmp_path), tmp_path / "archive"
    with closing(SqliteLogWriter(tmp_path / "mastostream.sqlite3")) as writer:
        writer.append([NewRecord("t", None, value) for value in VALUES])
    for _ in range(2):
        run_until_idle([archiver(settings, SystemClock(), "t")])
        assert contents(replay_inputs(settings, str(folder))) == VALUES
        shutil.rmtree(folder)


def test_another_folder_begins_with_the_oldest_record_there_is(tmp_path: Path) -> None:
    path = tmp_path / "mastostream.sqlite3"
    writer = SqliteLogWriter(path)
    writer.append([NewRecord("t", None, b"%d" % number) for number in range(4)])
    run_until_idle([archiver(settings_of(tmp_path), SystemClock(), "t")])
    writer.append([NewRecord("t", None, b"%d" % number) for number in range(4, 9)])
    apply_retention(path, Retention(size_bytes=3), 0)
    writer.close()
    with pytest.raises(FatalError, match="archive to another folder"):
        run_until_idle([archiver(settings_of(tmp_path), SystemClock(), "t")])
    other = settings_of(tmp_path, folder=str(tmp_path / "other"))
    run_until_idle([archiver(other, SystemClock(), "t")])
    assert contents(replay_inputs(Settings(), str(tmp_path / "other"))) == [b"6", b"7", b"8"]
