"""Speed of Flink from Kafka to Kafka: the built-in job against a job by hand and against SQL alone.

Each contender reads a whole topic and ends. It runs on two sizes of the topic, and the difference
gives its steady speed without the start of Java. All contenders have the same parallelism.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from uuid import uuid4

import attrs
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]  # not declared

from mastostream.core.topic_names import COUNTS, LATE
from mastostream.services import KafkaServer, download
from mastostream.services.versions import FLINK_KAFKA_JAR

from .contenders.delays import RATE_PER_S, delays_ms
from .contenders.running import (
    ENGAGEMENT,
    HASHTAGS,
    INPUT,
    PATIENCE_S,
    Bench,
    Contender,
    Statuses,
    ends,
    make_topics,
    processes_of,
    send,
)

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(find_spec("pyflink") is None, reason="apache-flink is not installed"),
]

SIZES = tuple(map(int, os.environ.get("MASTOSTREAM_BENCH_SIZES", "200000,800000").split(",")))
PARALLELISM = int(os.environ.get("MASTOSTREAM_BENCH_PARALLELISM", "1"))
ROUNDS = int(os.environ.get("MASTOSTREAM_BENCH_ROUNDS", "2"))
LEAST_OF_BY_HAND, LEAST_OF_SQL = 2.5, 0.5
BOUND_MEDIAN_MS, BOUND_P99_MS = 50, 150
FIRST, WARM_UP_S = 400, 30
ENOUGH_S = 1_200
LOOK_EVERY_S = 0.05

FULL = ("--analysis", "full")
COUNT = ("--mode", "sql", "--analysis", "count")
OUTPUTS = (ENGAGEMENT, HASHTAGS, COUNTS, LATE)
CREATED = re.compile(rb'"created_at":"[^"]*"')
START_MS = 1_790_000_000_000
POSTS_A_WINDOW = 500
MOST_OF_PLAIN = 1.3

HERE = Path(__file__).parent / "contenders"
BIN = Path(sys.executable).parent


@attrs.frozen
class Choice:
    """Settings of the built-in job.

    Attributes:
        bundle_records: largest number of records that Flink passes to Python at once.
        bundle_ms: longest time that a record waits for its bundle, in milliseconds.
        parallelism: parallelism of the job.
    """

    bundle_records: int = 1_000
    bundle_ms: int = 10
    parallelism: int = PARALLELISM


CHOICES = (
    Choice(),
    *(Choice(parallelism=number) for number in (1, 2, 4) if number != PARALLELISM),
    *(Choice(bundle_records=number) for number in (100, 300, 3_000, 10_000)),
    *(Choice(bundle_ms=number) for number in (3, 30, 100)),
)


def ours(jar: Path, choice: Choice, *options: str) -> Contender:
    """The built-in job as users run it."""
    command = (BIN / "mastostream", "analyze", "--log", "kafka", "--engine", "flink")
    return Contender(
        name="mastostream",
        commands=[(*command, "--data", "data", *options)],
        environment={
            "MASTOSTREAM_KAFKA_SERVERS": "{servers}",
            "MASTOSTREAM_KAFKA_GROUP": "{group}",
            "MASTOSTREAM_FLINK_JAR": str(jar),
            "MASTOSTREAM_FLINK_PARALLELISM": str(choice.parallelism),
            "MASTOSTREAM_FLINK_BUNDLE_RECORDS": str(choice.bundle_records),
            "MASTOSTREAM_FLINK_BUNDLE_MS": str(choice.bundle_ms),
        },
    )


def script(name: str, file: str, jar: Path, outputs: Sequence[str], parallelism: int) -> Contender:
    arguments = ("{servers}", INPUT, "{group}", *outputs, jar.as_uri(), parallelism)
    return Contender(
        name=name,
        commands=[(sys.executable, HERE / file, *map(str, arguments))],
        # As the built-in job and a cluster have it; a mini cluster may use threads instead.
        environment={"_python_worker_execution_mode": "process"},
    )


@pytest.fixture(scope="module")
def jar() -> Path:
    return download(FLINK_KAFKA_JAR, "jar", lambda *_: None)


@pytest.fixture(scope="module")
def bench(kafka_server: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    pid = kafka_server.servers[0].pid
    assert pid is not None
    return Bench(kafka_server.address, pid, Statuses(), tmp_path_factory.mktemp("flink"))


def slopes(
    bench: Bench,
    contenders: Sequence[Contender],
    rounds: int,
    check: Callable[[AdminClient, int], None],
    make: Callable[[Statuses, int, int], Iterator[tuple[str, bytes]]] = Statuses.take,
) -> Mapping[str, float]:
    """Return the steady posts per second of each contender, from the best times of two sizes.

    Args:
        bench: the broker and the statuses.
        contenders: jobs that read the whole input and end.
        rounds: number of runs at each size.
        check: asserts that a job has done its work; gets the number of posts.
        make: returns statuses for the input; gets all statuses, a first number and a count.
    """
    admin = AdminClient({"bootstrap.servers": bench.servers, "log_level": 2})
    make_topics(admin)
    best_s: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    sent_posts = 0
    for size in SIZES:
        size_bytes = fill(bench, make(bench.statuses, sent_posts, size - sent_posts))
        sent_posts = size
        for contender in contenders:
            times = [seconds(bench, admin, contender, size, check) for _ in range(rounds)]
            best_s[contender.name].append(min(times))
            texts = ", ".join(f"{t:.1f} s" for t in times)
            print(f"  {contender.name}, {size} of {size_bytes} bytes: {texts}")
    speeds = {}
    for name, (less_s, more_s) in best_s.items():
        speeds[name] = (SIZES[1] - SIZES[0]) / max(more_s - less_s, 1e-3)
        start_s = less_s - SIZES[0] / speeds[name]
        print(f"flink, {name}: {speeds[name]:.0f} posts/s, and {start_s:.1f} s to start and end")
    return speeds


def fill(bench: Bench, statuses: Iterator[tuple[str, bytes]]) -> int:
    """Add statuses to the input; return the average size in bytes of the first ones."""
    settings = {"bootstrap.servers": bench.servers, "compression.type": "lz4", "linger.ms": 20}
    producer = Producer(settings)
    sample = list(islice(statuses, 1_000))
    send(producer, chain(sample, statuses))
    producer.flush(PATIENCE_S)
    return round(sum(len(status) for _, status in sample) / len(sample))


def seconds(
    bench: Bench,
    admin: AdminClient,
    contender: Contender,
    posts: int,
    check: Callable[[AdminClient, int], None],
) -> float:
    """Return the seconds from the start of a contender's process until its end."""
    make_topics(admin, OUTPUTS)
    began_s = time.monotonic()
    with processes_of(contender, bench, f"bench-{uuid4().hex[:12]}") as (process,):
        process.wait(ENOUGH_S)
        took_s = time.monotonic() - began_s
    assert process.returncode == 0, (bench.folder / "contender.log").read_text()[-4_000:]
    check(admin, posts)
    return took_s


