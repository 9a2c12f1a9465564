"""Windowed analyses on Flink write the records of the local engine, also when something fails."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mastostream import Account, Deletion, Post, Stamp, encode
from mastostream.core.models import Event
from mastostream.core.topic_names import DEAD_LETTERS, ENGAGEMENT, LATE, STREAM
from mastostream.log.kafka import KafkaClientConfig, KafkaLogReader, KafkaLogWriter, ensure_topics
from mastostream.ports.log import NewRecord, Record
from mastostream.services import KafkaServer
from mastostream.testing.conformance.log import new_prefix, new_topic, read_all

from .flink_inputs import history

pytestmark = pytest.mark.campaign
BIN = Path(sys.executable).parent
START = datetime(2026, 9, 1, tzinfo=UTC)
OUTPUTS = ("tens", "minutes", ENGAGEMENT, LATE, DEAD_LETTERS)
OWN = """
import os
from pathlib import Path

from mastostream import Aggregate, Analysis

READ = Path({folder!r}, "read")
DIED = Path({folder!r}, "died")

def value(post):
    if post.favourites_count % 50 == 49:
        raise ValueError("a mistake of the user's")
    return (post.key, post.language)

def result(window, values):
    if window.start.second == 30:
        raise ValueError("not this one")
    kept = [list(value) for value in values]
    return [{{"key": window.key, "values": kept}}, {{"key": window.key + "-", "posts": len(kept)}}]

def mortal(post):
    with READ.open("a") as read:
        print(post.key, file=read)
    if post.key == "deadly" and not DIED.exists():
        DIED.touch()
        os._exit(1)

def count(window, values):
    return {{"key": window.key, "posts": len(values)}}

