"""Speed of the local engine from Kafka to Kafka: against a loop by hand and other frameworks.

Broker, engine and clients share the machine. So each speed is printed with the processor
microseconds per post, by what used them. Two processes are faster only where cores are free.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import uv
from confluent_kafka import Consumer, KafkaError
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]  # not declared

from mastostream.services import KafkaServer, free_port

from .contenders.delays import RATE_PER_S, delays_ms
from .contenders.running import (
    ENGAGEMENT,
    HASHTAGS,
    INPUT,
    PARTITIONS,
    WARM_UP,
    Bench,
    Contender,
    Speed,
    Statuses,
    make_topics,
    processes_of,
    run,
    wait_until_ready,
)

pytestmark = pytest.mark.timeout(1800)

POSTS = int(os.environ.get("MASTOSTREAM_BENCH_POSTS", "150000"))
ROUNDS = 3
ROUNDS_OF_OTHERS = 2
LEAST_OF_BY_HAND = 0.75
LEAST_OF_ONE_PROCESS = 1.6
NEARLY_ALL_CORES = 0.85
EACH_NTH = 500
BOUND_MEDIAN_MS, BOUND_P99_MS = 10, 30

NEEDED = ("attrs", "msgspec", "confluent-kafka")
HERE = Path(__file__).parent / "contenders"
BIN = Path(sys.executable).parent
ARGUMENTS = ("{servers}", INPUT, "{group}", ENGAGEMENT, HASHTAGS)
FLOW = f'by_bytewax:flow("{{servers}}", "{INPUT}", "{ENGAGEMENT}", "{HASHTAGS}")'


def ours(processes: int) -> Contender:
    """The local engine as users run it."""
    command = (BIN / "mastostream", "analyze", "--log", "kafka", "--analysis", "full", "--data")
    return Contender(
        name=f"mastostream x {processes}",
        commands=[(*command, f"data-{number}") for number in range(processes)],
        environment={
            "MASTOSTREAM_KAFKA_SERVERS": "{servers}",
            "MASTOSTREAM_KAFKA_GROUP": "{group}",
        },
    )


def by_hand(processes: int) -> Contender:
    command = (sys.executable, HERE / "by_confluent_kafka.py", *ARGUMENTS)
    return Contender(name=f"by hand x {processes}", commands=[command] * processes)


def by_quix(python: Path, processes: int) -> Contender:
    command = (python, HERE / "by_quix.py", *ARGUMENTS)
    return Contender(name=f"Quix Streams x {processes}", commands=[command] * processes)


def by_bytewax(python: Path, processes: int) -> Contender:
    command = (python, "-m", "bytewax.run", FLOW)
    ports: list[int] = []
    for _ in range(processes):
        ports.append(free_port(tuple(ports)))
    addresses = ";".join(f"127.0.0.1:{port}" for port in ports)
    commands = [(*command, "-i", str(n), "-a", addresses) for n in range(processes)]
    return Contender(
        name=f"Bytewax x {processes}",
        commands=commands if processes > 1 else [command],
        environment={"PYTHONPATH": str(HERE)},
        grouped=False,
    )


def by_pathway(python: Path, processes: int) -> Contender:
    command = (python, HERE / "by_pathway.py", *ARGUMENTS)
    spawn = (python.with_name("pathway"), "spawn", "--processes", str(processes))
    return Contender(
        name=f"Pathway x {processes}",
        commands=[
            (*spawn, "--first-port", str(free_port()), *command) if processes > 1 else command
        ],
        grouped=False,
    )


OTHERS: Mapping[str, tuple[str, Callable[[Path, int], Contender]]] = {
    "bytewax": ("bytewax>=0.21,<0.22", by_bytewax),
    "quixstreams": ("quixstreams>=3,<4", by_quix),
    "pathway": ("pathway>=0.30,<0.40", by_pathway),
}


@pytest.fixture(scope="module")
def bench(kafka_server: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A broker that has run for a while, since its first posts cost five times as much."""
    pid = kafka_server.servers[0].pid
    assert pid is not None
    folder = tmp_path_factory.mktemp("kafka")
    bench = Bench(kafka_server.address, pid, Statuses(), folder)
    for _ in range(2):
        run(bench, by_hand(1), POSTS)
    return bench


@pytest.fixture(scope="module")
def speeds(bench: Bench) -> Mapping[str, Speed]:
    """The best speed of each contender in several rounds; contenders take turns."""
    contenders = (ours(1), by_hand(1), ours(2), by_hand(2))
    written: dict[str, Outputs] = {}
    best = best_speeds(bench, contenders, ROUNDS, written)
    assert written[ours(1).name] == written[by_hand(1).name], "they do not do the same"
    return best


Outputs = Mapping[str, Mapping[str, Any]]


