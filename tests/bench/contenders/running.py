"""One run of a contender: new topics, ready processes, input that becomes visible all at once."""

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
"""Posts that are processed before the measurement begins."""

DIFFERENT = 20_000
"""Different statuses; after these they repeat under new ids."""

PATIENCE_S = 120
"""Time limit of each request and of each run."""

LOOK_EVERY_S = 0.05
NEARLY_ALL = 0.95
"""Share of the posts at which the measurement ends."""

QUIET_CORES, QUIET_PATIENCE_S = 0.25, 60
"""The machine is quiet while it uses fewer cores than this; longest wait for that."""

TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Command = Sequence[str | Path]


@attrs.frozen
class Contender:
    """An implementation of the task that is measured.

    Attributes:
        name: name in the output.
        commands: one command for each process; ``{servers}`` and ``{group}`` are filled in.
        environment: environment variables of the processes; filled in likewise.
        grouped: whether the processes are members of a consumer group.
    """

    name: str
    commands: Sequence[Command]
    environment: Mapping[str, str] = attrs.field(factory=dict)
    grouped: bool = True


@attrs.frozen
class Moment:
    """The progress of a run, and the processor time used, at one time.

    Attributes:
        at_s: time on the monotonic clock, in seconds.
        posts: posts whose two records are written; one record alone counts as half a post.
        cpu_s: processor seconds so far: ``python``, ``client`` (the threads of Kafka's client),
            ``broker``, and ``all`` for the whole machine.
    """

    at_s: float
    posts: float
    cpu_s: Mapping[str, float]


@attrs.frozen
class Speed:
    """The result of one run.

    Attributes:
        posts_per_s: posts per second, from the commit of the input until 95 % are processed.
        cpu_us: processor microseconds per post, by what used them.
        busy: cores in use on the whole machine, on average.
        others: cores that other processes used, on average.
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
    """What all runs share.

    Attributes:
        servers: address of the Kafka broker.
        broker: process id of the broker.
        statuses: the input.
        folder: working folder of the contenders; their output is in its ``contender.log``.
    """

    servers: str
    broker: int
    statuses: "Statuses"
    folder: Path


class Statuses:
    """Generated statuses without end: ``DIFFERENT`` ones, repeated under ever new ids."""

    def __init__(self) -> None:
        self._rests = [status.partition(b",")[2] for status in generate_statuses(DIFFERENT)]

    def take(self, first: int, count: int) -> Iterator[tuple[str, bytes]]:
        """Yield ``count`` ids from ``first`` on, each with its status."""
        start = first % DIFFERENT
        rests = islice(cycle(self._rests), start, start + count)
        for number, rest in enumerate(rests, first):
            yield str(number), b'{"id":"%d",%b' % (number, rest)


def run(bench: Bench, contender: Contender, posts: int) -> Speed:
    """Let a contender process this many posts; its records stay until the next run.

    The input is written to Kafka first, in an open transaction. When all processes are ready and
    have processed ``WARM_UP`` posts, and the machine is quiet, the commit makes all of the input
    visible at once.
    """
    admin = AdminClient({"bootstrap.servers": bench.servers, "log_level": 2})
    group = f"bench-{uuid4().hex[:12]}"
    make_topics(admin)
    producer = Producer(
        {
            "bootstrap.servers": bench.servers,
            "compression.type": "lz4",
            "transactional.id": group,
            "log_level": 2,  # hides the warning that its coordinator has just started
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
        pids = [bench.broker, *(pid for process in processes for pid in _family(process.pid))]
        _wait_until_quiet()
        first = Moment(time.monotonic(), 0, _cpu_s(pids))
        producer.commit_transaction(PATIENCE_S)
        last = _watch(admin, processes, pids, posts)
    return _speed(first, last)


def ends(admin: AdminClient, topics: Sequence[str] = (ENGAGEMENT, HASHTAGS)) -> int:
    """Return the sum of the end offsets of all partitions of these topics."""
    partitions = [TopicPartition(topic, n) for topic in topics for n in range(PARTITIONS)]
    futures = admin.list_offsets(dict.fromkeys(partitions, OffsetSpec.latest()))  # type: ignore[no-untyped-call]
    return sum(future.result(PATIENCE_S).offset for future in futures.values())


def make_topics(admin: AdminClient, topics: Sequence[str] = TOPICS) -> None:
    """Create these topics, after deleting those that exist."""
    existing = [topic for topic in admin.list_topics(timeout=PATIENCE_S).topics if topic in topics]
    for future in admin.delete_topics(existing).values() if existing else ():
        future.result(PATIENCE_S)
    new = [NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1) for topic in topics]
    for future in admin.create_topics(new).values():
        future.result(PATIENCE_S)
    deadline_s = time.monotonic() + PATIENCE_S
    while True:  # the broker knows new topics a little later
        try:
            ends(admin, topics)
        except KafkaException:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(LOOK_EVERY_S)
            admin.list_topics(timeout=PATIENCE_S)  # else it may use the old topic's metadata
        else:
            return


def _produce(producer: Producer, statuses: Iterator[tuple[str, bytes]]) -> None:
    """Produce the statuses in one transaction, which stays open."""
    producer.begin_transaction()
    send(producer, statuses)


def send(producer: Producer, statuses: Iterator[tuple[str, bytes]]) -> None:
    """Produce the statuses evenly to all partitions of the input; nothing is flushed."""
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
    """Start a contender's processes, each in its own session; at the end, stop each session."""
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
    """Wait until the first posts are processed and each group member has its partitions."""
    deadline_s = time.monotonic() + PATIENCE_S
    while ends(admin) < records or (group and not _shared(admin, group, len(processes))):
        _check(processes, deadline_s)
        time.sleep(LOOK_EVERY_S)


