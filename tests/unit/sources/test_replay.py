"""Replay of files and archives."""

import io
import json
import threading
from pathlib import Path

import pytest

from mastostream.compression import Compression, compressed
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


def packed(data: bytes, compression: Compression) -> bytes:
    raw = io.BytesIO()
    with compressed(raw, compression, "wb") as stream:
        stream.write(data)
    return raw.getvalue()


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.json", "a.txt", "array.json"]
)
def test_every_kind_of_file_gives_its_lines(tmp_path: Path, name: str) -> None:
    data = ("\n".join(LINES) + "\n").encode()
    if name == "array.json":
        data = ("[" + ",\n".join(LINES) + "]").encode()
    if name.endswith(".gz"):
        data = packed(data[:100], "gzip") + packed(data[100:], "gzip")
    if name.endswith(".zst"):
        data = packed(data[:100], "zstd") + packed(data[100:], "zstd")
    (tmp_path / name).write_bytes(data)
    result, records, _ = send(tmp_path / name)
    assert (result.records, result.undecodable) == (4, 0)
    assert [(record.key, record.value.decode()) for record in records] == [
        (str(n), connection) for n, connection in enumerate(LINES)
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


def test_a_file_that_is_no_array_and_one_that_is_cut_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[{]")
    with pytest.raises(DamagedError, match="no JSON array"):
        send(tmp_path / "a.json")
    with pytest.raises(ConfigurationError, match="no file or folder"):
        replay_files(tmp_path / "none")
