"""A collector put to the test: a simulated Fediverse, faults, ``kill -9``, and then the count.

The collector runs as its users run it, as a process of its own, which is killed at random moments
and started again. Its clock and that of the servers run many times as fast as the machine's. In the
end what it holds is compared with what one holds if nothing goes wrong.
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
"""When the simulated time begins: 2025-06-15, a Sunday."""

_WEEK: Final = TrafficProfile(posts_per_s=0.04, day_night=0.8, latest_s=7_200.0, boost_share=0.01)
_HOUR_MS: Final = 3_600_000
_BACKLOG_MS: Final = 600_000
_PATIENCE_S: Final = 120.0


@attrs.frozen(kw_only=True)
class ChaosExperiment:
    """What is done to the collector.

    Attributes:
        hours: simulated, in which posts count.
        settle_hours: simulated, afterwards, without faults: the last counts are read again. Up to
            twice as long where they have not been by then.
        speed: simulated seconds a second.
        kills: how often it is ended by ``kill -9``, at random moments of ``hours``.
        longest_off_s: how long it stays off then, at most, simulated.
        servers: how many, of different families where there are several.
        tags: how many hashtags are followed.
        fault_every_s: one fault of each server in each such stretch, simulated; 0 for none.
        traffic_profile: what goes on there.
        refresh_after_s: when counts are read again.
        settings: further settings, as variables of the environment.
        seed: another seed, another trial.
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
    """What came of it.

    Attributes:
        check: what the collector holds, compared with what it should hold.
        logged: records of the log by event.
        kills: how often it was killed.
        ended: how often it ended by itself; it should not.
        usage: what each server was asked for, by host.
    """

    check: CheckResult
    logged: Mapping[str, int]
    kills: int
    ended: int
    usage: Mapping[str, Usage]

    @property
    def ok(self) -> bool:
        """Whether nothing was lost or repeated, and no limit was exceeded."""
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


def run_experiment(
    trial: ChaosExperiment,
    folder: Path,
    *,
    command: Sequence[str] = PRODUCT,
    on_progress: OnProgress | None = None,
) -> ExperimentResult:
    """Do it, and return what came of it.

    Args:
        trial: what is done.
        folder: for the data and the collector's log; new.
        command: starts the collector; ``run`` and its options are added.
        on_progress: called now and then with the share that is done and a few words.

    Raises:
        FatalError: the collector does not even start.
    """
    clock = ScaledClock(time.time_ns() // 1_000_000, START_MS, trial.speed)
    hosts = [f"server{number}.example" for number in range(trial.servers)]
    families: dict[str, Family] = {hosts[-1]: "gotosocial"} if len(hosts) > 1 else {}
    fediverse = Fediverse(
        hosts=hosts,
        families=families,
        seed=trial.seed,
        start_ms=START_MS - _BACKLOG_MS,
        traffic_profile=trial.traffic_profile,
    )
    plan = None
    if trial.fault_every_s:
        plan = FaultPlan(
            seed=trial.seed,
            every_s=trial.fault_every_s,
            until_ms=START_MS + int(trial.hours * _HOUR_MS),
        )
    tokens = {host: f"token-of-{host}" for host in hosts}
    with ExitStack() as stack:
        servers = stack.enter_context(serving(fediverse, clock=clock, tokens=tokens, plan=plan))
        process = _Process(trial, folder, command, clock, servers, tokens)
        stack.callback(process.end)
        run = _Run(trial, folder, clock, servers, process, on_progress or (lambda *_: None))
        since_ms = run.begin()
        until_ms = since_ms + int(trial.hours * _HOUR_MS)
        run.go_on(until_ms)
        run.settle(until_ms, until_ms + int(trial.settle_hours * _HOUR_MS))
        process.end()
        truth = fediverse.truth(
            _tags(trial), since_ms, until_ms, reading=RefreshSchedule(after_s=trial.refresh_after_s)
        )
        return ExperimentResult(
            check=compare(truth, _held(folder, servers), _new_keys(folder)),
            logged=_logged(folder),
            kills=run.kills,
            ended=process.ended,
            usage={server.host: server.usage for server in servers},
        )


class _Process:
    """The collector's process."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that it is started with
        self,
        trial: ChaosExperiment,
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
        for tag in _tags(trial):
            self._command += ["--tag", tag]
        after_s = ",".join(f"{seconds:g}" for seconds in trial.refresh_after_s)
        self._environment = os.environ | {
            "MASTOSTREAM_SIMULATED_CLOCK": (
                f"{clock.real_ms},{clock.simulated_ms},{clock.speed:g}"
            ),
            "MASTOSTREAM_COLLECT_REFRESH_AFTER_S": after_s,
            "MASTOSTREAM_COLLECT_HEARTBEAT_TIMEOUT_S": "2",
            "MASTOSTREAM_COLLECT_REQUEST_TIMEOUT_S": "5",
            **{_variable("ACCESS_TOKEN", server.url): tokens[server.host] for server in servers},
            **trial.settings,
        }

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "collector.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - what the caller asks for
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def look(self) -> None:
        """Start it again, should it have ended by itself."""
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


class _Run:
    """How a trial goes."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that takes part in it
        self,
        trial: ChaosExperiment,
        folder: Path,
        clock: ScaledClock,
        servers: Sequence[SimulatedServer],
        process: _Process,
        on_progress: OnProgress,
    ) -> None:
        self.kills = 0
        self._trial = trial
        self._folder = folder
        self._clock = clock
        self._servers = servers
        self._process = process
        self._on_progress = on_progress
        self._rng = random.Random(trial.seed)  # noqa: S311 - the same seed, the same moments
        self._whole_ms = (trial.hours + trial.settle_hours) * _HOUR_MS

    def begin(self) -> int:
        """Start it; return the moment from which on nothing may be missing."""
        self._process.start()
        wanted = len(self._servers) * self._trial.tags
        end_s = time.monotonic() + _PATIENCE_S
        while _timelines_read(self._folder) < wanted:
            if time.monotonic() > end_s:
                raise FatalError(
                    "the collector has not read every timeline once within "
                    f"{_PATIENCE_S:.0f} s: see {self._folder / 'collector.log'}"
                )
            self._process.look()
            time.sleep(0.2)
        return self._clock.now_ms()

    def go_on(self, until_ms: int) -> None:
        """Kill it at random moments."""
        begin_ms = self._clock.now_ms()
        moments = sorted(self._rng.uniform(begin_ms, until_ms) for _ in range(self._trial.kills))
        for moment in moments:
            self._wait(int(moment))
            self._process.kill()
            self.kills += 1
            off_ms = self._rng.uniform(0, self._trial.longest_off_s) * 1000
            self._pause(min(int(self._clock.now_ms() + off_ms), until_ms))
            self._process.start()
        self._wait(until_ms)

    def settle(self, since_ms: int, until_ms: int) -> None:
        """Wait until all posts from before have been read for the last time."""
        self._wait(until_ms)
        latest_ms = until_ms + int(self._trial.settle_hours * _HOUR_MS)
        while _to_be_read(self._folder, since_ms) and self._clock.now_ms() < latest_ms:
            self._wait(self._clock.now_ms() + int(self._trial.speed * 1000))

    def _wait(self, until_ms: int) -> None:
        while self._clock.now_ms() < until_ms:
            self._process.look()
            self._pause(min(until_ms, self._clock.now_ms() + int(self._trial.speed * 500)))

    def _pause(self, until_ms: int) -> None:
        left_s = self._clock.real_s((until_ms - self._clock.now_ms()) / 1000)
        time.sleep(max(0.0, left_s))
        done_ms = self._clock.now_ms() - START_MS
        told = f"{done_ms / _HOUR_MS:.0f} h simulated, killed {self.kills} times"
        self._on_progress(min(1.0, done_ms / self._whole_ms), told)


