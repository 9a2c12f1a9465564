"""What happens in a simulated Fediverse as time goes on."""

import random
import threading
from collections.abc import Callable, Mapping

from mastostream.testing.simulator.accounts import People
from mastostream.testing.simulator.families import Family
from mastostream.testing.simulator.federation import deliver, deliver_boost
from mastostream.testing.simulator.posts import Boost, SimulatedPost
from mastostream.testing.simulator.traffic_profile import TrafficProfile
from mastostream.testing.simulator.writing import WINDOW_MS, Writer

__all__ = ["History"]

Receive = Callable[[SimulatedPost, Boost | None], None]


class History:
    """Lets people write, and tells each server what will get to it, and when.

    Attributes:
        lock: held while anything is read or written; several servers share one history.
        people: the authors.
        reached_ms: the latest moment that was asked for.
    """

    def __init__(
        self,
        *,
        seed: int,
        families: Mapping[str, Family],
        traffic_profile: TrafficProfile,
        start_ms: int,
    ) -> None:
        """Begin at ``start_ms``: no post is older."""
        self.lock = threading.RLock()
        self.people = People(seed)
        self.reached_ms = start_ms
        self._seed = seed
        self._families = dict(families)
        self._habits = traffic_profile
        self._start_ms = start_ms
        self._window = start_ms // WINDOW_MS
        self._writer = Writer(seed, self._families, traffic_profile, self.people)
        self._receivers: dict[str, Receive] = {}

    def receive(self, host: str, receive: Receive) -> None:
        """Have this called with each post that gets to a server, long before it does."""
        self._receivers[host] = receive

    @property
    def known_until_ms(self) -> int:
        """What happens before this moment is known."""
        return self._window * WINDOW_MS

    def write_until(self, now_ms: int) -> None:
        """Let all be written up to a moment, and including it."""
        self.reached_ms = max(self.reached_ms, now_ms)
        while self.known_until_ms <= now_ms:
            self.write_window()

    def write_window(self) -> None:
        """Let the next window's posts be written."""
        rng = random.Random(f"{self._seed}:{self._window}:delivery")
        for post in self._writer.window(self._window):
            for host, receive in self._receivers.items():
                family = self._families[host]
                held = deliver(post, host, family, self._habits, rng)
                if held is not None and post.created_ms >= self._start_ms:
                    receive(held, deliver_boost(held, host, family, self._habits, rng))
        self._window += 1
