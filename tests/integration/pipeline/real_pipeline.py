"""The pipeline on real servers: its processes, what is done to them, and the count at the end."""

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import attrs
from elasticsearch import Elasticsearch

from mastostream import Account, Post, Stamp, encode
from mastostream.core.time import from_ms
from mastostream.core.topic_names import STREAM
from mastostream.log.kafka import KafkaClientConfig, KafkaLogWriter
from mastostream.ports.clock import ScaledClock
from mastostream.ports.log import NewRecord
from mastostream.testing.simulator import (
    Fediverse,
    RefreshSchedule,
    TrafficProfile,
    compare,
    serving,
)
from mastostream.testing.simulator.texts import TAGS

from .real_count import Broker, Count, Servers, count, ends, has_caught_up, has_come_to
from .real_processes import Workers, until

_AT_ONCE: Final = 20
OVERLAPS: Final = 4
"""One of so many in a row reaches back by 8 times the time between two: 40 minutes here, which is
much longer than a post may be late."""

HOUR_S: Final = 3_600.0
START_MS: Final = 1_750_000_000_000

LIVELY: Final = TrafficProfile(
    posts_per_s=0.25,
    latest_s=500.0,
    changes_within_s=500.0,
    late_share=0.1,
    edit_share=0.1,
    delete_share=0.1,
    growth_s=60.0,
)
PUNCTUAL: Final = attrs.evolve(LIVELY, late_share=0.0, delay_s=(0.0, 0.0))
"""For a collector that dies every few minutes, and never comes to read far back."""

ANALYZE: Final = ("analyze", "--analysis", "full")
COUNT: Final = ("analyze", "--mode", "sql", "--analysis", "count")


def clear(servers: Servers) -> None:
    """Remove the indices of a pipeline."""
    with closing(Elasticsearch(servers.elasticsearch.url, request_timeout=60)) as client:
        for index in client.indices.get(index=f"{servers.broker.prefix}*", expand_wildcards="all"):
            client.indices.delete(index=index)


@attrs.frozen(kw_only=True)
class Scene:
    """What goes on while the pipeline runs.

    Attributes:
        speed: simulated seconds a second.
        hosts: the servers that are followed.
        tags: how many hashtags are followed.
        traffic_profile: what people do.
        refresh_after_s: when counts are read again, simulated.
        settings: further settings, as variables of the environment.
    """

    speed: float = 120.0
    hosts: Sequence[str] = ("one.example",)
    tags: int = 6
    traffic_profile: TrafficProfile = LIVELY
    refresh_after_s: tuple[float, ...] = (30.0, 120.0, 900.0)
    settings: Mapping[str, str] = attrs.field(factory=dict)
    seed: int = 1


class Pipeline:
    """A collector on simulated servers, and all that follows it, on real ones."""

    def __init__(
        self,
        scene: Scene,
        servers: Servers,
        fediverse: Fediverse,
        clock: ScaledClock,
        workers: Workers,
        following: Sequence[str],
    ) -> None:
        self.servers = servers
        self.clock = clock
        self.workers = workers
        self.collector = workers.add("collect", "collect", *following)
        self.engine = workers.add("analyze", *ANALYZE)
        self.counter = workers.add("count", *COUNT)
        self.indexer = workers.add("index", "index")
        self.archiver = workers.add("archive", "archive")
        self._scene = scene
        self._fediverse = fediverse
        self._archive_folder = (
            "/" + workers.environment["MASTOSTREAM_ARCHIVE_FOLDER"].split("/", 3)[3]
        )
        self._memory = workers.folder / "data" / f"{servers.broker.prefix}collector.sqlite3"
        self._since_ms = 0

    def begin(self) -> None:
        """Start everything; from then on nothing may be missing."""
        for worker in self.workers.all:
            worker.start()
        wanted = len(self._scene.hosts) * self._scene.tags
        self.workers.until(lambda: len(self._remembered("SELECT * FROM cursors")) == wanted)
        self._since_ms = self.clock.now_ms()

    def go_on(self, seconds: float) -> None:
        """Let so much time pass, simulated."""
        until_ms = self.clock.now_ms() + seconds * 1_000
        self.workers.until(lambda: self.clock.now_ms() >= until_ms)

    def flows(self) -> None:
        """Wait until what is collected from now on has come to its end."""
        broker = self.servers.broker
        stream = ends(broker)[STREAM]
        self.workers.until(lambda: ends(broker)[STREAM] > stream + 20)
        now = ends(broker)
        self.workers.until(lambda: has_come_to(broker, now))

    def end(self) -> Count:
        """Let the pipeline come to its end, end it, and count."""
        until_ms = self.clock.now_ms()
        before = dict(self._remembered("SELECT timeline, number FROM overlaps"))
        self.workers.until(lambda: self._has_looked_back(before))
        left = f"SELECT count(*) FROM refreshes WHERE first_ms < {until_ms:d}"
        self.workers.until(lambda: self._remembered(left) == [(0,)])
        self.collector.end()
        self.workers.until(lambda: has_caught_up(self.servers.broker))
        for worker in self.workers.all:
            worker.end()
        self.workers.add("count-the-rest", *COUNT, "--once").run_once()
        truth = self._fediverse.truth(
            TAGS[: self._scene.tags],
            self._since_ms,
            until_ms,
            reading=RefreshSchedule(after_s=self._scene.refresh_after_s),
        )
        found = count(self.servers, self._archive_folder)
        check = compare(truth, found.held, found.new_keys)
        print(f"\n{check}\nevents        {dict(found.events)}, late {found.late}")
        assert check.ok, str(check)
        return found

    def _has_looked_back(self, before: Mapping[str, int]) -> bool:
        """Whether pages have been read again so often since then that nothing late is missing."""
        now = self._remembered("SELECT timeline, number FROM overlaps")
        return bool(now) and all(
            number > before.get(timeline, 0) + OVERLAPS for timeline, number in now
        )

    def _remembered(self, query: str) -> list[Any]:
        with suppress(sqlite3.OperationalError), closing(self._connect()) as connection:
            return connection.execute(query).fetchall()
        return []

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self._memory}?mode=ro", uri=True, timeout=30)


