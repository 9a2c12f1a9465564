"""The local engine, log to log, against a loop that does the same by hand."""

import sqlite3
import time
import unicodedata
from pathlib import Path

import orjson

from mastostream.core.analyses import built_in
from mastostream.engines.local import LocalEngine
from mastostream.log.sqlite import SqliteEngineLog, SqliteLogWriter
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import NewRecord
from mastostream.testing.simulator import generate_statuses

POSTS = 30_000
BATCH = 1_000
ROUNDS = 3
INPUT = "Mastodon_stream"


def fill(path: Path) -> None:
    """A log of generated statuses."""
    writer = SqliteLogWriter(path)
    batch: list[NewRecord] = []
    for number, status in enumerate(generate_statuses(POSTS), 1):
        batch.append(NewRecord(INPUT, str(number), status))
        if len(batch) == BATCH:
            writer.append(batch)
            batch = []
    writer.close()


def engine_s(path: Path) -> float:
    """How long the engine takes."""
    log = SqliteEngineLog(path, topic=INPUT)
    engine = LocalEngine(log, built_in("stream", "full"), clock=SystemClock())
    began = time.perf_counter()
    while engine.step(0.0):
        pass
    elapsed = time.perf_counter() - began
    assert (engine.stats.posts, engine.stats.outputs) == (POSTS, 2 * POSTS)
    engine.close()
    return elapsed


def bare_s(path: Path) -> float:
    """How long it takes by hand: the same input, two records a post, positions, transactions."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE outputs (topic TEXT, key TEXT, value BLOB)")
    connection.execute("CREATE TABLE positions (next_id INTEGER)")
    connection.execute("INSERT INTO positions VALUES (0)")
    began = time.perf_counter()
    position = 0
    while True:
        rows = connection.execute(
            "SELECT id, value FROM records WHERE id >= ? ORDER BY id LIMIT ?", (position, BATCH)
        ).fetchall()
        if not rows:
            break
        outputs = []
        for _, value in rows:
            status = orjson.loads(value)
            counts: dict[str, int] = {}
            for tag in status["tags"]:
                name = unicodedata.normalize("NFKC", tag["name"]).lower()
                counts[name] = counts.get(name, 0) + 1
            score = (
                status["favourites_count"]
                + 2 * status["reblogs_count"]
                + 3 * status["replies_count"]
                + 2 * status["quotes_count"]
            )
            key = status["id"]
            engagement = {
                "key": key,
                "account": status["account"]["acct"],
                "content": status["content"],
                "created_at": status["created_at"],
                "url": status["url"],
                "language": status["language"],
                "engagement_score": score,
                "favourites_count": status["favourites_count"],
                "reblogs_count": status["reblogs_count"],
                "replies_count": status["replies_count"],
                "quotes_count": status["quotes_count"],
            }
            hashtags = {
                "key": key,
                "account": status["account"]["acct"],
                "hashtags": list(counts),
                "hashtag_counts": list(counts.values()),
                "created_at": status["created_at"],
                "language": status["language"],
            }
            outputs.append(("mastodon-engagement", key, orjson.dumps(engagement)))
            outputs.append(("mastodon-hashtags", key, orjson.dumps(hashtags)))
        position = rows[-1][0] + 1
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO outputs VALUES (?, ?, ?)", outputs)
        connection.execute("UPDATE positions SET next_id = ?", (position,))
        connection.execute("COMMIT")
    elapsed = time.perf_counter() - began
    (count,) = connection.execute("SELECT count(*) FROM outputs").fetchone()
    assert count == 2 * POSTS
    connection.close()
    return elapsed


def test_engine_log_to_log(tmp_path: Path) -> None:
    ours, bound = [], []
    for number in range(ROUNDS):
        for measure, into in ((engine_s, ours), (bare_s, bound)):
            path = tmp_path / f"{measure.__name__}-{number}.sqlite3"
            fill(path)
            into.append(measure(path))
            path.unlink()
    speed = min(bound) / min(ours)
    print(
        f"\nengine, engagement and hashtags: {POSTS / min(ours):.0f} posts/s against "
        f"{POSTS / min(bound):.0f} by hand: ratio {speed:.2f}"
    )
    assert speed >= 0.5
