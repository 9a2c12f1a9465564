"""``replay``: which files of statuses it sends, and which it refuses as a whole."""

import gzip
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from mastostream.core.codec import decode
from mastostream.core.models import Post

Command = Callable[..., Any]


def status(number: int, **members: object) -> dict[str, object]:
    usual = {"id": str(number), "created_at": "2026-01-01T00:00:00Z", "account": {"acct": "a"}}
    return usual | {"content": "<p>caf\u00e9</p>"} | members


STATUSES: Final = [status(number) for number in range(5)]
LINES: Final = [json.dumps(each, ensure_ascii=False).encode() for each in STATUSES]
DEEP: Final = json.dumps(STATUSES[0])[:-1].encode() + b',"d":%b1%b}' % (b"[" * 5_000, b"]" * 5_000)
OUTBOX: Final = {
    "@context": "https://www.w3.org/ns/activitystreams",
    "type": "OrderedCollection",
    "orderedItems": [{"type": "Create", "object": {"type": "Note", "id": "https://a/1"}}],
}


def logged(folder: Path) -> list[bytes]:
    with closing(sqlite3.connect(folder / "mastostream-data" / "mastostream.sqlite3")) as log:
        return [value for (value,) in log.execute("SELECT value FROM records ORDER BY id")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("statuses.jsonl", b"\n".join(LINES)),
        ("STATUSES.JSONL", b"\n".join(LINES)),
        ("statuses", b"\xef\xbb\xbf" + b"\r\n".join(LINES)),
        ("statuses.txt", b"\n\n".join(LINES).decode().encode("utf-16")),
        ("one line.jsonl", b"".join(LINES)),
        ("array.jsonl", b" " * 100 + b"[" + b", ".join(LINES) + b"]"),
        ("pretty.ndjson", json.dumps(STATUSES, indent=1).encode()),
        ("jq.json", b"\n".join(json.dumps(each, indent=2).encode() for each in STATUSES)),
        ("no ending", gzip.compress(LINES[0]) + gzip.compress(b"\n".join(LINES[1:]))),
        ("twice.jsonl", b"\n".join(line[:-1] + b', "content": "b"}' for line in LINES)),
    ],
)
def test_statuses_are_sent_however_they_are_written(
    command: Command, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    done = command(tmp_path, "replay", name, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"kind": "done", "records": 5, "undecodable": 0}
    posts = [decode(value) for value in logged(tmp_path)]
    assert [post.id for post in posts if isinstance(post, Post)] == ["0", "1", "2", "3", "4"]
    assert not any(b"\n" in value for value in logged(tmp_path))


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        (gzip.compress(b"\n".join(LINES * 99))[:-9], ["is damaged, or cut short"]),
        (b"[" + b",".join(LINES)[:-3], ["is cut: it ends inside of an array"]),
        (b"\n".join(LINES).decode().encode("latin-1"), ["not UTF-8 at byte", "iconv"]),
        (json.dumps(status(1, n=float("nan"))).encode(), ["1 of 1 records", "record 1"]),
        (DEEP, ["1 of 1 records", "too deep"]),
        (json.dumps(OUTBOX).encode(), ["ActivityPub, like outbox.json"]),
        (json.dumps({"statuses": STATUSES}).encode(), ["jq -c '.statuses[]'"]),
        (json.dumps([{"data": each} for each in STATUSES]).encode(), ["'.[].data' in an array"]),
        (b"", ["statuses.jsonl holds no statuses"]),
        (bytes(range(1, 256)) * 9, ["10 of 10 records", "statuses.jsonl are no statuses"]),
        (b"\n".join([*LINES, b"{broken"]), ["1 of 6 records", "record 6"]),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_logged(
    command: Command, tmp_path: Path, content: bytes, messages: Sequence[str]
) -> None:
    (tmp_path / "statuses.jsonl").write_bytes(content)
    done = command(tmp_path, "replay", "statuses.jsonl")
    assert done.returncode == 2, done.stderr
    assert "nothing was sent" in done.stderr
    assert all(message in done.stderr for message in messages), done.stderr
    assert not (tmp_path / "mastostream-data").exists()


def test_a_bad_line_among_many_good_ones_is_sent_and_told(command: Command, tmp_path: Path) -> None:
    lines = [*LINES, b"{broken", *LINES, b"\xff"]
    (tmp_path / "statuses.jsonl").write_bytes(b"\n".join(lines + LINES * 2))
    done = command(tmp_path, "replay", "statuses.jsonl")
    assert done.returncode == 0, done.stderr
    assert "22 records into Mastodon_stream, 2 of them no posts" in done.stdout
    assert logged(tmp_path) == lines + LINES * 2


def test_a_pipe_is_refused_since_a_file_is_read_twice(command: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = command(tmp_path, "replay", "pipe")
    assert done.returncode == 2
    assert "write it into a file first" in done.stderr


def test_a_file_that_cannot_be_used_among_others_refuses_the_folder(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.jsonl").write_bytes(b"\n".join(LINES))
    (tmp_path / "files" / "b.json").write_text(json.dumps(OUTBOX))
    (tmp_path / "files" / "empty.jsonl").write_bytes(b"")
    done = command(tmp_path, "replay", "files")
    assert done.returncode == 2, done.stderr
    assert "files/b.json" in done.stderr
    assert not (tmp_path / "mastostream-data").exists()
    (tmp_path / "files" / "b.json").unlink()
    assert command(tmp_path, "replay", "files").returncode == 0
    assert logged(tmp_path) == LINES


def test_another_topic_takes_records_of_any_kind(command: Command, tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(b'{"posts":1}\n{"posts":2}\n')
    done = command(tmp_path, "replay", "results.jsonl", "--topic", "results")
    assert done.returncode == 0, done.stderr
    assert logged(tmp_path) == [b'{"posts":1}', b'{"posts":2}']
