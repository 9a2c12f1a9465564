"""Windowed analyses on Flink: the newest record of each window equals a recount of the log."""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.engines.window_recount import late_posts, newest, newest_records, why_not

from mastostream import Account, Analysis, Deletion, Post, Stamp, encode
from mastostream.core.codec import decode
from mastostream.core.models import Event, Rejected
from mastostream.core.topic_names import DEAD_LETTERS, ENGAGEMENT, LATE, STREAM
from mastostream.log.kafka import KafkaClientConfig, KafkaLogReader, KafkaLogWriter, ensure_topics
from mastostream.ports.log import NewRecord, Record
from mastostream.services import FlinkCluster, KafkaServer
from mastostream.testing.conformance.log import new_prefix, new_topic, read_all

from .flink_inputs import history

pytestmark = pytest.mark.campaign
BIN = Path(sys.executable).parent
START = datetime(2026, 9, 1, tzinfo=UTC)
HORIZON_S = 7 * 86_400
OUTPUTS = ("tens", "hops", "minutes", ENGAGEMENT, LATE, DEAD_LETTERS)
OWN = """
import os
from pathlib import Path

from mastostream import Aggregate, Analysis

READ = Path({folder!r}, "read")
DIED = Path({folder!r}, "died")

def value(post):
    if post.favourites_count % 50 == 49:
        raise ValueError("a mistake of the user's")
    return [post.key, post.favourites_count, post.language]

def result(window, values):
    if window.start.second == 30:
        raise ValueError("not this one")
    return {{"key": window.key, "observed_at": window.observed_at, "values": values}}

def likes(post):
    return post.favourites_count

def watched(post):
    with READ.open("a") as read:
        print(post.key, file=read)
    if post.key == "deadly" and not DIED.exists():
        DIED.touch()
        os._exit(1)
    return likes(post)

def total(window, values):
    return {{
        "key": window.key,
        "observed_at": window.observed_at,
        "posts": len(values),
        "likes": sum(values),
    }}

PER_10_S = Aggregate(value=value, result=result, size_s=10)
TENS = Analysis(name="tens", topic="tens", aggregate=PER_10_S)
HOPS = Analysis(
    name="hops", topic="hops", aggregate=Aggregate(value=likes, result=total, size_s=60, slide_s=20)
)
PER_MINUTE = Aggregate(value=likes, result=total)
MINUTES = Analysis(name="minutes", topic="minutes", aggregate=PER_MINUTE)
WATCHED_PER_MINUTE = Aggregate(value=watched, result=total)
WATCHED = Analysis(name="minutes", topic="minutes", aggregate=WATCHED_PER_MINUTE)
"""


@pytest.fixture
def place(kafka_server: KafkaServer, request: pytest.FixtureRequest) -> KafkaClientConfig:
    """Topics that no other test uses."""
    partitions = getattr(request, "param", 1)
    return KafkaClientConfig(
        servers=kafka_server.address, partitions=partitions, topic_prefix=new_prefix()
    )


@pytest.fixture
def folder(place: KafkaClientConfig, tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN.format(folder=str(tmp_path)))
    ensure_topics(place, [STREAM, *OUTPUTS])
    return tmp_path


def own_analyses(folder: Path) -> Any:
    """Return the user's module, imported into this process."""
    spec = importlib.util.spec_from_file_location("own", folder / "own.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def post(
    key: str,
    seconds: float,
    observed_s: float | None = None,
    event: Event = "new",
    favourites: int = 0,
) -> NewRecord:
    """Return a post; times are seconds after ``START``. Without ``observed_s`` it has no stamp."""
    stamp = None
    if observed_s is not None:
        stamp = Stamp(key=key, event=event, observed_at=START + timedelta(seconds=observed_s))
    status = Post(
        id=key,
        created_at=START + timedelta(seconds=seconds),
        account=Account(acct="a"),
        language="en",
        favourites_count=favourites,
        mastostream=stamp,
    )
    return NewRecord(STREAM, key, encode(status))


def deletion(key: str, observed_s: float) -> NewRecord:
    observed_at = START + timedelta(seconds=observed_s)
    stamp = Stamp(key=key, event="delete", observed_at=observed_at)
    return NewRecord(STREAM, key, encode(Deletion(id="1", mastostream=stamp)))