def _shared(admin: AdminClient, prefix: str, members: int) -> bool:
    listed = admin.list_consumer_groups().result(PATIENCE_S).valid
    ids = [listing.group_id for listing in listed]
    group = next((group_id for group_id in ids if group_id.startswith(prefix)), None)
    if group is None:
        return False
    try:
        description = admin.describe_consumer_groups([group])[group].result(PATIENCE_S)
    except KafkaException:
        return False  # its coordinator has just started
    shares = [len(member.assignment.topic_partitions) for member in description.members]
    stable = description.state == ConsumerGroupState.STABLE
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
    """Wait until all posts are processed; return the progress when ``NEARLY_ALL`` were."""
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
    used_s = {name: last.cpu_s[name] - first.cpu_s[name] for name in first.cpu_s}
    busy_s = used_s.pop("all")
    others_s = busy_s - sum(used_s.values())
    return Speed(
        last.posts / elapsed_s,
        {name: cpu_s / last.posts * 1e6 for name, cpu_s in used_s.items()},
        busy_s / elapsed_s,
        others_s / elapsed_s,
    )


def _family(pid: int) -> list[int]:
    """Return the ids of a process and all its descendants."""
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += [int(child) for child in (task / "children").read_text().split()]
    return [pid, *(descendant for child in children for descendant in _family(child))]


def _cpu_s(pids: Sequence[int]) -> dict[str, float]:
    """Return the processor seconds so far by user; the first process is the broker."""
    spent = {"python": 0.0, "client": 0.0, "broker": _ticks(Path(f"/proc/{pids[0]}")) / TICKS_PER_S}
    for pid in pids[1:]:
        for task in Path(f"/proc/{pid}/task").iterdir():
            name = (task / "comm").read_text()
            spent["client" if name.startswith("rdk:") else "python"] += _ticks(task) / TICKS_PER_S
    spent["all"] = _all_cpu_s()
    return spent


def _all_cpu_s() -> float:
    """Return the processor seconds of the whole machine since it started."""
    whole = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, _ = map(int, whole)
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def _wait_until_quiet() -> None:
    """Wait until the machine is quiet for a second, for ``QUIET_PATIENCE_S`` at most."""
    for _ in range(QUIET_PATIENCE_S):
        before_s = _all_cpu_s()
        time.sleep(1)
        if _all_cpu_s() - before_s < QUIET_CORES:
            return


def _ticks(folder: Path) -> int:
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
