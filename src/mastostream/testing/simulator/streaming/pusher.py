"""Pushes what happens to those who listen, when the simulated clock gets there."""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Final

import msgspec

from mastostream.testing.simulator.api_middleware import Time
from mastostream.testing.simulator.fault_plan import FaultKind
from mastostream.testing.simulator.faults import Faults
from mastostream.testing.simulator.posts import SimulatedPost
from mastostream.testing.simulator.streaming.channels import Channel, channel, channels_of
from mastostream.testing.simulator.streaming.hub import Hub, StreamMessage
from mastostream.testing.simulator.world import Happening, World

__all__ = ["Pusher"]

_LONGEST_SLEEP_S: Final = 0.25
"""Real seconds, for clocks that stand still and are moved by hand."""

_HELD_BACK_MS: Final = 2_500


class Pusher:
    """One server's. To be used in its thread, but for ``wake``."""

    def __init__(
        self, world: World, hub: Hub, faults: Faults, clock: Time, restart: Callable[[], None]
    ) -> None:
        """Begin.

        Args:
            world: where things happen.
            hub: who listens.
            faults: what goes wrong with it.
            clock: the server's.
            restart: breaks all connections and lets the port refuse, while the fault lasts.
        """
        self._world = world
        self._hub = hub
        self._faults = faults
        self._clock = clock
        self._restart = restart
        self._happened: deque[Happening] = deque()
        self._held: list[tuple[int, int, list[Channel], StreamMessage]] = []
        self._order = count()
        self._rng = random.Random(world.host)
        self._before: frozenset[FaultKind] = frozenset()
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        world.listen(self._happened.append)
        faults.listen(self.wake)

    async def run(self) -> None:
        """Push, and sleep until something happens, until it is cancelled."""
        self._loop = asyncio.get_running_loop()
        before_ms, standing_s = -1, 0.0
        while True:
            self._woken.clear()
            now_ms = self.push_due()
            standing_s = 2 * standing_s + 0.001 if now_ms == before_ms else 0.0
            before_ms = now_ms
            sleep_s = min(max(self._sleep_s(now_ms), standing_s), _LONGEST_SLEEP_S)
            alarm = self._loop.call_later(sleep_s, self._woken.set)
            await self._woken.wait()
            alarm.cancel()

    def _sleep_s(self, now_ms: int) -> float:
        moments = [self._world.next_ms(now_ms), self._faults.next_change_ms(now_ms)]
        if self._held:
            moments.append(self._held[0][0])
        return max(0.0, self._clock.real_s((min(moments) - self._clock.now_ms()) / 1000))

    def wake(self) -> None:
        """Let it look at once. May be called from any thread."""
        with suppress(RuntimeError):  # the loop has ended
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._woken.set)

    def close(self) -> None:
        """Notice no more of what happens. May be called from any thread."""
        self._world.ignore(self._happened.append)

    def push_due(self) -> int:
        """Push all that has happened by now, and return this moment."""
        now_ms = self._clock.now_ms()
        self._world.advance(now_ms)
        active = self._faults.active(now_ms)
        self._begin(active - self._before)
        self._before = active
        while self._happened:
            self._push(self._happened.popleft(), active)
        while self._held and self._held[0][0] <= now_ms:
            *_, channels, message = heapq.heappop(self._held)
            self._hub.send(channels, message)
        return now_ms

    def send(self, event: str, payload: bytes, tag: str) -> None:
        """Push an event that did not happen."""
        if event == "delete":
            self._hub.send(self._served(self._hub.channels()), StreamMessage(event, payload))
            return
        channels = [channel("hashtag", tag), channel("public")]
        self._hub.send(self._served(channels), StreamMessage(event, payload))

    def _begin(self, kinds: frozenset[FaultKind]) -> None:
        if "restart" in kinds:
            self._restart()
        for client in self._hub.clients() if kinds else ():
            if kinds & {"cut_streams", "unavailable", "no_streaming"}:
                client.cut()
            elif "ended_streams" in kinds:
                client.end()
            elif "dead_streams" in kinds:
                client.deaden()

    def _push(self, happening: Happening, active: frozenset[FaultKind]) -> None:
        entry = happening.entry
        if not isinstance(entry, SimulatedPost) or active & {"silent_streams", "restart"}:
            return
        if happening.kind == "delete":
            everywhere = self._served(self._hub.channels())
            self._hub.send(everywhere, StreamMessage("delete", entry.id.encode()))
            return
        channels = self._served(channels_of(entry))
        if not self._hub.listened(channels):
            return
        payload = msgspec.json.encode(self._world.status(entry, happening.at_ms))
        message = StreamMessage(happening.kind, payload)
        if "swapped_events" in active or "overtaking_deletes" in active:
            late_ms = self._rng.randrange(_HELD_BACK_MS) if "swapped_events" in active else 0
            late_ms = max(late_ms, _HELD_BACK_MS if "overtaking_deletes" in active else 0)
            held = (happening.at_ms + late_ms, next(self._order), channels, message)
            heapq.heappush(self._held, held)
        else:
            self._hub.send(channels, message)

    def _served(self, channels: list[Channel]) -> list[Channel]:
        """GoToSocial opens the stream of a hashtag, and never sends anything on it."""
        if self._world.family == "mastodon":
            return channels
        return [each for each in channels if each[0].startswith("public")]
