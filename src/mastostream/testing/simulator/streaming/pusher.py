"""Sends events to the clients of the streams when the server's clock reaches their time."""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Final

import msgspec

from mastostream.testing.simulator.api_middleware import ServerClock
from mastostream.testing.simulator.fault_plan import FaultKind
from mastostream.testing.simulator.faults import Faults
from mastostream.testing.simulator.posts import SimulatedPost
from mastostream.testing.simulator.streaming.channels import Channel, channel, channels_of
from mastostream.testing.simulator.streaming.hub import Hub, StreamMessage
from mastostream.testing.simulator.world import World, WorldEvent

__all__ = ["Pusher"]

_LONGEST_SLEEP_S: Final = 0.25
"""Longest sleep in real seconds: a test may move a clock that stands still."""

_HELD_BACK_MS: Final = 2_500
"""Delay of events under the faults ``overtaking_deletes`` and ``swapped_events``."""


class Pusher:
    """The pusher of one server. Only ``wake`` and ``close`` may be called in other threads."""

    def __init__(
        self,
        world: World,
        hub: Hub,
        faults: Faults,
        clock: ServerClock,
        restart: Callable[[], None],
    ) -> None:
        """Listen to a world's events from now on; ``run`` sends them.

        Args:
            world: the server's posts, whose events are sent.
            hub: the clients.
            faults: the server's faults, some of which change what is sent.
            clock: the server's clock.
            restart: called when the fault ``restart`` begins: breaks all connections and lets the
                port refuse new ones while the fault lasts.
        """
        self._world = world
        self._hub = hub
        self._faults = faults
        self._clock = clock
        self._restart = restart
        self._events: deque[WorldEvent] = deque()
        self._held: list[tuple[int, int, list[Channel], StreamMessage]] = []
        self._order = count()
        self._rng = random.Random(world.host)
        self._active: frozenset[FaultKind] = frozenset()
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        world.listen(self._events.append)
        faults.listen(self.wake)

    async def run(self) -> None:
        """Send due events, then sleep until the next one; runs until it is cancelled."""
        self._loop = asyncio.get_running_loop()
        previous_ms, clock_stands_s = -1, 0.0
        while True:
            self._woken.clear()
            now_ms = self.push_due()
            clock_stands_s = 2 * clock_stands_s + 0.001 if now_ms == previous_ms else 0.0
            previous_ms = now_ms
            sleep_s = min(max(self._sleep_s(now_ms), clock_stands_s), _LONGEST_SLEEP_S)
            alarm = self._loop.call_later(sleep_s, self._woken.set)
            await self._woken.wait()
            alarm.cancel()

    def _sleep_s(self, now_ms: int) -> float:
        moments = [self._world.next_ms(now_ms), self._faults.next_change_ms(now_ms)]
        if self._held:
            moments.append(self._held[0][0])
        return max(0.0, self._clock.real_s((min(moments) - self._clock.now_ms()) / 1000))

    def wake(self) -> None:
        """Send due events now. May be called from any thread."""
        with suppress(RuntimeError):  # the loop has ended
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._woken.set)

    def close(self) -> None:
        """Stop listening to the world. May be called from any thread."""
        self._world.stop_listening(self._events.append)

    def push_due(self) -> int:
        """Send all events up to now, and return the current time in milliseconds."""
        now_ms = self._clock.now_ms()
        self._world.advance(now_ms)
        active = self._faults.active(now_ms)
        self._begin_faults(active - self._active)
        self._active = active
        while self._events:
            self._send(self._events.popleft(), active)
        while self._held and self._held[0][0] <= now_ms:
            *_, channels, message = heapq.heappop(self._held)
            self._hub.send(channels, message)
        return now_ms

    def send(self, event: str, payload: bytes, tag: str) -> None:
        """Send an event that the world does not have."""
        if event == "delete":
            self._hub.send(self._served(self._hub.channels()), StreamMessage(event, payload))
            return
        channels = [channel("hashtag", tag), channel("public")]
        self._hub.send(self._served(channels), StreamMessage(event, payload))

    def _begin_faults(self, kinds: frozenset[FaultKind]) -> None:
        if "restart" in kinds:
            self._restart()
        for client in self._hub.clients() if kinds else ():
            if kinds & {"cut_streams", "unavailable", "no_streaming"}:
                client.cut()
            elif "ended_streams" in kinds:
                client.end()
            elif "dead_streams" in kinds:
                client.deaden()

    def _send(self, event: WorldEvent, active: frozenset[FaultKind]) -> None:
        entry = event.entry
        if not isinstance(entry, SimulatedPost) or active & {"silent_streams", "restart"}:
            return
        if event.kind == "delete":
            everywhere = self._served(self._hub.channels())
            self._hub.send(everywhere, StreamMessage("delete", entry.id.encode()))
            return
        channels = self._served(channels_of(entry))
        if not self._hub.has_listeners(channels):
            return
        payload = msgspec.json.encode(self._world.status(entry, event.at_ms))
        message = StreamMessage(event.kind, payload)
        if "swapped_events" in active or "overtaking_deletes" in active:
            delay_ms = self._rng.randrange(_HELD_BACK_MS) if "swapped_events" in active else 0
            delay_ms = max(delay_ms, _HELD_BACK_MS if "overtaking_deletes" in active else 0)
            held = (event.at_ms + delay_ms, next(self._order), channels, message)
            heapq.heappush(self._held, held)
        else:
            self._hub.send(channels, message)

    def _served(self, channels: list[Channel]) -> list[Channel]:
        """Return the channels that get events; on GoToSocial those of hashtags get none."""
        if self._world.family == "mastodon":
            return channels
        return [channel for channel in channels if channel[0].startswith("public")]
