"""Chaos experiment: runs the collector against a simulated Fediverse with faults and ``kill -9``.

The collector runs as its users run it, as a process of its own. It is killed at random moments and
started again. Its clock and the clock of the servers run many times as fast as the machine's. At
the end, the stored data is compared with the data of a collector for which nothing goes wrong.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import msgspec

from mastostream.core.topic_names import ENGAGEMENT, STREAM
from mastostream.exceptions import FatalError
from mastostream.ports.clock import ScaledClock
from mastostream.testing.simulator import (
    CheckResult,
    FaultPlan,
    Fediverse,
    HeldPost,
    RefreshSchedule,
    SimulatedServer,
    TrafficProfile,
    Usage,
    compare,
    serving,
)
from mastostream.testing.simulator.families import Family
from mastostream.testing.simulator.texts import TAGS

__all__ = ["PRODUCT", "ChaosExperiment", "ExperimentResult", "run_experiment"]

PRODUCT: Final = (sys.executable, "-c", "from mastostream.cli import main; main()")
"""The command ``mastostream`` of this Python."""

START_MS: Final = 1_750_000_000_000
"""Where the simulated clock begins: 2025-06-15 15:06:40 UTC, a Sunday."""

_WEEK: Final = TrafficProfile(posts_per_s=0.04, day_night=0.8, latest_s=7_200.0, boost_share=0.01)
_HOUR_MS: Final = 3_600_000
_BACKLOG_MS: Final = 600_000
"""The simulated servers have posts from this long before the clock begins."""

_PATIENCE_S: Final = 120.0
"""How long the collector may take to read every timeline once, real seconds."""


@attrs.frozen(kw_only=True)
class ChaosExperiment:
    """The parameters of a chaos experiment.

    Attributes:
        hours: how long the experiment lasts, simulated hours. Posts of this time are compared.
        settle_hours: how long it goes on after that without faults, simulated hours, so that the
            collector refreshes the last counts. It takes up to twice as long if refreshes are left.
        speed: simulated seconds per real second.
        kills: how often the collector is ended with ``kill -9``, at random moments of ``hours``.
        longest_off_s: the longest time until it is started again, simulated seconds.
        servers: the number of simulated servers. If there are several, one runs GoToSocial.
        tags: the number of hashtags that the collector follows.
        fault_every_s: each server has one fault in each interval of this length, simulated
            seconds; 0 for no faults.
        traffic_profile: the rate and the mix of the posts on the servers.
        refresh_after_s: the ages at which the collector refreshes a post's counts, simulated
            seconds after the first observation.
        settings: further settings of the collector, as environment variables.
        seed: the seed of all random choices.
    """

    hours: float = 168.0
    settle_hours: float = 26.0
    speed: float = 400.0
    kills: int = 30
    longest_off_s: float = 1_800.0
    servers: int = 3
    tags: int = 20
    fault_every_s: float = 1_200.0
    traffic_profile: TrafficProfile = _WEEK
    refresh_after_s: tuple[float, ...] = (300.0, 3_600.0, 86_400.0)
    settings: Mapping[str, str] = attrs.field(factory=dict)
    seed: int = 1


@attrs.frozen(kw_only=True)
class ExperimentResult:
    """The result of a chaos experiment.

    Attributes:
        check: the data that the collector holds, compared with the data that it should hold.
        logged: the number of records in the log, by event.
        kills: how often the collector was killed.
        ended: how often the collector ended by itself; this has to be 0.
        usage: the requests that each server received, by host.
    """

    check: CheckResult
    logged: Mapping[str, int]
    kills: int
    ended: int
    usage: Mapping[str, Usage]

    @property
    def ok(self) -> bool:
        """Whether the stored posts are as they should be, and no failure of another kind happened.

        No server may have refused a request because of a rate limit, and the collector may not have
        ended by itself. The kills of the experiment do not count.
        """
        over = any(usage.over_limit for usage in self.usage.values())
        return self.check.ok and not over and not self.ended

    def __str__(self) -> str:
        lines = [str(self.check)]
        lines += [f"{event:<13} {count}" for event, count in self.logged.items()]
        lines.append(f"{'killed':<13} {self.kills}, ended by itself {self.ended}")
        for host, usage in self.usage.items():
            lines.append(
                f"{host:<13} {usage.requests} requests, at most {usage.most} in 5 min, "
                f"{usage.most_paging} paging in 15 min, {usage.over_limit} over a limit"
            )
        return "\n".join(lines)


OnProgress = Callable[[float, str], None]
"""Callback for progress: the share that is done, 0 to 1, and a short message."""


def run_experiment(
    experiment: ChaosExperiment,
    folder: Path,
    *,
    command: Sequence[str] = PRODUCT,
    on_progress: OnProgress | None = None,
) -> ExperimentResult:
    """Run a chaos experiment and compare the collector's data with the truth.

    Args:
        experiment: the parameters.
        folder: a new folder, for the data and the collector's log.
        command: the command of the program; ``run`` and its options are added.
        on_progress: called regularly with the share that is done and a short message.

    Raises:
        FatalError: the collector does not read every timeline once within 120 s.
    """
    clock = ScaledClock(time.time_ns() // 1_000_000, START_MS, experiment.speed)
    hosts = [f"server{number}.example" for number in range(experiment.servers)]
    families: dict[str, Family] = {hosts[-1]: "gotosocial"} if len(hosts) > 1 else {}
    fediverse = Fediverse(
        hosts=hosts,
        families=families,
        seed=experiment.seed,
        start_ms=START_MS - _BACKLOG_MS,
        traffic_profile=experiment.traffic_profile,
    )
    plan = None
    if experiment.fault_every_s:
        plan = FaultPlan(
            seed=experiment.seed,
            every_s=experiment.fault_every_s,
            until_ms=START_MS + int(experiment.hours * _HOUR_MS),
        )
    tokens = {host: f"token-of-{host}" for host in hosts}
    with ExitStack() as stack:
        servers = stack.enter_context(serving(fediverse, clock=clock, tokens=tokens, plan=plan))
        process = _CollectorProcess(experiment, folder, command, clock, servers, tokens)
        stack.callback(process.end)
        run = _ExperimentRun(
            experiment, folder, clock, servers, process, on_progress or (lambda *_: None)
        )
        since_ms = run.start()
        until_ms = since_ms + int(experiment.hours * _HOUR_MS)
        run.inject_kills(until_ms)
        run.settle(until_ms, until_ms + int(experiment.settle_hours * _HOUR_MS))
        process.end()
        truth = fediverse.truth(
            _tags(experiment),
            since_ms,
            until_ms,
            reading=RefreshSchedule(after_s=experiment.refresh_after_s),
        )
        return ExperimentResult(
            check=compare(truth, _stored_posts(folder, servers), _new_keys(folder)),
            logged=_count_by_event(folder),
            kills=run.kills,
            ended=process.ended,
            usage={server.host: server.usage for server in servers},
        )


class _CollectorProcess:
    """The collector's process. It can be started again any number of times.

    Attributes:
        ended: how often it has ended by itself.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the command line and the environment need them all
        self,
        experiment: ChaosExperiment,
        folder: Path,
        command: Sequence[str],
        clock: ScaledClock,
        servers: Sequence[SimulatedServer],
        tokens: Mapping[str, str],
    ) -> None:
        self.ended = 0
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [*command, "run", "--data", str(folder / "data"), "--no-archive", "-v"]
        for server in servers:
            self._command += ["--server", server.url]
        for tag in _tags(experiment):
            self._command += ["--tag", tag]
        after_s = ",".join(f"{seconds:g}" for seconds in experiment.refresh_after_s)
        self._environment = os.environ | {
            "MASTOSTREAM_SIMULATED_CLOCK": (
                f"{clock.real_ms},{clock.simulated_ms},{clock.speed:g}"
            ),
            "MASTOSTREAM_COLLECT_REFRESH_AFTER_S": after_s,
            "MASTOSTREAM_COLLECT_HEARTBEAT_TIMEOUT_S": "2",
            "MASTOSTREAM_COLLECT_REQUEST_TIMEOUT_S": "5",
            **{_variable("ACCESS_TOKEN", server.url): tokens[server.host] for server in servers},
            **experiment.settings,
        }

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "collector.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the caller chooses the command
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def restart_if_ended(self) -> None:
        """Start it again if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            self.ended += 1
            self.start()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def end(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None


class _ExperimentRun:
    """The phases of a chaos experiment: start, inject kills, settle.

    Attributes:
        kills: how often the collector was killed.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each part of the experiment is one argument
        self,
        experiment: ChaosExperiment,
        folder: Path,
        clock: ScaledClock,
        servers: Sequence[SimulatedServer],
        process: _CollectorProcess,
        on_progress: OnProgress,
    ) -> None:
        self.kills = 0
        self._experiment = experiment
        self._folder = folder
        self._clock = clock
        self._servers = servers
        self._process = process
        self._on_progress = on_progress
        self._rng = random.Random(experiment.seed)  # noqa: S311 - has to be repeatable
        self._total_ms = (experiment.hours + experiment.settle_hours) * _HOUR_MS

    def start(self) -> int:
        """Start the collector and wait until it has read every timeline once.

        Returns:
            The simulated time from which on no post may be missing, milliseconds since the epoch.
        """
        self._process.start()
        timelines = len(self._servers) * self._experiment.tags
        end_s = time.monotonic() + _PATIENCE_S
        while _count_timelines_read(self._folder) < timelines:
            if time.monotonic() > end_s:
                raise FatalError(
                    "the collector has not read every timeline once within "
                    f"{_PATIENCE_S:.0f} s: see {self._folder / 'collector.log'}"
                )
            self._process.restart_if_ended()
            time.sleep(0.2)
        return self._clock.now_ms()

    def inject_kills(self, until_ms: int) -> None:
        """Kill the collector at random moments, and start it again, until a simulated time."""
        begin_ms = self._clock.now_ms()
        moments = sorted(
            self._rng.uniform(begin_ms, until_ms) for _ in range(self._experiment.kills)
        )
        for moment in moments:
            self._wait(int(moment))
            self._process.kill()
            self.kills += 1
            off_ms = self._rng.uniform(0, self._experiment.longest_off_s) * 1000
            self._pause(min(int(self._clock.now_ms() + off_ms), until_ms))
            self._process.start()
        self._wait(until_ms)

    def settle(self, since_ms: int, until_ms: int) -> None:
        """Wait without faults until the counts of all earlier posts were refreshed.

        Args:
            since_ms: posts that were first seen before this have to be refreshed completely.
            until_ms: the earliest end; the latest is ``settle_hours`` after it.
        """
        self._wait(until_ms)
        latest_ms = until_ms + int(self._experiment.settle_hours * _HOUR_MS)
        while _count_refreshes_left(self._folder, since_ms) and self._clock.now_ms() < latest_ms:
            self._wait(self._clock.now_ms() + int(self._experiment.speed * 1000))

    def _wait(self, until_ms: int) -> None:
        while self._clock.now_ms() < until_ms:
            self._process.restart_if_ended()
            self._pause(min(until_ms, self._clock.now_ms() + int(self._experiment.speed * 500)))

    def _pause(self, until_ms: int) -> None:
        left_s = self._clock.real_s((until_ms - self._clock.now_ms()) / 1000)
        time.sleep(max(0.0, left_s))
        done_ms = self._clock.now_ms() - START_MS
        message = f"{done_ms / _HOUR_MS:.0f} h simulated, killed {self.kills} times"
        self._on_progress(min(1.0, done_ms / self._total_ms), message)


