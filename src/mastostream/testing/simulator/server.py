"""The simulated server as a process's own HTTP server, on the loopback only."""

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import uvicorn

from mastostream.testing.simulator.app import Api
from mastostream.testing.simulator.faults import Faults
from mastostream.testing.simulator.world import GROWTH_S, World

__all__ = ["SimulatedServer"]


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class SimulatedServer:
    """Runs in a thread while the ``with`` block lasts.

    Attributes:
        url: where it answers.
        world: what happens there.
        faults: what goes wrong there.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        seed: int = 1,
        posts_per_s: float = 3.0,
        backlog_s: float = 60.0,
        token: str | None = None,
        rate_limit: int | None = 300,
        growth_s: float = GROWTH_S,
        now_ms: Callable[[], int] = _wall_clock_ms,
    ) -> None:
        """Take the port.

        Args:
            port: 0 for any free one.
            seed: the same seed and clock, the same posts.
            posts_per_s: on average.
            backlog_s: how long the server has been there already.
            token: what a client has to send; ``None`` for an open server.
            rate_limit: requests in 5 minutes; ``None`` for no limit.
            growth_s: time constant of engagement.
            now_ms: the clock.

        Raises:
            OSError: the port is taken.
        """
        self.world = World(
            seed=seed,
            posts_per_s=posts_per_s,
            start_ms=now_ms() - int(backlog_s * 1000),
            growth_s=growth_s,
        )
        self.faults = Faults()
        self.api = Api(self.world, self.faults, now_ms, token=token, rate_limit=rate_limit)
        self._socket = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self.api.app(), log_config=None, access_log=False, lifespan="off", loop="asyncio"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="simulator", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=5)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])