def posts(chance: random.Random) -> list[NewRecord]:
    """Return posts, edits, deletions, what cannot be counted, and bad values, in any order."""
    records = []
    created_s: list[float] = []
    for number in range(800):
        seconds = number / 2 - chance.random() * 25
        created_s.append(seconds)
        records.append(post(f"p{number}", seconds, number / 2, favourites=number))
        if number % 2:
            other = chance.randrange(number)
            records += news(chance, f"p{other}", created_s[other], number)
    chance.shuffle(records)
    return records


def news(chance: random.Random, key: str, seconds: float, number: int) -> list[NewRecord]:
    """Return news of a post of this key, or what cannot be counted."""
    later_s = seconds + chance.randrange(600)
    return chance.choice(
        [
            [post(key, seconds, later_s, "edit", number)] * 2,
            [post(key, seconds - 7, later_s, "refresh", number)],
            [deletion(key, later_s)],
            [deletion(key, later_s), post(key, seconds, later_s + 1, "refresh", number)],
            [deletion(key, seconds + HORIZON_S + 1)],
            [post(key, seconds, seconds + HORIZON_S + 1, "refresh", number)],
            [post(f"late{number}", seconds, seconds + HORIZON_S + 1)],
            [post(f"ahead{number}", seconds, seconds - 3_601)],
            [post(f"future{number}", 10**9)],
            [NewRecord(STREAM, f"g{number}", b"\xffgarbage")],
        ]
    )


def send(place: KafkaClientConfig, records: Sequence[NewRecord]) -> None:
    with closing(KafkaLogWriter(place)) as writer:
        writer.append(records)


def read(place: KafkaClientConfig, topic: str) -> list[Record]:
    """Return all records of a topic."""
    with closing(KafkaLogReader(place, topic=topic, group=new_topic())) as reader:
        return list(read_all(reader))


def equal(place: KafkaClientConfig, analysis: Analysis) -> bool:
    """Whether the newest records of the windows equal a recount of the log."""
    assert analysis.topic is not None
    expected = newest_records(analysis, read(place, STREAM), HORIZON_S * 1000)
    return newest(read(place, analysis.topic)) == expected


def environment_of(place: KafkaClientConfig, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MASTOSTREAM_LOG": "kafka",
        "MASTOSTREAM_KAFKA_SERVERS": place.servers,
        "MASTOSTREAM_KAFKA_TOPIC_PREFIX": place.topic_prefix,
        "MASTOSTREAM_KAFKA_PARTITIONS": str(place.partitions),
        "MASTOSTREAM_KAFKA_GROUP": "own",
        "MASTOSTREAM_DATA": str(folder / "data"),
    }


