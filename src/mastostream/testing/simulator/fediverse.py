"""A simulated Fediverse: several servers that share one history of posts."""

from collections.abc import Collection, Mapping, Sequence

from mastostream.testing.simulator.families import Family
from mastostream.testing.simulator.ground_truth import (
    GroundTruth,
    KeyBy,
    RefreshSchedule,
    find_ground_truth,
)
from mastostream.testing.simulator.history import History
from mastostream.testing.simulator.traffic_profile import TrafficProfile
from mastostream.testing.simulator.world import World

__all__ = ["Fediverse"]


class Fediverse:
    """Servers that share one history. The same arguments give the same posts on any machine.

    A post is written on one server and reaches the others seconds later, in some cases hours later.
    It has another id on each server, and the same uri on all of them.

    Attributes:
        worlds: the posts of each server, by its host name.
    """

    def __init__(
        self,
        *,
        hosts: Sequence[str] = ("one.example", "two.example", "three.example"),
        families: Mapping[str, Family] | None = None,
        seed: int = 1,
        start_ms: int = 0,
        traffic_profile: TrafficProfile | None = None,
        keep: int = 200_000,
    ) -> None:
        """Make a Fediverse without posts. No post will be older than ``start_ms``.

        Args:
            hosts: host names of the servers; the uris of their posts contain them.
            families: software of each server by host name; Mastodon where a host is missing.
            seed: another seed gives other posts.
            start_ms: begin of the history, milliseconds since the epoch.
            traffic_profile: rates and delays; default ``TrafficProfile()``.
            keep: smallest number of the latest posts that each server keeps.
        """
        family_of: dict[str, Family] = {
            host: (families or {}).get(host, "mastodon") for host in hosts
        }
        self._history = History(
            seed=seed,
            families=family_of,
            traffic_profile=traffic_profile or TrafficProfile(),
            start_ms=start_ms,
        )
        self.worlds: Mapping[str, World] = {
            host: World.from_history(self._history, host, family, keep)
            for host, family in family_of.items()
        }

    def advance(self, now_ms: int) -> None:
        """Apply all events up to this time, on all servers."""
        for world in self.worlds.values():
            world.advance(now_ms)

    def truth(
        self,
        tags: Collection[str],
        since_ms: int,
        until_ms: int,
        *,
        hosts: Sequence[str] | None = None,
        key_by: KeyBy = "auto",
        reading: RefreshSchedule | None = None,
    ) -> GroundTruth:
        """Return the ground truth: what a tool without errors holds if it follows these hashtags.

        Times are milliseconds since the epoch.

        Args:
            tags: hashtags, in any spelling.
            since_ms: posts that arrived up to this time are optional.
            until_ms: posts that arrive after this time are optional. Nothing is known beyond the
                latest time up to which any server was advanced.
            hosts: host names of the servers that were followed; default all.
            key_by: the key of a post, ``id`` or ``uri``; ``auto`` is ``id`` where one server is
                followed, else ``uri``.
            reading: when the tool reads posts again; ``None`` expects the last version and the last
                counts, as of ``until_ms``.

        Raises:
            ValueError: posts of this time were forgotten, or a host is not one of these servers.
        """
        self.advance(max(until_ms, self._history.reached_ms))
        unknown = set(hosts or ()) - self.worlds.keys()
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: not among {', '.join(self.worlds)}")
        followed = [self.worlds[host] for host in hosts or self.worlds]
        for world in followed:
            if world.forgotten_ms is not None and world.forgotten_ms > since_ms:
                raise ValueError(
                    f"{world.host} has forgotten posts since then: give the Fediverse a larger keep"
                )
        return find_ground_truth(
            followed,
            tags,
            since_ms,
            until_ms,
            now_ms=self._history.reached_ms,
            key_by=key_by,
            reading=reading,
        )
