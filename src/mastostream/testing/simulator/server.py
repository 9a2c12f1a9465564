"""Simulated servers as HTTP servers of this process, on the loopback interface only."""

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

from mastostream.testing.simulator.api_middleware import ServerClock
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
    """A clock made of a function; its seconds are real seconds."""

    now_ms: Callable[[], int]

    def real_s(self, seconds: float) -> float:
        return seconds


class SimulatedServer:
    """A simulated server, which runs in a thread while its ``with`` block lasts.

    Attributes:
        url: base URL, such as ``http://127.0.0.1:40000``.
        host: host name that the server gives itself, and that the uris of its posts contain.
        fediverse: the Fediverse that the server belongs to.
        world: the posts of this server.
        faults: the faults of this server, to start and stop.
        usage: counts of the requests so far.
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
        clock: ServerClock | None = None,
        fediverse: Fediverse | None = None,
        host: str = "social.example",
        plan: FaultPlan | None = None,
        heartbeat_s: float = 15.0,
        ping_s: float = 30.0,
        pong_timeout_s: float = 5.0,
    ) -> None:
        """Bind the port; the server answers once its ``with`` block is entered.

        All times and waits follow the server's clock, except ``pong_timeout_s``.

        Args:
            port: TCP port; 0 for any free one.
            seed: the same seed and clock give the same posts.
            posts_per_s: average rate of new posts.
            backlog_s: how long the server has existed already, in seconds.
            token: the token that a client has to send; ``None`` for an open server, which accepts
                any token, and none.
            scopes: scopes that this token grants, or any token of an open server.
            rate_limit: requests that a client may make in 5 minutes, and pagination requests that
                it may make in 15 minutes; ``None`` for no limit.
            growth_s: time constant of engagement, in seconds.
            now_ms: clock as a function, milliseconds since the epoch.
            clock: a :class:`mastostream.ports.clock.Clock`, in place of ``now_ms``.
            fediverse: the Fediverse of the server, in place of ``seed``, ``posts_per_s``,
                ``backlog_s`` and ``growth_s``.
            host: host name of the server; one of those of ``fediverse`` where that is given.
            plan: plan of random faults; ``None`` for no faults by themselves.
            heartbeat_s: seconds between two heartbeats of server-sent events.
            ping_s: seconds between two pings of a WebSocket.
            pong_timeout_s: real seconds that a client has at least to answer a ping, since the
                simulated clock does not speed up clients.

        Raises:
            OSError: the port is taken.
            KeyError: the Fediverse has no such host.
        """
        server_clock: ServerClock = clock or _FromFunction(now_ms)
        self.fediverse = fediverse or Fediverse(
            hosts=(host,),
            seed=seed,
            start_ms=server_clock.now_ms() - int(backlog_s * 1000),
            traffic_profile=attrs.evolve(
                TrafficProfile.of_one_server(), posts_per_s=posts_per_s, growth_s=growth_s
            ),
            keep=50_000,
        )
        self.host = host
        self.world = self.fediverse.worlds[host]
        self.faults = Faults(plan, server_clock.now_ms)
        self._site = Site(
            world=self.world,
            clock=server_clock,
            tokens=Tokens(token, scopes),
            limits=RateLimiter(rate_limit, paging=self.world.family == "mastodon"),
            faults=self.faults,
            restart=self._go_down,
            heartbeat_s=heartbeat_s,
            ping_s=ping_s,
            pong_timeout_s=pong_timeout_s,
        )
        self._socket = socket.create_server((_LOOPBACK, port))
        _disable_nagle(self._socket)
        self._address: tuple[str, int] = self._socket.getsockname()
        self.url = f"http://{_LOOPBACK}:{self._address[1]}"
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._serve, name="simulator", daemon=True)

    @property
    def usage(self) -> Usage:
        """Counts of the requests so far."""
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
        self._call_in_loop(self._shut_down)
        self._thread.join(timeout=5)
        self._site.pusher.close()
        self._socket.close()

    def push(self, event: str, payload: bytes, tag: str) -> None:
        """Send an event at once to all streams of a hashtag, and to all public streams.

        Timelines do not show the event. It is buffered without a limit until clients read it.

        Args:
            event: name of the event, such as ``update``, ``status.update`` or ``delete``. A
                ``delete`` goes to all streams.
            payload: payload as it is sent: a status in one line of JSON, or the id alone.
            tag: the hashtag, in any spelling.
        """
        self._call_in_loop(self._site.pusher.send, event, payload, tag)

    def advance(self) -> None:
        """Send all due events now, after a test has moved the clock."""
        self._site.pusher.wake()

    def listeners(self) -> int:
        """Return how many connections listen to streams."""
        return len(self._site.hub)

    def revoke(self, token: str) -> None:
        """Make a token invalid. Its streams end cleanly."""
        self._site.tokens.revoke(token)
        self._call_in_loop(self._end, token)

    def end_streams(self) -> None:
        """End all streams cleanly, as with a revoked token."""
        self._call_in_loop(self._end, None)

    def cut_streams(self) -> None:
        """Break all streams without an end of the response."""
        self._call_in_loop(self._cut)

    def restart(self, seconds: float) -> None:
        """Break all connections and refuse new ones for this many seconds of the server's clock."""
        self.faults.begin("restart", seconds=seconds)

    def _call_in_loop(self, function: Callable[..., None], *arguments: object) -> None:
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
                for asyncio_server in server.servers:
                    asyncio_server.close()
            self._site.connections.abort()
            open_requests = server.server_state.tasks
            if open_requests:
                await asyncio.wait(open_requests, timeout=1)
            if not self._serving.cancelled():
                self._serving.result()
            if not self._stopping:
                await self._stay_down()
        pushing.cancel()

    def _go_down(self) -> None:
        """Stop uvicorn: all connections break, and the port refuses new ones."""
        if self._loop is None or self._serving is None or not self._is_up():
            return
        if self._serving.done():  # a restart is under way, and the socket is closed
            return
        # asyncio does not close a connection that it accepted just before its server was closed.
        # Without the reader it accepts no more, and those accepted are known when the task ends.
        self._loop.remove_reader(self._socket)
        self._serving.cancel()

    async def _stay_down(self) -> None:
        # The port is bound but not listening: it refuses connections, and nobody else can take it.
        self._socket.close()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(self._address)
        _disable_nagle(self._socket)
        while not self._stopping:
            now_ms = self._site.clock.now_ms()
            if "restart" not in self.faults.active(now_ms):
                return
            left_s = self._site.clock.real_s((self.faults.next_change_ms(now_ms) - now_ms) / 1000)
            await self._site.connections.pause(min(max(left_s, 0.001), 0.05))

    def _shut_down(self) -> None:
        self._site.connections.shut_down()
        self._go_down()