@contextmanager
def pipeline(folder: Path, servers: Servers, scene: Scene) -> Iterator[Pipeline]:
    """All that a pipeline needs; nothing is started yet but the simulated servers."""
    clock = ScaledClock(time.time_ns() // 1_000_000, START_MS, scene.speed)
    fediverse = Fediverse(
        hosts=scene.hosts,
        seed=scene.seed,
        start_ms=START_MS - 600_000,
        traffic_profile=scene.traffic_profile,
    )
    tokens = {host: f"token-of-{host}" for host in scene.hosts}
    with ExitStack() as stack:
        sites = stack.enter_context(serving(fediverse, clock=clock, tokens=tokens))
        environment = settings_for(servers) | {
            **clock_settings(clock),
            "MASTOSTREAM_COLLECT_REFRESH_AFTER_S": ",".join(map(str, scene.refresh_after_s)),
            "MASTOSTREAM_COLLECT_HEARTBEAT_TIMEOUT_S": "2",
            "MASTOSTREAM_COLLECT_REQUEST_TIMEOUT_S": "5",
            "MASTOSTREAM_COLLECT_OVERLAP_S": "300",
            **{
                f"ACCESS_TOKEN_127_0_0_1_{site.url.rpartition(':')[2]}": tokens[site.host]
                for site in sites
            },
            **scene.settings,
        }
        following = [part for site in sites for part in ("--server", site.url)]
        following += [part for tag in TAGS[: scene.tags] for part in ("--tag", tag)]
        stack.callback(clear, servers)
        workers = stack.enter_context(Workers(folder, environment).told())
        yield Pipeline(scene, servers, fediverse, clock, workers, following)


def settings_for(servers: Servers) -> dict[str, str]:
    """What the commands need to use these servers, each test under names of its own."""
    return {
        **log_settings(servers.broker),
        "MASTOSTREAM_INDEX": "elasticsearch",
        "MASTOSTREAM_ELASTICSEARCH_HOSTS": servers.elasticsearch.url,
        "MASTOSTREAM_ELASTICSEARCH_INDEX_PREFIX": servers.broker.prefix,
        "MASTOSTREAM_ARCHIVE_FOLDER": f"{servers.hdfs.url}/real-{uuid.uuid4().hex}",
        "MASTOSTREAM_ARCHIVE_COMPRESSION": "gzip",
    }


def log_settings(broker: Broker) -> dict[str, str]:
    """What the commands need to use this broker.

    What they send waits in the process for half a second, unless they wait for its confirmation: so
    who commits too early is found out more often.
    """
    settings = {"session.timeout.ms": 3_000, "heartbeat.interval.ms": 500, "linger.ms": 500}
    return {
        "MASTOSTREAM_DATA": "data",
        "MASTOSTREAM_LOG": "kafka",
        "MASTOSTREAM_KAFKA_SERVERS": broker.kafka.address,
        "MASTOSTREAM_KAFKA_TOPIC_PREFIX": broker.prefix,
        "MASTOSTREAM_KAFKA_SETTINGS": ",".join(f"{name}={n}" for name, n in settings.items()),
    }


def clock_settings(clock: ScaledClock) -> dict[str, str]:
    """What the commands need to go by this clock."""
    numbers = f"{clock.real_ms},{clock.simulated_ms},{clock.speed:g}"
    return {"MASTOSTREAM_SIMULATED_CLOCK": numbers}


class Feed:
    """A producer of posts: a thread that appends some at a time, until the block ends.

    Attributes:
        sent: how many posts the log has confirmed.
    """

    def __init__(self, broker: Broker, now_ms: Callable[[], int], posts_per_s: float) -> None:
        self.sent = 0
        self._now_ms = now_ms
        self._pause_s = _AT_ONCE / posts_per_s
        place = KafkaClientConfig(servers=broker.kafka.address, topic_prefix=broker.prefix)
        self._writer = KafkaLogWriter(place, now_ms=now_ms)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._writer.close()

    def go_on(self, posts: int) -> None:
        """Wait until so many more have been sent."""
        sent = self.sent + posts
        until(lambda: self.sent >= sent)

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            time_ = from_ms(self._now_ms())
            numbers = range(self.sent, self.sent + _AT_ONCE)
            self._writer.append([NewRecord(STREAM, f"k{n}", _post(n, time_)) for n in numbers])
            self.sent = numbers.stop


def _post(number: int, time_: datetime) -> bytes:
    stamp = Stamp(key=f"k{number}", observed_at=time_)
    account = Account(acct="someone")
    return encode(
        Post(id=str(number), created_at=time_, account=account, content="!", mastostream=stamp)
    )
