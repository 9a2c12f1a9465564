"""Windows take the same time for each post, however many they have, also if some come late."""

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from mastostream.core.analyses import built_in
from mastostream.engines.local import LocalEngine
from mastostream.log.sqlite import SqliteEngineLog, SqliteLogWriter
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import NewRecord
from mastostream.testing.simulator import generate_statuses

FEW = 1_000
MANY = 300_000
MEASURED = 30_000
POSTS_PER_S = 500.0
LATE_EACH = 1_000
ROUNDS = 2
MOST = 1.5
ANALYSES = (*built_in("sql", "count"), *built_in("sql", "dashboard"))


def posts(before: int, *, late: bool) -> Iterator[NewRecord]:
    """Yield ``before`` posts and those that are measured; with ``late`` some are held back."""
    held: list[NewRecord] = []
    statuses = generate_statuses(before + MEASURED, posts_per_s=POSTS_PER_S)
    for number, status in enumerate(statuses):
        record = NewRecord("Mastodon_stream", str(number), status)
        if late and number < before and number % LATE_EACH == 0:
            held.append(record)
            continue
        yield record
        if number >= before and number % LATE_EACH == 0 and held:
            yield held.pop(number % len(held))


def append(path: Path, records: Iterator[NewRecord], count: int | None) -> None:
    with closing(SqliteLogWriter(path)) as writer:
        chosen = islice(records, count)
        while batch := list(islice(chosen, 1_000)):
            writer.append(batch)


def seconds_a_post(path: Path, before: int, *, late: bool) -> float:
    records = posts(before, late=late)
    append(path, records, before - (before // LATE_EACH if late else 0))
    log = SqliteEngineLog(path, topic="Mastodon_stream")
    engine = LocalEngine(log, ANALYSES, clock=SystemClock())
    while engine.step(0.0):
        pass
    append(path, records, None)
    done = engine.stats.posts
    began = time.perf_counter()
    while engine.step(0.0):
        pass
    elapsed = time.perf_counter() - began
    done = engine.stats.posts - done
    assert done >= MEASURED
    assert engine.stats.late == 0
    engine.close()
    return elapsed / done


def test_a_post_takes_the_same_time_however_many_there_are(tmp_path: Path) -> None:
    kinds = {
        "few posts": (FEW, False),
        "many posts": (MANY, False),
        "many posts, one in a thousand late": (MANY, True),
    }
    best = dict.fromkeys(kinds, float("inf"))
    for number in range(ROUNDS):
        for name, (before, late) in kinds.items():
            path = tmp_path / f"{number}-{before}-{late}.sqlite3"
            best[name] = min(best[name], seconds_a_post(path, before, late=late))
            path.unlink()
    bound = best.pop("few posts")
    print(f"\nwindows, {FEW} posts in them: {1 / bound:.0f} posts/s; of the time for a post then:")
    for name, each in best.items():
        print(f"  {MANY} posts in them, {name}: {each / bound:.2f}")
    assert max(best.values()) <= MOST * bound