def _disable_nagle(listener: socket.socket) -> None:
    """Disable Nagle's algorithm (RFC 896), which delays parts of responses by 40 ms."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@contextmanager
def serving(
    fediverse: Fediverse,
    *,
    clock: ServerClock | None = None,
    ports: Collection[int] = (),
    tokens: Mapping[str, str] | None = None,
    plan: FaultPlan | None = None,
    rate_limit: int | None = 300,
    heartbeat_s: float = 15.0,
) -> Iterator[tuple[SimulatedServer, ...]]:
    """Run all servers of a Fediverse while the ``with`` block lasts.

    Args:
        fediverse: the servers' hosts and posts.
        clock: a :class:`mastostream.ports.clock.Clock`; default the machine's clock.
        ports: one TCP port for each server; default any free ones.
        tokens: tokens that clients have to send, by host name; a host without one is open.
        plan: plan of random faults; each server gets another seed.
        rate_limit: requests that a client may make in 5 minutes on one server, and pagination
            requests in 15 minutes; ``None`` for no limit.
        heartbeat_s: seconds of the clock between two heartbeats of server-sent events.

    Raises:
        OSError: a port is taken.
    """
    with ExitStack() as stack:
        servers = []
        for number, host in enumerate(fediverse.worlds):
            server_plan = (
                None if plan is None else attrs.evolve(plan, seed=plan.seed * 1000 + number)
            )
            server = SimulatedServer(
                port=[*ports][number] if ports else 0,
                clock=clock,
                fediverse=fediverse,
                host=host,
                token=(tokens or {}).get(host),
                plan=server_plan,
                rate_limit=rate_limit,
                heartbeat_s=heartbeat_s,
            )
            servers.append(stack.enter_context(server))
        yield tuple(servers)