def both_records_of_each(admin: AdminClient, posts: int) -> None:
    assert [ends(admin, [topic]) for topic in (ENGAGEMENT, HASHTAGS)] == [posts, posts]


def all_windows(admin: AdminClient, posts: int) -> None:
    """Check that there is a record for each window, or more than one, and no late record."""
    assert ends(admin, [COUNTS]) >= posts // POSTS_A_WINDOW
    assert ends(admin, [LATE]) == 0


def rising(statuses: Statuses, first: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield statuses with ascending creation times, so that windows close all the time."""
    for key, status in statuses.take(first, count):
        time_ms = START_MS + int(key) * 10_000 // POSTS_A_WINDOW
        written = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
        created = b'"created_at":"%bZ"' % written.removesuffix("+00:00").encode()
        yield key, CREATED.sub(created, status, count=1)


def delays(bench: Bench, contender: Contender) -> tuple[float, float]:
    """Return the median and the 99th percentile of the delays of a warm job, in milliseconds."""
    admin = AdminClient({"bootstrap.servers": bench.servers, "log_level": 2})
    make_topics(admin)
    fill(bench, bench.statuses.take(0, FIRST))
    with processes_of(contender, bench, f"bench-{uuid4().hex[:12]}") as processes:
        until_there(admin, processes)
        return delays_ms(bench, FIRST, WARM_UP_S)


def until_there(admin: AdminClient, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while ends(admin) < 2 * FIRST:
        assert all(process.poll() is None for process in processes), "it has ended"
        assert time.monotonic() < deadline_s, "it does not begin"
        time.sleep(LOOK_EVERY_S)


def describe(choice: Choice) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in attrs.asdict(choice).items())
    return f"load {os.getloadavg()[0]:.1f}; {settings}"


def test_the_built_in_job_against_others(bench: Bench, jar: Path) -> None:
    us = ours(jar, Choice(), *FULL, "--once")
    by_hand = script("by hand", "flink_by_hand.py", jar, (ENGAGEMENT, HASHTAGS), PARALLELISM)
    by_sql = script("SQL", "flink_sql.py", jar, (ENGAGEMENT, HASHTAGS), PARALLELISM)
    print(f"\n{describe(Choice())}, for all; best of {ROUNDS}:")
    speeds = slopes(bench, (us, by_hand, by_sql), ROUNDS, both_records_of_each)
    of_by_hand, of_sql = (speeds[us.name] / speeds[job.name] for job in (by_hand, by_sql))
    print(f"flink, against by hand: ratio {of_by_hand:.2f}; against SQL: ratio {of_sql:.2f}")
    assert of_by_hand >= LEAST_OF_BY_HAND
    assert of_sql >= LEAST_OF_SQL


@pytest.mark.parametrize("parallelism", [1, 2])
def test_counting_each_post_once_against_counting(
    bench: Bench, jar: Path, parallelism: int
) -> None:
    choice = Choice(parallelism=parallelism)
    us = ours(jar, choice, *COUNT, "--once")
    plain = script("plain count", "flink_plain_count.py", jar, [COUNTS], parallelism)
    print(f"\n{describe(choice)}, for both; best of {ROUNDS}:")
    speeds = slopes(bench, (us, plain), ROUNDS, all_windows, rising)
    ratio = speeds[plain.name] / speeds[us.name]
    print(f"flink, count against plain count: {ratio:.2f} of its time (bound {MOST_OF_PLAIN})")
    if parallelism == 1:  # the default
        assert ratio <= MOST_OF_PLAIN


def test_the_delay_from_produce_to_the_output(bench: Bench, jar: Path) -> None:
    middle, p99 = delays(bench, ours(jar, Choice(), *FULL))
    print(
        f"\n{describe(Choice())}; flink, from produce to the output at {RATE_PER_S} posts/s: "
        f"median {middle:.1f} ms (bound {BOUND_MEDIAN_MS}), p99 {p99:.1f} ms (bound {BOUND_P99_MS})"
    )
    assert middle < BOUND_MEDIAN_MS
    assert p99 < BOUND_P99_MS


@pytest.mark.skipif("MASTOSTREAM_BENCH_EXPLORE" not in os.environ, reason="to choose defaults by")
@pytest.mark.parametrize(
    "choice", CHOICES, ids=lambda choice: "-".join(map(str, attrs.astuple(choice)))
)
def test_what_other_settings_give(bench: Bench, jar: Path, choice: Choice) -> None:
    """Print the numbers, to choose the defaults by; nothing is asserted."""
    print(f"\n{describe(choice)}:")
    slopes(bench, [ours(jar, choice, *FULL, "--once")], 1, both_records_of_each)
    middle, p99 = delays(bench, ours(jar, choice, *FULL))
    print(f"flink, delay at {RATE_PER_S} posts/s: median {middle:.1f} ms, p99 {p99:.1f} ms")