def run(place: KafkaClientConfig, folder: Path, *arguments: str) -> str:
    """Run a command to its end; return what it prints."""
    done = subprocess.run(
        [BIN / "mastostream", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment_of(place, folder),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def until(holds: Callable[[], object], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.5)


@pytest.mark.parametrize("place", [1, 3], indirect=True)
def test_the_newest_records_equal_a_recount(
    place: KafkaClientConfig, folder: Path, real_statuses: Sequence[bytes]
) -> None:
    own = own_analyses(folder)
    send(
        place,
        [*history(real_statuses, folder / "simulated"), *posts(random.Random(place.partitions))],
    )
    names = ["own:TENS", "own:HOPS", *(["engagement"] if place.partitions > 1 else [])]
    chosen = [word for name in names for word in ("--analysis", name)]
    run(place, folder, "analyze", "--engine", "flink", "--once", *chosen)
    log = read(place, STREAM)
    for analysis in (own.TENS, own.HOPS):
        assert newest(read(place, analysis.topic)) == newest_records(
            analysis, log, HORIZON_S * 1000
        )
        windows = Counter(record.key for record in read(place, analysis.topic))
        assert len(windows) > 30
        assert set(windows.values()) == {1}
    late = [json.loads(record.value) for record in read(place, LATE)]
    told = {name: {(r["key"], r["reason"]) for r in late if r["analysis"] == name} for name in OWNS}
    assert told == dict.fromkeys(OWNS, late_posts(log, HORIZON_S * 1000))
    assert {reason for _, reason in told["tens"]} == {"late", "ahead"}
    letters = Counter(str(record.key) for record in read(place, DEAD_LETTERS))
    assert letters == failures(log, own)
    assert bool(read(place, ENGAGEMENT)) == ("engagement" in names)


OWNS = ("tens", "hops")


def failures(log: Sequence[Record], own: Any) -> Counter[str]:
    """Return the keys of the dead letters: of records, and of windows that ``result`` refuses."""
    found: Counter[str] = Counter()
    starts = set()
    for record in log:
        item = decode(record.value)
        origin = f"{STREAM}/{record.partition}/{record.offset}"
        if isinstance(item, Rejected):
            found[origin] += 1
        elif isinstance(item, Post) and why_not(item, record, HORIZON_S * 1000) is None:
            try:
                own.value(item)
            except ValueError:
                found[origin] += 1
                continue
            starts.add(int(item.created_at.timestamp() // 10) * 10)
    return found + Counter(f"tens/-1/{start * 1000}" for start in starts if start % 60 == 30)


@contextmanager
def running(place: KafkaClientConfig, folder: Path, *arguments: str) -> Iterator[None]:
    """Run a job until the block ends.

    Its Python functions run in processes of their own, as on a cluster, and not in the command's.
    """
    environment = {**environment_of(place, folder), "_python_worker_execution_mode": "process"}
    command = [BIN / "mastostream", "analyze", "--engine", "flink", *arguments]
    process = subprocess.Popen(command, cwd=folder, env=environment)
    try:
        yield
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


SETTINGS = """
[windows]
delay_s = 1
correct_every_s = 1
[flink]
target = "{target}"
checkpoint_s = 0.5
parallelism = {parallelism}
[flink.settings]
"python.files" = "{folder}/own.py"
"execution.checkpointing.dir" = "file://{folder}/checkpoints"
"""


def configure(folder: Path, target: str, *, parallelism: int) -> None:
    settings = SETTINGS.format(folder=folder, target=target, parallelism=parallelism)
    (folder / "mastostream.toml").write_text(settings)


def test_a_job_that_dies_goes_on_from_its_checkpoint(
    place: KafkaClientConfig, folder: Path
) -> None:
    """Records that were read before are not read again. They count in the windows."""
    own = own_analyses(folder)
    configure(folder, "local", parallelism=1)
    send(place, [post(f"p{number}", number, number) for number in range(200)])
    with running(place, folder, "--analysis", "own:WATCHED"):
        until(lambda: equal(place, own.MINUTES))
        known = newest_checkpoint(folder)
        until(lambda: newest_checkpoint(folder) > known + 1)  # the next may have begun before
        send(place, [post("deadly", 150, 201), post("p0", 0, 200, "refresh", favourites=7)])
        send(place, [post(f"q{number}", 150, 202) for number in range(30)])
        until((folder / "died").exists)
        until(lambda: equal(place, own.MINUTES))
        send(place, [deletion("p1", 300), post("p199", 199, 301, "edit", favourites=3)])
        until(lambda: equal(place, own.MINUTES))
    reads = Counter((folder / "read").read_text().split())
    assert reads["p1"] == reads["p100"] == 1
    assert reads["deadly"] >= 2


def newest_checkpoint(folder: Path) -> int:
    """Return the number of the newest checkpoint; 0 without one."""
    paths = (folder / "checkpoints").glob("*/chk-*/_metadata")
    return max((int(path.parent.name.removeprefix("chk-")) for path in paths), default=0)


@pytest.mark.parametrize("place", [3], indirect=True)
def test_a_savepoint_has_all_that_windows_need(
    place: KafkaClientConfig, folder: Path, flink_cluster: FlinkCluster
) -> None:
    """A job on a cluster stops, and goes on with more subtasks."""
    own = own_analyses(folder)

    def start(*arguments: str, parallelism: int) -> str:
        configure(folder, flink_cluster.address, parallelism=parallelism)
        command = ("analyze", "--engine", "flink", "--detached", "--json")
        shown = run(place, folder, *command, "--analysis", "own:WATCHED", *arguments)
        job: Mapping[str, str] = json.loads(shown.splitlines()[-1])
        return job["name"]

    send(place, [post(f"p{number}", number, number) for number in range(200)])
    name = start(parallelism=1)
    until(lambda: equal(place, own.MINUTES))
    savepoint = ("flink", "savepoint", name, "--stop")
    path = run(place, folder, *savepoint, "--folder", f"file://{folder}/savepoints").strip()
    send(place, [post(f"p{number}", number, 300, "refresh", number) for number in range(90, 100)])
    send(place, [deletion(f"p{number}", 300) for number in range(50, 70)])
    start("--from-savepoint", path, parallelism=2)
    until(lambda: equal(place, own.MINUTES))
    run(place, folder, "flink", "cancel", name)
    reads = Counter((folder / "read").read_text().split())
    assert reads["p0"] == reads["p60"] == 1
    assert reads["p99"] == 2
