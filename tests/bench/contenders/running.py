"""One run: fresh topics, processes that are ready, input that all becomes visible at once, ends."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from uuid import uuid4

import attrs
from confluent_kafka import ConsumerGroupState, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, not declared
    AdminClient,
    NewTopic,
    OffsetSpec,
)

from mastostream.testing.simulator import generate_statuses

INPUT, ENGAGEMENT, HASHTAGS = TOPICS = (
    "Mastodon_stream",
    "mastodon-engagement",
    "mastodon-hashtags",
)
PARTITIONS = 4
WARM_UP = 400
DIFFERENT = 20_000
PATIENCE_S = 120
LOOK_EVERY_S = 0.05
NEARLY_ALL = 0.95
QUIET_CORES, QUIET_PATIENCE_S = 0.25, 60
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Command = Sequence[str | Path]


@attrs.frozen
class Contender:
    """Who does the work.

    Attributes:
        name: for people.
        commands: one a process; ``{servers}`` and ``{group}`` are filled in.
        environment: the same.
        grouped: whether its processes are members of a consumer group.
    """

    name: str
    commands: Sequence[Command]
    environment: Mapping[str, str] = attrs.field(factory=dict)
    grouped: bool = True


@attrs.frozen
class Moment:
    """How far it was, and what it had cost.

    Attributes:
        posts: whose records are there; half of one if one of two is.
        cpu_s: ``python``, ``client`` (the threads of Kafka's client), ``broker`` and ``all`` that
            the machine did.
    """

    at_s: float
    posts: float
    cpu_s: Mapping[str, float]


@attrs.frozen
class Speed:
    """What one run gave.

    Attributes:
        posts_per_s: from the moment when the input was there until nineteen twentieths were done.
        cpu_us: microseconds of the processor a post, by what they were spent on.
        busy: cores in use, of the whole machine.
        others: cores that somebody else used meanwhile.
    """

    posts_per_s: float
    cpu_us: Mapping[str, float]
    busy: float
    others: float

    def __str__(self) -> str:
        spent = " + ".join(f"{name} {us:.1f}" for name, us in self.cpu_us.items())
        return (
            f"{self.posts_per_s:.0f} posts/s; us a post: {spent}; cores busy: {self.busy:.2f}, "
            f"of them {self.others:.2f} by others"
        )


@attrs.frozen
class Bench:
    """What all runs have in common.

    Attributes:
        servers: Kafka's address.
        broker: its process id.
        statuses: the input.
        folder: where contenders run; what they say is in ``contender.log``.
    """

    servers: str
    broker: int
    statuses: "Statuses"
    folder: Path


class Statuses:
    """Generated statuses, some of them different, under as many ids as wanted."""

    def __init__(self) -> None:
        self._rests = [each.partition(b",")[2] for each in generate_statuses(DIFFERENT)]

    def take(self, first: int, count: int) -> Iterator[tuple[str, bytes]]:
        """Yield ids from this one on, each with its status."""
        start = first % DIFFERENT
        rests = islice(cycle(self._rests), start, start + count)
        for number, rest in enumerate(rests, first):
            yield str(number), b'{"id":"%d",%b' % (number, rest)


def run(bench: Bench, contender: Contender, posts: int) -> Speed:
    """Let it process this many posts; its records stay in their topics until the next run.

    The input is in Kafka before, in a transaction: once all processes are ready, and have done
    some posts, and the machine is quiet, the commit shows all of it at once.
    """
    admin = AdminClient({"bootstrap.servers": bench.servers, "log_level": 2})
    group = f"bench-{uuid4().hex[:12]}"
    make_topics(admin)
    producer = Producer(
        {
            "bootstrap.servers": bench.servers,
            "compression.type": "lz4",
            "transactional.id": group,
            "log_level": 2,  # that its coordinator has just begun is no news
            "transaction.timeout.ms": 5 * PATIENCE_S * 1000,
        }
    )
    producer.init_transactions(PATIENCE_S)
    _produce(producer, bench.statuses.take(0, WARM_UP))
    producer.commit_transaction(PATIENCE_S)
    _produce(producer, bench.statuses.take(WARM_UP, posts))
    producer.flush(PATIENCE_S)
    with processes_of(contender, bench, group) as processes:
        wait_until_ready(admin, processes, group if contender.grouped else None)
        pids = [bench.broker, *(each for process in processes for each in _family(process.pid))]
        _wait_until_quiet()
        first = Moment(time.monotonic(), 0, _cpu_s(pids))
        producer.commit_transaction(PATIENCE_S)
        last = _watch(admin, processes, pids, posts)
    return _speed(first, last)


def ends(admin: AdminClient, topics: Sequence[str] = (ENGAGEMENT, HASHTAGS)) -> int:
    """How many offsets these topics have in all."""
    here = [TopicPartition(topic, each) for topic in topics for each in range(PARTITIONS)]
    answers = admin.list_offsets(dict.fromkeys(here, OffsetSpec.latest()))  # type: ignore[no-untyped-call]
    return sum(answer.result(PATIENCE_S).offset for answer in answers.values())


def make_topics(admin: AdminClient, topics: Sequence[str] = TOPICS) -> None:
    """Make these anew."""
    there = [topic for topic in admin.list_topics(timeout=PATIENCE_S).topics if topic in topics]
    for future in admin.delete_topics(there).values() if there else ():
        future.result(PATIENCE_S)
    new = [NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1) for topic in topics]
    for future in admin.create_topics(new).values():
        future.result(PATIENCE_S)
    deadline_s = time.monotonic() + PATIENCE_S
    while True:  # the broker knows them a moment later
        try:
            ends(admin, topics)
        except KafkaException:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(LOOK_EVERY_S)
            admin.list_topics(timeout=PATIENCE_S)  # else it may ask for the topic that was deleted
        else:
            return


def _produce(producer: Producer, statuses: Iterator[tuple[str, bytes]]) -> None:
    """In one transaction, which is left open."""
    producer.begin_transaction()
    send(producer, statuses)


def send(producer: Producer, statuses: Iterator[tuple[str, bytes]]) -> None:
    """Hand them over for the input, evenly to all partitions; nothing is flushed."""
    for number, (key, status) in enumerate(statuses):
        while True:
            try:
                producer.produce(INPUT, status, key, partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)


@contextmanager
def processes_of(
    contender: Contender, bench: Bench, group: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start them, each in a session of its own, and end them with what they started."""
    known = {"servers": bench.servers, "group": group}
    environment = os.environ | {
        name: value.format_map(known) for name, value in contender.environment.items()
    }
    with ExitStack() as stack:
        processes = []
        for command in contender.commands:
            log = stack.enter_context((bench.folder / "contender.log").open("ab"))
            process = subprocess.Popen(
                [str(part).format_map(known) for part in command],
                stdout=log,
                stderr=log,
                cwd=bench.folder,
                env=environment,
                start_new_session=True,
            )
            stack.callback(_end, process)
            processes.append(process)
        yield processes


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(20)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def wait_until_ready(
    admin: AdminClient,
    processes: Sequence[subprocess.Popen[bytes]],
    group: str | None,
    records: int = 2 * WARM_UP,
) -> None:
    """Until the first posts are through, and each process of a group has its share."""
    deadline_s = time.monotonic() + PATIENCE_S
    while ends(admin) < records or (group and not _shared(admin, group, len(processes))):
        _check(processes, deadline_s)
        time.sleep(LOOK_EVERY_S)


def _shared(admin: AdminClient, prefix: str, members: int) -> bool:
    listed = admin.list_consumer_groups().result(PATIENCE_S).valid
    group = next((each.group_id for each in listed if each.group_id.startswith(prefix)), None)
    if group is None:
        return False
    try:
        facts = admin.describe_consumer_groups([group])[group].result(PATIENCE_S)
    except KafkaException:
        return False  # its coordinator has just begun
    shares = [len(member.assignment.topic_partitions) for member in facts.members]
    stable = facts.state == ConsumerGroupState.STABLE
    return stable and sorted(shares) == [PARTITIONS // members] * members


def _check(processes: Sequence[subprocess.Popen[bytes]], deadline_s: float) -> None:
    for process in processes:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    if time.monotonic() > deadline_s:
        raise TimeoutError(f"not done after {PATIENCE_S} s")


def _watch(
    admin: AdminClient, processes: Sequence[subprocess.Popen[bytes]], pids: list[int], posts: int
) -> Moment:
    """Wait until all is done; return the moment when nineteen twentieths were."""
    deadline_s = time.monotonic() + PATIENCE_S
    nearly = None
    while True:
        _check(processes, deadline_s)
        done = ends(admin) / 2 - WARM_UP
        if nearly is None and done >= NEARLY_ALL * posts:
            nearly = Moment(time.monotonic(), done, _cpu_s(pids))
        if nearly is not None and done >= posts:
            return nearly
        time.sleep(LOOK_EVERY_S)


def _speed(first: Moment, last: Moment) -> Speed:
    elapsed_s = last.at_s - first.at_s
    spent_s = {name: last.cpu_s[name] - first.cpu_s[name] for name in first.cpu_s}
    busy_s = spent_s.pop("all")
    others_s = busy_s - sum(spent_s.values())
    return Speed(
        last.posts / elapsed_s,
        {name: each_s / last.posts * 1e6 for name, each_s in spent_s.items()},
        busy_s / elapsed_s,
        others_s / elapsed_s,
    )


def _family(pid: int) -> list[int]:
    """A process and all that it started."""
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += [int(child) for child in (task / "children").read_text().split()]
    return [pid, *(each for child in children for each in _family(child))]


def _cpu_s(pids: Sequence[int]) -> dict[str, float]:
    """Seconds of processor time so far; the first process is the broker."""
    spent = {"python": 0.0, "client": 0.0, "broker": _ticks(Path(f"/proc/{pids[0]}")) / TICKS_PER_S}
    for pid in pids[1:]:
        for task in Path(f"/proc/{pid}/task").iterdir():
            name = (task / "comm").read_text()
            spent["client" if name.startswith("rdk:") else "python"] += _ticks(task) / TICKS_PER_S
    spent["all"] = _all_cpu_s()
    return spent


def _all_cpu_s() -> float:
    """What the whole machine has done."""
    whole = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, _ = map(int, whole)
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def _wait_until_quiet() -> None:
    """Until the machine does nearly nothing for a second, but not for ever."""
    for _ in range(QUIET_PATIENCE_S):
        before_s = _all_cpu_s()
        time.sleep(1)
        if _all_cpu_s() - before_s < QUIET_CORES:
            return


def _ticks(of: Path) -> int:
    fields = (of / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
