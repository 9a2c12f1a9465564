"""Memory stays flat while a million different posts go through every stage."""

import gc
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec

from mastostream.archiver import Archiver
from mastostream.collector import Collector, CollectorMemory
from mastostream.core.analyses import COUNT, built_in
from mastostream.core.topics import ENGAGEMENT, HASHTAGS, STREAM
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
from mastostream.ports.source import Fetched, Sighting
from mastostream.sinks.archive import FileArchive
from mastostream.sinks.sqlite import SqliteIndex
from mastostream.testing.simulator import generate_statuses

POSTS = int(os.environ.get("MASTOSTREAM_BENCH_POSTS", "1000000"))
ROUND = 2_000
SETTLED = POSTS // 5
MOST_GROWTH = 1.1


class Generated:
    """A source that never ends, and is always new."""

    name = "generated"

    def __init__(self) -> None:
        self._statuses: Iterator[bytes] = generate_statuses(POSTS)

    def fetch(self, cursor: str | None) -> Fetched:
        now = datetime.now(UTC)
        sightings = []
        for raw in islice(self._statuses, ROUND):
            post_id = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])["id"]
            key = msgspec.json.decode(post_id, type=str)
            sightings.append(
                Sighting(raw=raw, key=key, event="new", instance="x.example", observed_at=now)
            )
        return Fetched(sightings=sightings, cursor=sightings[-1].key if sightings else cursor)

    def close(self) -> None:
        pass


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_memory_is_flat(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    clock = SystemClock()
    collector = Collector(
        [Generated()],
        SqliteLogWriter(path),
        SqliteLogReader(path, topic=STREAM, group="collect"),
        CollectorMemory(tmp_path / "memory.sqlite3"),
        clock=clock,
        interval_s=0.0,
    )
    analyses = (*built_in("stream", "full"), COUNT)
    engine = LocalEngine(SqliteEngineLog(path, topic=STREAM), analyses, clock=clock)
    readers = {
        topic: SqliteLogReader(path, topic=topic, group="index") for topic in (ENGAGEMENT, HASHTAGS)
    }
    indexer = Indexer(readers, SqliteIndex(path), SqliteLogWriter(path), clock=clock)
    archive = FileArchive(str(tmp_path / "archive"), STREAM, clock=clock, rotate_bytes=2**26)
    archiver = Archiver(SqliteLogReader(path, topic=STREAM, group="archive"), archive)
    settled = done = 0
    while done < POSTS:
        done += collector.step(0.0)
        for stage in (engine, indexer, archiver):
            while stage.step(0.0):
                pass
        if done % 50_000 == 0:
            apply_retention(path, Retention(size_bytes=2**25), clock.now_ms())
            print(f"\n{done} posts: {resident_bytes() / 2**20:.0f} MiB", end="", flush=True)
        if done == SETTLED:
            settled = resident_bytes()
    growth = resident_bytes() / settled
    assert (engine.stats.posts, engine.stats.rejected) == (POSTS, 0)
    for stage in (collector, engine, indexer, archiver):
        stage.finish()
        stage.close()
    connection = sqlite3.connect(path)
    (documents,) = connection.execute("SELECT count(*) FROM documents").fetchone()
    connection.close()
    assert documents == 2 * POSTS
    print(f"\nmemory after {POSTS} posts against {SETTLED}: ratio {growth:.2f}")
    assert growth <= MOST_GROWTH
