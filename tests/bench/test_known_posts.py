"""The collector's state store at ten million posts: a batch takes hardly longer than at 1,000."""

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mastostream.collector.observation import SeenEntry
from mastostream.collector.state_store import CollectorStateStore

ENTRIES = int(os.environ.get("MASTOSTREAM_BENCH_ENTRIES", "10000000"))
BATCH = 100
ROUNDS = 200
NOW = 1_750_000_000_000
DAY_MS = 86_400_000
SERVER = "s.example"
MOST_RATIO = 5.0
AFTER_S = (300.0, 3_600.0, 86_400.0)


def known_rows(count: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield rows with ascending hashes, which SQLite inserts quickly, and with mixed ages."""
    rng = random.Random(1)
    step = 2**128 // count
    for number in range(count):
        age_ms = rng.randrange(DAY_MS)
        yield (number * step + rng.randrange(step)).to_bytes(16, "big"), NOW - age_ms, 0, 0


def refresh_rows(count: int) -> Iterator[tuple[str, str, str, int, int]]:
    rng = random.Random(2)
    for number in range(count):
        age_ms = rng.randrange(DAY_MS)
        key = f"https://town.example/users/somebody/statuses/{number:018}"
        yield key, SERVER, str(number), NOW - age_ms, NOW - age_ms + DAY_MS


def fill(path: Path, count: int) -> None:
    CollectorStateStore(path, key_by="uri", refresh_after_s=AFTER_S).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO known VALUES (?, ?, ?, ?)", known_rows(count))
        connection.executemany("INSERT INTO refreshes VALUES (?, ?, ?, ?, ?)", refresh_rows(count))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def batch_s(path: Path) -> float:
    """Return the median time to look up a batch of new posts, remember it, and query due ones."""
    memory = CollectorStateStore(path, key_by="uri", refresh_after_s=AFTER_S)
    times = []
    for number in range(ROUNDS):
        keys = [f"https://new.example/{number}/{order}" for order in range(BATCH)]
        began_s = time.perf_counter()
        assert not any(memory.known(key) for key in keys)
        traces = [SeenEntry(key, "new", SERVER, key, NOW) for key in keys]
        memory.remember(traces, {0: number}, {}, NOW)
        memory.refreshes.due(SERVER, NOW - DAY_MS, 20)
        times.append(time.perf_counter() - began_s)
    memory.close()
    return sorted(times)[ROUNDS // 2]


def test_ten_million_entries(tmp_path: Path) -> None:
    small, large = tmp_path / "small.sqlite3", tmp_path / "large.sqlite3"
    fill(small, 1_000)
    fill(large, ENTRIES)
    large_s, small_s = batch_s(large), batch_s(small)
    size_bytes = large.stat().st_size
    print(
        f"\nmemory of {ENTRIES} posts, each to be read again: {size_bytes / 2**20:.0f} MiB; "
        f"a batch of {BATCH} new ones: {large_s * 1000:.1f} ms against {small_s * 1000:.1f} ms at "
        f"1,000 posts ({BATCH / large_s:.0f} posts/s): ratio {large_s / small_s:.2f}"
    )
    assert large_s / small_s <= MOST_RATIO