PER_10_S = Aggregate(value=value, result=result, size_s=10)
TENS = Analysis(name="tens", topic="tens", aggregate=PER_10_S)
MINUTES = Analysis(name="minutes", topic="minutes", aggregate=Aggregate(value=mortal, result=count))
"""

Records = dict[str, Counter[tuple[object, ...]]]


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


def post(key: str, seconds: float, event: Event = "new", favourites: int = 0) -> NewRecord:
    stamp = Stamp(key=key, event=event, observed_at=START)
    status = Post(
        id=key,
        created_at=START + timedelta(seconds=seconds),
        account=Account(acct="a"),
        language="en",
        favourites_count=favourites,
        mastostream=stamp,
    )
    return NewRecord(STREAM, key, encode(status))


def posts(chance: random.Random) -> list[NewRecord]:
    """Return posts out of order, some repeated, edited or late; deletions, and bad values."""
    records = []
    for number in range(800):
        seconds = number / 2 - chance.random() * 25
        records.append(post(f"p{number}", seconds, favourites=number))
        known, known_s = f"p{chance.randrange(number + 1)}", number / 2
        match chance.randrange(12):
            case 0:
                records.append(records[-1])
            case 1:
                records.append(post(known, known_s, "edit"))
            case 2:
                records.append(post(f"u{number}", known_s - 200, "refresh"))
            case 3:
                stamp = Stamp(key=known, event="delete", observed_at=START)
                records.append(
                    NewRecord(STREAM, known, encode(Deletion(id="1", mastostream=stamp)))
                )
            case 4:
                records.append(post(f"late{number}", known_s - chance.randrange(40, 300)))
            case 5 if number > 750:  # its arrival becomes the event time of the stream
                records.append(post(f"ahead{number}", 10**9))
            case 6:
                records.append(NewRecord(STREAM, f"g{number}", b"\xffgarbage"))
            case _:
                pass
    return records


def send(place: KafkaClientConfig, records: Sequence[NewRecord]) -> None:
    with closing(KafkaLogWriter(place)) as writer:
        writer.append(records)


def command(*arguments: str) -> list[str | Path]:
    return [BIN / "mastostream", "analyze", "--log", "kafka", *arguments]


def environment_of(place: KafkaClientConfig, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MASTOSTREAM_KAFKA_SERVERS": place.servers,
        "MASTOSTREAM_KAFKA_TOPIC_PREFIX": place.topic_prefix,
        "MASTOSTREAM_KAFKA_PARTITIONS": str(place.partitions),
        "MASTOSTREAM_KAFKA_GROUP": new_topic(),
        "MASTOSTREAM_DATA": str(folder / "data"),
    }


def analyze(place: KafkaClientConfig, folder: Path, *arguments: str) -> Records:
    """Run analyses once; return the records that they add to each output."""
    before = written(place)
    done = subprocess.run(
        command("--once", *arguments),
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment_of(place, folder),
    )
    assert done.returncode == 0, done.stderr
    after = written(place)
    return {topic: after[topic] - before[topic] for topic in OUTPUTS}


def written(place: KafkaClientConfig) -> Records:
    """Return all records of each output, without the times at which they were written."""
    by_topic = {}
    for topic in OUTPUTS:
        with closing(KafkaLogReader(place, topic=topic, group=new_topic())) as reader:
            by_topic[topic] = Counter(map(comparable, read_all(reader)))
    return by_topic


def comparable(record: Record) -> tuple[object, ...]:
    value = record.value
    if record.topic == LATE:
        late = json.loads(value)
        del late["observed_at"]
        value = json.dumps(late).encode()
    headers = sorted((name, data) for name, data in record.headers if name != "time")
    return (record.key, value, tuple(headers))


def until(holds: Callable[[], object], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.5)


@pytest.mark.parametrize("place", [1, 3], indirect=True)
def test_flink_writes_what_the_local_engine_writes(
    place: KafkaClientConfig, folder: Path, real_statuses: Sequence[bytes]
) -> None:
    send(
        place,
        [*history(real_statuses, folder / "simulated"), *posts(random.Random(place.partitions))],
    )
    names = ["own:TENS", "own:MINUTES", *(["engagement"] if place.partitions > 1 else [])]
    chosen = [word for name in names for word in ("--analysis", name)]
    by_local = analyze(place, folder, "--close-windows", *chosen)
    by_flink = analyze(place, folder, "--engine", "flink", *chosen)
    for topic in ("tens", "minutes", ENGAGEMENT, LATE):
        assert by_flink[topic] == by_local[topic], topic
    # The local engine has one reader for each windowed analysis, and each writes dead letters.
    assert set(by_flink[DEAD_LETTERS]) == set(by_local[DEAD_LETTERS])
    assert by_flink[DEAD_LETTERS].most_common(1)[0][1] == 1
    reasons = {json.loads(value)["reason"] for _, value, _ in by_flink[LATE]}  # type: ignore[arg-type]
    assert reasons == {"late", "ahead"}
    assert by_flink["tens"].total() > 50
    assert (by_flink[ENGAGEMENT].total() > 0) == ("engagement" in names)


@contextmanager
def running(
    place: KafkaClientConfig, folder: Path, *arguments: str
) -> Iterator[Callable[[], object]]:
    """Run a job until the block ends. The block gets a function that says whether it still runs.

    Its Python functions run in processes of their own, as on a cluster, and not in the command's.
    """
    environment = {**environment_of(place, folder), "_python_worker_execution_mode": "process"}
    process = subprocess.Popen(command(*arguments), cwd=folder, env=environment)
    try:
        yield lambda: process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_a_job_that_dies_goes_on_from_its_checkpoint_and_silence_closes_its_windows(
    place: KafkaClientConfig, folder: Path
) -> None:
    """Records that were read before are not read again. They count in the open windows."""
    (folder / "mastostream.toml").write_text(
        f"""
        [windows]
        idle_timeout_s = 20
        [flink]
        checkpoint_s = 0.5
        parallelism = 1
        [flink.settings]
        "python.files" = "{folder / "own.py"}"
        "execution.checkpointing.dir" = "{(folder / "checkpoints").as_uri()}"
        """
    )
    send(place, [post(f"p{number}", number) for number in range(200)])
    with running(place, folder, "--engine", "flink", "--analysis", "own:MINUTES") as runs:

        def windows() -> int:
            assert runs()
            return written(place)["minutes"].total()

        def first_windows() -> bool:
            # A repeated post is not counted, and ends the silence.
            send(place, [post("p199", 199, "refresh")])
            return windows() >= 2

        until(first_windows)
        known = checkpoints(folder)
        until(lambda: len(checkpoints(folder) - known) > 0)
        send(place, [post("deadly", 150), *(post(f"q{number}", 150) for number in range(30))])
        until((folder / "died").exists)
        until(lambda: windows() >= 4)
        by_flink = written(place)["minutes"]
    read = Counter((folder / "read").read_text().split())
    assert read["p0"] == read["p100"] == 1
    assert read["deadly"] >= 2
    by_local = analyze(place, folder, "--close-windows", "--analysis", "own:MINUTES")
    assert set(by_flink) == set(by_local["minutes"])
    assert len(by_flink) == 4


def checkpoints(folder: Path) -> set[Path]:
    return set((folder / "checkpoints").glob("*/chk-*/_metadata"))
