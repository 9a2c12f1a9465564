"""Speed of the local engine from log to log, against a loop that does the same by hand."""

import re
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
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
    """Make a log of generated statuses."""
    writer = SqliteLogWriter(path)
    batch: list[NewRecord] = []
    for number, status in enumerate(generate_statuses(POSTS), 1):
        batch.append(NewRecord(INPUT, str(number), status))
        if len(batch) == BATCH:
            writer.append(batch)
            batch = []
    writer.close()


def engine_s(path: Path) -> float:
    """Return the time that the engine takes."""
    log = SqliteEngineLog(path, topic=INPUT)
    engine = LocalEngine(log, built_in("stream", "full"), clock=SystemClock())
    began = time.perf_counter()
    while engine.step(0.0):
        pass
    elapsed = time.perf_counter() - began
    assert (engine.stats.posts, engine.stats.outputs) == (POSTS, 2 * POSTS)
    engine.close()
    return elapsed


@lru_cache(maxsize=10_000)
def normalized(tag: str) -> str:
    """Return the normalised tag: lower case, Latin letters without diacritics."""
    text = unicodedata.normalize("NFKC", tag).lower()
    return "".join(
        unicodedata.normalize("NFD", letter)[0] if letter < "\u017f" else letter for letter in text
    )


def bare_s(path: Path) -> float:
    """Return the time that a loop takes with two records per post, offsets and transactions."""
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
            counts = {normalized(tag["name"]): 0 for tag in status["tags"]}
            for use in re.findall(r"#(\w+)", re.sub(r"<[^>]*>", "", status["content"])):
                if (tag := normalized(use)) in counts:
                    counts[tag] += 1
            account = status["account"]
            name = f"{account['acct'].partition('@')[0]}@{status['uri'].split('/')[2]}".lower()
            score = (
                status["favourites_count"]
                + 2 * status["reblogs_count"]
                + 3 * status["replies_count"]
                + 2 * status["quotes_count"]
            )
            key = status["id"]
            engagement = {
                "key": key,
                "observed_at": status["edited_at"] or status["created_at"],
                "id": key,
                "uri": status["uri"],
                "url": status["url"],
                "instance": "",
                "account": name,
                "display_name": account["display_name"],
                "bot": account["bot"],
                "language": status["language"],
                "created_at": status["created_at"],
                "edited_at": status["edited_at"],
                "content": status["content"],
                "engagement_score": score,
                "favourites_count": status["favourites_count"],
                "reblogs_count": status["reblogs_count"],
                "replies_count": status["replies_count"],
                "quotes_count": status["quotes_count"],
            }
            hashtags = {
                "key": key,
                "observed_at": status["edited_at"] or status["created_at"],
                "id": key,
                "instance": "",
                "account": name,
                "language": status["language"],
                "created_at": status["created_at"],
                "hashtags": list(counts),
                "hashtag_counts": [count or 1 for count in counts.values()],
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


def records(path: Path, query: str) -> Iterator[dict[str, object]]:
    """Yield the written records with parsed times, since both format times differently."""
    connection = sqlite3.connect(path)
    for (value,) in connection.execute(query):
        record = orjson.loads(value)
        for name in ("observed_at", "created_at", "edited_at"):
            if record.get(name):
                record[name] = datetime.fromisoformat(record[name])
        yield record
    connection.close()


def test_engine_log_to_log(tmp_path: Path) -> None:
    ours: list[float] = []
    bound: list[float] = []
    paths = {}
    measures: tuple[tuple[Callable[[Path], float], list[float]], ...]
    measures = ((engine_s, ours), (bare_s, bound))
    for number in range(ROUNDS):
        for measure, times in measures:
            path = tmp_path / f"{measure.__name__}-{number}.sqlite3"
            fill(path)
            times.append(measure(path))
            paths[measure] = path
    for topic in ("mastodon-engagement", "mastodon-hashtags"):
        by_engine = list(records(paths[engine_s], f"SELECT value FROM log WHERE topic = '{topic}'"))
        by_hand = list(records(paths[bare_s], f"SELECT value FROM outputs WHERE topic = '{topic}'"))
        assert by_engine == by_hand
    speed = min(bound) / min(ours)
    print(
        f"\nengine, engagement and hashtags: {POSTS / min(ours):.0f} posts/s against "
        f"{POSTS / min(bound):.0f} by hand: ratio {speed:.2f}"
    )
    assert speed >= 0.5
