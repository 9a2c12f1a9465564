"""Simulated servers as HTTP servers of this process, on the loopback only."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Final, Self

import attrs
import uvicorn

from mastostream.testing.simulator.api_middleware import Time
from mastostream.testing.simulator.fault_plan import FaultPlan
from mastostream.testing.simulator.faults import Faults
from mastostream.testing.simulator.fediverse import Fediverse
from mastostream.testing.simulator.limits import RateLimiter, Usage
from mastostream.testing.simulator.site import Site
from mastostream.testing.simulator.tokens import Tokens
from mastostream.testing.simulator.traffic_profile import GROWTH_S, TrafficProfile

__all__ = ["SimulatedServer", "serving"]

_LOOPBACK: Final = "127.0.0.1"


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@attrs.frozen
class _FromFunction:
    """A clock that is a function. What takes a second takes a second of the machine."""

    now_ms: Callable[[], int]

    def real_s(self, seconds: float) -> float:
        return seconds


class SimulatedServer:
    """Runs in a thread while the ``with`` block lasts.

    Attributes:
        url: where it answers.
        host: what it calls itself, and what the uris of its posts begin with.
        fediverse: all that happens, on this server and on others.
        world: what this server holds of it.
        faults: what goes wrong there.
        usage: what was asked of it, and whether it was too much.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        seed: int = 1,
        posts_per_s: float = 3.0,
        backlog_s: float = 60.0,
        token: str | None = None,
        scopes: Collection[str] = ("read",),
        rate_limit: int | None = 300,
        growth_s: float = GROWTH_S,
        now_ms: Callable[[], int] = _wall_clock_ms,
        clock: Time | None = None,
        fediverse: Fediverse | None = None,
        host: str = "social.example",
        plan: FaultPlan | None = None,
        heartbeat_s: float = 15.0,
        ping_s: float = 30.0,
        pong_timeout_s: float = 5.0,
    ) -> None:
        """Take the port. Its waits, as its moments, are those of the clock.

        Args:
            port: 0 for any free one.
            seed: the same seed and clock, the same posts.
            posts_per_s: on average.
            backlog_s: how long the server has been there already.
            token: what a client has to send; ``None`` for an open server, where any token is right.
            scopes: what that token, or any, allows.
            rate_limit: requests in 5 minutes, and of those that page in 15; ``None`` for no limit.
            growth_s: time constant of engagement.
            now_ms: the clock.
            clock: a :class:`mastostream.ports.clock.Clock`, in place of ``now_ms``.
            fediverse: what happens, in place of ``seed``, ``posts_per_s``, ``backlog_s`` and
                ``growth_s``.
            host: which of its servers this is.
            plan: faults by chance.
            heartbeat_s: between two heartbeats of server-sent events.
            ping_s: between two pings of a WebSocket.
            pong_timeout_s: how long a client may take to answer a ping, at least: real seconds, as
                how soon it answers does not follow the simulated clock.

        Raises:
            OSError: the port is taken.
            KeyError: the Fediverse has no such host.
        """
        time_of: Time = clock or _FromFunction(now_ms)
        self.fediverse = fediverse or Fediverse(
            hosts=(host,),
            seed=seed,
            start_ms=time_of.now_ms() - int(backlog_s * 1000),
            traffic_profile=attrs.evolve(
                TrafficProfile.of_one_server(), posts_per_s=posts_per_s, growth_s=growth_s
            ),
            keep=50_000,
        )
        self.host = host
        self.world = self.fediverse.worlds[host]
        self.faults = Faults(plan, time_of.now_ms)
        self._site = Site(
            world=self.world,
            clock=time_of,
            tokens=Tokens(token, scopes),
            limits=RateLimiter(rate_limit, paging=self.world.family == "mastodon"),
            faults=self.faults,
            restart=self._go_down,
            heartbeat_s=heartbeat_s,
            ping_s=ping_s,
            pong_timeout_s=pong_timeout_s,
        )
        self._socket = socket.create_server((_LOOPBACK, port))
        _send_at_once(self._socket)
        self._address: tuple[str, int] = self._socket.getsockname()
        self.url = f"http://{_LOOPBACK}:{self._address[1]}"
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._serve, name="simulator", daemon=True)

    @property
    def usage(self) -> Usage:
        """What was asked of it."""
        return self._site.limits.usage

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._is_up() and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping = True
        self._call(self._shut)
        self._thread.join(timeout=5)
        self._site.pusher.close()
        self._socket.close()

    def push(self, event: str, payload: bytes, tag: str) -> None:
        """Send an event to all who listen to a hashtag, or to all posts, as fast as possible.

        It did not happen: timelines do not know it. What is not read yet waits, without a limit.

        Args:
            event: ``update``, ``status.update``, ``delete`` (which goes to all) ...
            payload: as it is to be sent: a status in one line of JSON, or a bare id.
            tag: in any spelling.
        """
        self._call(self._site.pusher.send, event, payload, tag)

    def advance(self) -> None:
        """Push what is due at once, where the clock was moved by hand."""
        self._site.pusher.wake()

    def listeners(self) -> int:
        """How many connections listen to streams."""
        return len(self._site.hub)

    def revoke(self, token: str) -> None:
        """Let a token be valid no more. Its streams end cleanly."""
        self._site.tokens.revoke(token)
        self._call(self._end, token)

    def end_streams(self) -> None:
        """Let all streams end cleanly."""
        self._call(self._end, None)

    def cut_streams(self) -> None:
        """Break all streams."""
        self._call(self._cut)

    def restart(self, seconds: float) -> None:
        """Break all connections and refuse new ones for so long, and at least a moment."""
        self.faults.begin("restart", seconds=seconds)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function, *arguments)

    def _end(self, token: str | None) -> None:
        for client in self._site.hub.clients(token):
            client.end()

    def _cut(self) -> None:
        for client in self._site.hub.clients():
            client.cut()

    def _is_up(self) -> bool:
        return self._server is not None and self._server.started

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        pushing = asyncio.create_task(self._site.pusher.run())
        config = self._site.config()
        while not self._stopping:
            self._server = server = uvicorn.Server(config)
            self._serving = asyncio.create_task(server.serve(sockets=[self._socket]))
            await asyncio.wait({self._serving})
            if server.started:
                for listening in server.servers:
                    listening.close()
            self._site.connections.abort()
            answering = server.server_state.tasks
            if answering:
                await asyncio.wait(answering, timeout=1)
            if not self._serving.cancelled():
                self._serving.result()
            if not self._stopping:
                await self._stay_down()
        pushing.cancel()

    def _go_down(self) -> None:
        """Break all connections, and refuse new ones from now on."""
        if self._loop is None or self._serving is None or not self._is_up():
            return
        if self._serving.done():  # it is going down already, and its socket is closed
            return
        # asyncio never closes what it has accepted just before its server is closed. By the time
        # that the task has ended, that has become a connection.
        self._loop.remove_reader(self._socket)
        self._serving.cancel()

    async def _stay_down(self) -> None:
        # Bound, but not listening: the port refuses, and stays ours.
        self._socket.close()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(self._address)
        _send_at_once(self._socket)
        while not self._stopping:
            now_ms = self._site.clock.now_ms()
            if "restart" not in self.faults.active(now_ms):
                return
            left_s = self._site.clock.real_s((self.faults.next_change_ms(now_ms) - now_ms) / 1000)
            await self._site.connections.pause(min(max(left_s, 0.001), 0.05))

    def _shut(self) -> None:
        self._site.connections.shut()
        self._go_down()