def _tags(trial: ChaosExperiment) -> tuple[str, ...]:
    return TAGS[: trial.tags]


def _variable(name: str, url: str) -> str:
    host = url.partition("://")[2]
    return f"{name}_{''.join(c if c.isalnum() else '_' for c in host.upper())}"


def _query(path: Path, query: str) -> list[Any]:
    if not path.is_file():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query).fetchall()


def _timelines_read(folder: Path) -> int:
    try:
        rows = _query(folder / "data" / "collector.sqlite3", "SELECT count(*) FROM cursors")
    except sqlite3.OperationalError:  # not made yet
        return 0
    return int(rows[0][0]) if rows else 0


def _to_be_read(folder: Path, before_ms: int) -> int:
    query = f"SELECT count(*) FROM refreshes WHERE first_ms < {before_ms:d}"  # noqa: S608 - a number
    return int(_query(folder / "data" / "collector.sqlite3", query)[0][0])


def _held(folder: Path, servers: Sequence[SimulatedServer]) -> list[HeldPost]:
    uncounted = {
        urlsplit(server.url).netloc for server in servers if server.world.family == "gotosocial"
    }
    rows = _query(
        folder / "data" / "mastostream.sqlite3",
        f"SELECT body FROM documents WHERE index_name = '{ENGAGEMENT}' AND deleted = 0",  # noqa: S608 - a constant
    )
    found = []
    for (body,) in rows:
        post = msgspec.json.decode(body, type=HeldPost)
        if msgspec.json.decode(body)["instance"] in uncounted:
            post = attrs.evolve(post, quotes_count=None)  # it does not say
        found.append(post)
    return found


def _stamps(folder: Path) -> list[tuple[str, str]]:
    rows = _query(
        folder / "data" / "mastostream.sqlite3",
        f"SELECT value FROM log WHERE topic = '{STREAM}'",  # noqa: S608 - a constant
    )
    stamps = [msgspec.json.decode(value)["mastostream"] for (value,) in rows]
    return [(stamp["event"], stamp["key"]) for stamp in stamps]


def _new_keys(folder: Path) -> list[str]:
    return [key for event, key in _stamps(folder) if event == "new"]


def _logged(folder: Path) -> dict[str, int]:
    return dict(Counter(event for event, _ in _stamps(folder)))
