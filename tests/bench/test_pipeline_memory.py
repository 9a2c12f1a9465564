"""Memory use stays constant while a million different posts pass through every stage."""

import gc
import os
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mastostream.archiver import Archiver
from mastostream.collector import Collector, CollectorStateStore, Target
from mastostream.core.analyses import COUNT, built_in
from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS, STREAM
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
from mastostream.ports.source import About
from mastostream.ports.stream import Feed, Opened, Put, StreamEvent
from mastostream.sinks.archive import FileArchive
from mastostream.sinks.sqlite import SqliteIndex
from mastostream.testing.simulator import generate_statuses

POSTS = int(os.environ.get("MASTOSTREAM_BENCH_POSTS", "1000000"))
ROUND = 2_000
SETTLED = POSTS // 5
"""Number of posts after which memory use is taken as the reference."""

MOST_GROWTH = 1.1


class EmptySource:
    """A server with empty timelines: all posts come by its stream."""

    host = "x.example"
    limits = None
    most_ids = 20

    def about(self) -> About:
        return About(domain=self.host, family="other", version="")

    def timeline(self, tags: Sequence[str], **_: object) -> Sequence[bytes]:
        return ()

    def statuses(self, ids: Sequence[str]) -> Sequence[bytes] | None:
        return ()

    def close(self) -> None:
        pass


class GeneratedStream:
    """A stream of generated statuses, each of which is new."""

    def __init__(self, put: Put) -> None:
        self._put = put
        begin_ms = SystemClock().now_ms() - POSTS * 20 - 3_600_000  # 50 posts a second
        self._statuses: Iterator[bytes] = generate_statuses(POSTS, start_ms=begin_ms)

    def follow(self, feed: Feed) -> None:
        self._put(Opened(feed.name, feed.tags))

    def unfollow(self, name: str) -> None:
        pass

    def pause(self, *, paused: bool) -> None:
        pass

    def close(self) -> None:
        pass

    def send(self, count: int) -> int:
        now_ms = SystemClock().now_ms()
        statuses = list(islice(self._statuses, count))
        for raw in statuses:
            self._put(StreamEvent(EmptySource.host, "update", raw, "news", now_ms))
        return len(statuses)


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_memory_is_flat(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    clock = SystemClock()
    streams: list[GeneratedStream] = []

    def make_streams(put: Put) -> GeneratedStream:
        streams.append(GeneratedStream(put))
        return streams[0]

    def make_feed(about: About, tags: tuple[str, ...], transport: Any) -> Feed:
        return Feed(name=about.domain, url="ws://x.example", tags=tags, transport=transport)

    collector = Collector(
        [Target(server=EmptySource(), tags=("news",), make_feed=make_feed)],
        SqliteLogWriter(path),
        SqliteLogReader(path, topic=STREAM, group="collect"),
        CollectorStateStore(tmp_path / "memory.sqlite3"),
        clock=clock,
        make_streams=make_streams,
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
        sent = streams[0].send(ROUND)
        while sent > 0:
            sent -= collector.step(1.0)
        done += ROUND
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
