"""Processes of the pipeline: started, watched, killed, ended."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mastostream.testing.chaos import PRODUCT

PATIENCE_S: Final = 240.0


def until(holds: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.1)


class Worker:
    """One process of the pipeline, with its log in a file."""

    def __init__(
        self, name: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self.kills = 0
        self._command = [*PRODUCT, *arguments, "-vv"]
        self._folder = folder
        self._environment = os.environ | dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> "Worker":
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def told(self) -> str:
        """What it has logged."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def look(self) -> None:
        """Make sure that it has not ended by itself."""
        assert self._process is None or self._process.poll() is None, f"{self.name} has ended"

    def kill(self) -> None:
        """End it as a crash would, also one that is paused."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None
        self.kills += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it sleep as if its machine did."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        yield
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it as a user would."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(60) == 0, f"{self.name} ended with {process.returncode}"
            finally:
                process.kill()
                process.wait()

    def run_once(self) -> None:
        """Run it to its end."""
        self.start()
        assert self._process is not None
        code = self._process.wait(PATIENCE_S)
        self._process = None
        assert code == 0, f"{self.name} ended with {code}"

    def let_go(self) -> None:
        """Leave nothing of it."""
        if self._process is not None:
            self.kill()


class Workers:
    """Processes that share settings. None is left in the end; their logs are shown on failure."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.all: list[Worker] = []

    def add(self, name: str, *arguments: str, **environment: str) -> Worker:
        worker = Worker(name, arguments, self.folder, self.environment | environment)
        self.all.append(worker)
        return worker

    @property
    def kills(self) -> int:
        return sum(worker.kills for worker in self.all)

    def look(self) -> None:
        for worker in self.all:
            worker.look()

    def until(self, holds: Callable[[], object]) -> None:
        """Wait for a condition while all processes live."""

        def alive_and_true() -> object:
            self.look()
            return holds()

        until(alive_and_true)

    @contextmanager
    def told(self) -> Iterator["Workers"]:
        try:
            yield self
        except BaseException as error:
            for worker in self.all:
                told = "\n  ".join(line[:300] for line in worker.told().splitlines()[-25:])
                error.add_note(f"{worker.log_path} ends with:\n  {told}")
            raise
        finally:
            for worker in self.all:
                worker.let_go()


def kill_at_random(workers: Workers, times: Mapping[Worker, int], rng: random.Random) -> None:
    """Kill each so many times: a random one each time, back at once or a little later."""
    order = [worker for worker, count in times.items() for _ in range(count)]
    rng.shuffle(order)
    for victim in order:
        time.sleep(rng.uniform(0.1, 1.2))
        workers.look()
        victim.kill()
        time.sleep(rng.choice((0.0, rng.uniform(0.0, 1.0))))
        victim.start()