def best_speeds(
    bench: Bench,
    contenders: Sequence[Contender],
    rounds: int,
    written: dict[str, Outputs] | None = None,
) -> dict[str, Speed]:
    """Run the contenders in turn, print and return their best speeds.

    The records of their first runs are put into ``written``.
    """
    speeds_of: dict[str, list[Speed]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            speeds_of[contender.name].append(run(bench, contender, POSTS))
            if number == 0 and written is not None:
                written[contender.name] = outputs(bench.servers)
    best = {
        name: max(speeds, key=lambda speed: speed.posts_per_s) for name, speeds in speeds_of.items()
    }
    print(f"\nload {os.getloadavg()[0]:.1f}; {POSTS} posts, best of {rounds}:")
    for name, speed in best.items():
        print(f"kafka, {name}: {speed}")
    return best


def outputs(servers: str) -> Outputs:
    """Return every ``EACH_NTH`` record by topic and key, with parsed times; check the count."""
    settings = {"bootstrap.servers": servers, "group.id": uuid4().hex, "enable.partition.eof": True}
    samples: dict[str, dict[str, Any]] = {}
    for topic in (ENGAGEMENT, HASHTAGS):
        consumer = Consumer(settings | {"auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        keys: set[bytes] = set()
        open_partitions = PARTITIONS
        while open_partitions:
            for message in consumer.consume(10_000, 1.0):
                if (error := message.error()) is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    open_partitions -= 1
                    continue
                key, value = message.key(), message.value()
                assert isinstance(key, bytes)
                assert value is not None
                keys.add(key)
                if int(key) % EACH_NTH == 0:
                    samples.setdefault(topic, {})[key.decode()] = with_times(value)
        consumer.close()
        assert len(keys) == WARM_UP + POSTS, "some posts are missing"
    return samples


def with_times(value: bytes) -> dict[str, Any]:
    record: dict[str, Any] = msgspec.json.decode(value)
    for name in ("observed_at", "created_at", "edited_at"):
        if record.get(name):
            record[name] = datetime.fromisoformat(record[name])
    return record


def test_one_process_against_the_loop_by_hand(speeds: Mapping[str, Speed]) -> None:
    ratio = speeds[ours(1).name].posts_per_s / speeds[by_hand(1).name].posts_per_s
    print(f"\nkafka, one process against by hand: ratio {ratio:.2f}")
    assert ratio >= LEAST_OF_BY_HAND


def test_two_processes_against_one(speeds: Mapping[str, Speed]) -> None:
    """Two processes are 1.6 times as fast, or use nearly all cores that one process leaves free."""
    ratio, other = (
        speeds[contender(2).name].posts_per_s / speeds[contender(1).name].posts_per_s
        for contender in (ours, by_hand)
    )
    room = (os.cpu_count() or 1) / speeds[ours(1).name].busy
    print(
        f"\nkafka, two processes against one: ratio {ratio:.2f} (by hand {other:.2f}; the cores "
        f"leave room for {room:.2f})"
    )
    assert ratio >= min(LEAST_OF_ONE_PROCESS, NEARLY_ALL_CORES * room)


@pytest.fixture(params=sorted(OTHERS))
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], Contender]:
    """Another framework, in an environment of its own."""
    requirement, contender = OTHERS[request.param]
    uv_bin = uv.find_uv_bin()
    python = tmp_path / "venv" / "bin" / "python"
    for command in (
        (uv_bin, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"),
        (uv_bin, "pip", "install", "--quiet", "--python", python, requirement, *NEEDED),
        (python, "-c", f"import {request.param}"),
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"{requirement} does not run here: {done.stderr.strip()[-500:]}")
    return lambda processes: contender(python, processes)


def test_beside_another_framework(bench: Bench, other: Callable[[int], Contender]) -> None:
    contenders = (ours(1), other(1), ours(2), other(2))
    best = best_speeds(bench, contenders, ROUNDS_OF_OTHERS)
    ratios = []
    for processes in (1, 2):
        us, them = (best[contender(processes).name].posts_per_s for contender in (ours, other))
        ratios.append(us / them)
        print(f"kafka, beside {other(processes).name}: ratio {us / them:.2f}")
    assert min(ratios) > 1


def test_the_delay_from_produce_to_the_output(bench: Bench) -> None:
    group = f"bench-{uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": bench.servers, "log_level": 2})
    make_topics(admin)
    with processes_of(ours(1), bench, group) as processes:
        wait_until_ready(admin, processes, group, records=0)
        middle, p99 = delays_ms(bench)
    print(
        f"\nload {os.getloadavg()[0]:.1f}; kafka, from produce to the output at {RATE_PER_S} "
        f"posts/s: median {middle:.1f} ms (bound {BOUND_MEDIAN_MS}), p99 {p99:.1f} ms "
        f"(bound {BOUND_P99_MS})"
    )