def _send_at_once(listening: socket.socket) -> None:
    """Let no answer wait for the client's acknowledgement of its first part: 40 ms (RFC 896)."""
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@contextmanager
def serving(
    fediverse: Fediverse,
    *,
    clock: Time | None = None,
    ports: Collection[int] = (),
    tokens: Mapping[str, str] | None = None,
    plan: FaultPlan | None = None,
    rate_limit: int | None = 300,
    heartbeat_s: float = 15.0,
) -> Iterator[tuple[SimulatedServer, ...]]:
    """Run all servers of a Fediverse while the ``with`` block lasts.

    Args:
        fediverse: what happens.
        clock: a :class:`mastostream.ports.clock.Clock`; default the machine's.
        ports: one a server; default any free ones.
        tokens: by host: what a client has to send.
        plan: faults by chance, others on each server.
        rate_limit: as for a :class:`SimulatedServer`.
        heartbeat_s: as for a :class:`SimulatedServer`.

    Raises:
        OSError: a port is taken.
    """
    with ExitStack() as stack:
        servers = []
        for number, host in enumerate(fediverse.worlds):
            own = None if plan is None else attrs.evolve(plan, seed=plan.seed * 1000 + number)
            server = SimulatedServer(
                port=[*ports][number] if ports else 0,
                clock=clock,
                fediverse=fediverse,
                host=host,
                token=(tokens or {}).get(host),
                plan=own,
                rate_limit=rate_limit,
                heartbeat_s=heartbeat_s,
            )
            servers.append(stack.enter_context(server))
        yield tuple(servers)
