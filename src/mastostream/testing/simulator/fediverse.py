"""Several simulated servers, and what goes on between them."""

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
    """Servers that share one history. The same arguments, the same posts, on any machine.

    A post is written on one server and gets to the others a little later, now and then much later;
    it has another id on each, and the same uri.

    Attributes:
        worlds: what each server holds, by its host name.
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
        """Begin at ``start_ms``: no post is older.

        Args:
            hosts: the servers' names. Posts from them have them in their uris.
            families: the software of those that are not Mastodon.
            seed: another seed, other posts.
            start_ms: milliseconds since the epoch.
            traffic_profile: what happens how often.
            keep: how many posts each server remembers, at least.
        """
        kinds: dict[str, Family] = {host: (families or {}).get(host, "mastodon") for host in hosts}
        self._history = History(
            seed=seed,
            families=kinds,
            traffic_profile=traffic_profile or TrafficProfile(),
            start_ms=start_ms,
        )
        self.worlds: Mapping[str, World] = {
            host: World.of(self._history, host, family, keep) for host, family in kinds.items()
        }

    def advance(self, now_ms: int) -> None:
        """Let everything happen up to this moment, on all servers."""
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
        """Return what somebody who followed these hashtags holds if nothing went wrong.

        Args:
            tags: hashtags, in any spelling.
            since_ms: what arrived by then may be held, and need not.
            until_ms: what arrives later may be held, and need not. Nothing later than the latest
                moment that any server has been asked for is known.
            hosts: the servers that are followed; default all.
            key_by: what a post is called: ``id`` where one server is followed, else ``uri``.
            reading: when posts are read again; ``None``: the last version and the last counts, as
                of ``until_ms``, are expected.

        Raises:
            ValueError: posts of this time were forgotten, or a host is none of these servers.
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
