"""The shared history of a simulated Fediverse: posts are generated and delivered to each server."""

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

OnDelivery = Callable[[SimulatedPost, Boost | None], None]


class History:
    """Generates posts window by window and passes each one to the servers that will receive it.

    Attributes:
        lock: held while the history or any of its worlds is read or changed.
        people: the authors.
        reached_ms: latest time up to which posts were asked for, milliseconds since the epoch.
    """

    def __init__(
        self,
        *,
        seed: int,
        families: Mapping[str, Family],
        traffic_profile: TrafficProfile,
        start_ms: int,
    ) -> None:
        """Make an empty history. No post will be older than ``start_ms``."""
        self.lock = threading.RLock()
        self.people = People(seed)
        self.reached_ms = start_ms
        self._seed = seed
        self._families = dict(families)
        self._traffic_profile = traffic_profile
        self._start_ms = start_ms
        self._window = start_ms // WINDOW_MS
        self._writer = Writer(seed, self._families, traffic_profile, self.people)
        self._on_delivery: dict[str, OnDelivery] = {}

    def register(self, host: str, on_delivery: OnDelivery) -> None:
        """Call ``on_delivery`` with each post that will reach this server, before it arrives."""
        self._on_delivery[host] = on_delivery

    @property
    def known_until_ms(self) -> int:
        """End of the last generated window: everything before this time is known."""
        return self._window * WINDOW_MS

    def generate_until(self, now_ms: int) -> None:
        """Generate all posts up to this time, and including it."""
        self.reached_ms = max(self.reached_ms, now_ms)
        while self.known_until_ms <= now_ms:
            self.generate_window()

    def generate_window(self) -> None:
        """Generate the posts of the next window and deliver them."""
        rng = random.Random(f"{self._seed}:{self._window}:delivery")
        for post in self._writer.window(self._window):
            for host, on_delivery in self._on_delivery.items():
                family = self._families[host]
                delivered = deliver(post, host, family, self._traffic_profile, rng)
                if delivered is not None and post.created_ms >= self._start_ms:
                    boost = deliver_boost(delivered, host, family, self._traffic_profile, rng)
                    on_delivery(delivered, boost)
        self._window += 1
