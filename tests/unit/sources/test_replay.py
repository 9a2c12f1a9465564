"""Replay of files and archives."""

import bz2
import gzip
import json
import threading
from pathlib import Path

import pytest

from mastostream.exceptions import ConfigurationError, DamagedError
from mastostream.ports.log import Record
from mastostream.sinks.archive import value_of
from mastostream.sources.replay import ReplayResult, due_s, replay, replay_files
from mastostream.testing.fakes import FakeClock, FakeLog

LINES = [
    json.dumps({"id": str(n), "created_at": f"2024-01-01T00:00:{n:02}Z", "account": {"acct": "a"}})
    for n in range(4)
]


def send(path: Path, speed: float | None = None) -> tuple[ReplayResult, list[Record], FakeClock]:
    log, clock = FakeLog(), FakeClock()
    files = replay_files(path, value_of)
    result = replay(
        files, log.writer(), topic="t", clock=clock, stop=threading.Event(), speed=speed
    )
    return result, log.records("t"), clock


def test_a_folder_gives_its_files_by_name(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "folder.json" / "c.JSON").write_text(f"[{LINES[2]}]")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(LINES[0].encode()))
    (tmp_path / "b.ndjson.bz2").write_bytes(bz2.compress(LINES[1].encode()))
    for left_out in ("_d.jsonl", "e.txt"):
        (tmp_path / left_out).write_text(LINES[3])
    result, records, _ = send(tmp_path)
    assert result == ReplayResult(records=3, undecodable=0)
    assert [(record.key, record.value.decode()) for record in records] == [
        (str(number), LINES[number]) for number in range(3)
    ]


def test_what_is_no_post_is_sent_as_it_is_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{broken\n\xff\n" + LINES[0].encode())
    result, records, _ = send(tmp_path / "a.jsonl")
    assert (result.records, result.undecodable) == (3, 2)
    assert [record.value for record in records][:2] == [b"{broken", b"\xff"]


def test_a_multiple_of_real_time_waits_in_between(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(LINES))
    _, records, clock = send(tmp_path / "a.jsonl", speed=2.0)
    assert len(records) == 4
    assert sum(clock.waits_s) == pytest.approx(1.5)
    assert due_s(0, 1000, 2.0) == 0.5
    assert due_s(1000, 0, 2.0) == 0.0


def test_a_file_that_is_cut_is_told_and_so_is_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" + LINES[0])
    with pytest.raises(DamagedError, match="ends inside of an array"):
        send(tmp_path / "a.json")
    with pytest.raises(ConfigurationError, match="no file or folder"):
        replay_files(tmp_path / "none")