def _tags(experiment: ChaosExperiment) -> tuple[str, ...]:
    return TAGS[: experiment.tags]


def _variable(name: str, url: str) -> str:
    """Return the name of the environment variable that holds a setting of one server."""
    host = url.partition("://")[2]
    return f"{name}_{''.join(c if c.isalnum() else '_' for c in host.upper())}"


def _query(path: Path, query: str) -> list[Any]:
    """Return the rows of a query; none if there is no database yet."""
    if not path.is_file():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query).fetchall()


def _count_timelines_read(folder: Path) -> int:
    try:
        rows = _query(folder / "data" / "collector.sqlite3", "SELECT count(*) FROM cursors")
    except sqlite3.OperationalError:  # the table does not exist yet
        return 0
    return int(rows[0][0]) if rows else 0


def _count_refreshes_left(folder: Path, before_ms: int) -> int:
    query = f"SELECT count(*) FROM refreshes WHERE first_ms < {before_ms:d}"  # noqa: S608 - a number
    return int(_query(folder / "data" / "collector.sqlite3", query)[0][0])


def _stored_posts(folder: Path, servers: Sequence[SimulatedServer]) -> list[HeldPost]:
    """Return the posts in the collector's index as the comparison needs them."""
    without_quotes = {
        urlsplit(server.url).netloc for server in servers if server.world.family == "gotosocial"
    }
    rows = _query(
        folder / "data" / "mastostream.sqlite3",
        f"SELECT body FROM documents WHERE index_name = '{ENGAGEMENT}' AND deleted = 0",  # noqa: S608 - a constant
    )
    posts = []
    for (body,) in rows:
        post = msgspec.json.decode(body, type=HeldPost)
        if msgspec.json.decode(body)["instance"] in without_quotes:
            post = attrs.evolve(post, quotes_count=None)  # GoToSocial does not count quotes
        posts.append(post)
    return posts


def _stamps(folder: Path) -> list[tuple[str, str]]:
    """Return event and key of each record in the log."""
    rows = _query(
        folder / "data" / "mastostream.sqlite3",
        f"SELECT value FROM log WHERE topic = '{STREAM}'",  # noqa: S608 - a constant
    )
    stamps = [msgspec.json.decode(value)["mastostream"] for (value,) in rows]
    return [(stamp["event"], stamp["key"]) for stamp in stamps]


def _new_keys(folder: Path) -> list[str]:
    return [key for event, key in _stamps(folder) if event == "new"]


def _count_by_event(folder: Path) -> dict[str, int]:
    return dict(Counter(event for event, _ in _stamps(folder)))
