"""What bad input gets: a document, or a dead letter with a reason; the rest goes on."""

import json
from pathlib import Path

from mastostream.archiver import Archiver
from mastostream.config import Settings
from mastostream.core.analyses import built_in
from mastostream.core.dead_letters import dead_letter_of
from mastostream.core.topic_names import DEAD_LETTERS, ENGAGEMENT, HASHTAGS, STREAM
from mastostream.engines.local import LocalEngine
from mastostream.indexer import Indexer
from mastostream.log.sqlite import (
    Retention,
    SqliteEngineLog,
    SqliteLogReader,
    SqliteLogWriter,
    apply_retention,
)
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import NewRecord, Record
from mastostream.runner import run_until_idle
from mastostream.sinks.archive import FileArchive
from mastostream.sinks.sqlite import SqliteIndex
from mastostream.wiring import replay_inputs


def status(**members: object) -> bytes:
    usual = {"id": "1", "created_at": "2024-05-01T10:00:00Z", "account": {"acct": "a"}}
    return json.dumps(usual | members).encode()


TAKEN = {
    "ten megabytes": status(id="10mb", content="x" * 10_000_000),
    "NUL": status(id="nul", content="a\x00b", language="\x00"),
    "NUL in the key": status(id="n\x00l"),
    "year 1": status(id="y1", created_at="0001-01-01T00:00:00Z"),
    "year 9999": status(id="y9999", created_at="9999-12-31T23:59:59.999Z"),
    "deep member that nobody reads": b'{"deep":' + b"[" * 500 + b"]" * 500 + b"," + status()[1:],
    "member twice": status(id="twice")[:-1] + b',"language":"de","language":"en"}',
    "line breaks": b"\n\n" + status(id="lines") + b"\n",
    "negative count": status(id="negative", favourites_count=-1),
    "wrong members that nobody needs": status(id="odd", edited_at=False, tags="", language=["en"]),
}
REFUSED = {
    "empty": b"",
    "no JSON": b"\xff\x00{broken",
    "cut": status()[:-9],
    "a list": b"[]",
    "deep": b'{"id":' + b"[" * 200_000,
    "lone surrogate": status()[:-1] + b',"content":"\\ud800"}',
    "wrong types": status(account={"acct": 5}, tags="none"),
    "no such date": status(created_at="2024-13-77"),
}


def read(path: Path, topic: str) -> list[Record]:
    reader = SqliteLogReader(path, topic=topic, group="look")
    found = list(reader.read(10_000, 0.0))
    reader.close()
    return found


def test_every_bad_input_is_a_document_or_a_dead_letter_and_none_is_lost(tmp_path: Path) -> None:
    path, clock = tmp_path / "log.sqlite3", SystemClock()
    values = [*TAKEN.values(), *REFUSED.values(), status(id="last")]
    writer = SqliteLogWriter(path)
    writer.append([NewRecord(STREAM, None, value) for value in values])
    analyses = (*built_in("stream", "full"), *built_in("sql", "count"))
    analyses += tuple(
        one for name in ("dashboard", "language", "users") for one in built_in("sql", name)
    )
    engine = LocalEngine(SqliteEngineLog(path, topic=STREAM), analyses, clock=clock)
    readers = {
        topic: SqliteLogReader(path, topic=topic, group="index") for topic in (ENGAGEMENT, HASHTAGS)
    }
    run_until_idle(
        [
            engine,
            Indexer(readers, SqliteIndex(path), writer, clock=clock),
            Archiver(
                SqliteLogReader(path, topic=STREAM, group="archive"),
                FileArchive(str(tmp_path / "archive"), STREAM, clock=clock),
            ),
        ]
    )
    letters = [dead_letter_of(each.value, each.headers) for each in read(path, DEAD_LETTERS)]
    assert [letter.raw for letter in letters] == list(REFUSED.values())
    assert all(letter.reasons and all(letter.reasons) for letter in letters)
    assert len(read(path, ENGAGEMENT)) == len(TAKEN) + 1
    files = replay_inputs(Settings(), str(tmp_path / "archive"))
    assert [value for file in files for value, _ in file.values()] == values


def test_results_that_retention_took_before_they_were_indexed_are_counted(tmp_path: Path) -> None:
    path, clock = tmp_path / "log.sqlite3", SystemClock()

    def index() -> Indexer:
        readers = {ENGAGEMENT: SqliteLogReader(path, topic=ENGAGEMENT, group="index")}
        indexer = Indexer(readers, SqliteIndex(path), SqliteLogWriter(path), clock=clock)
        run_until_idle([indexer])
        return indexer

    writer = SqliteLogWriter(path)
    writer.append([NewRecord(ENGAGEMENT, "k", b"{}")])
    assert index().stats.lost == 0
    writer.append([NewRecord(ENGAGEMENT, "k", b"{}") for _ in range(9)])
    apply_retention(path, Retention(size_bytes=6), 0)
    assert index().stats.lost == 6
    writer.close()
