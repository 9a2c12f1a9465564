"""Who writes what, and when. Everything follows from the seed, window by window."""

import math
import random
from collections.abc import Iterator, Mapping
from typing import Final

from mastostream.testing.simulator import texts
from mastostream.testing.simulator.accounts import OUTSIDE, People, Person
from mastostream.testing.simulator.families import Family
from mastostream.testing.simulator.ids import post_number, spell
from mastostream.testing.simulator.posts import Counts, WrittenPost
from mastostream.testing.simulator.traffic_profile import TrafficProfile

__all__ = ["WINDOW_MS", "Writer"]

WINDOW_MS: Final = 20_000
"""What happens in a window is drawn at once; a burst lasts for one."""

_BURSTS: Final = 0.08
_ACCOUNTS: Final = 400
_DAY_MS: Final = 86_400_000
_QUIETEST_MS: Final = 3 * 3_600_000
_SOONEST_CHANGE_S: Final = 60.0
_HASTE_MS: Final = 2_000
_MOST_EDITS: Final = 4


class Writer:
    """Writes the posts of all servers."""

    def __init__(
        self,
        seed: int,
        families: Mapping[str, Family],
        traffic_profile: TrafficProfile,
        people: People,
    ) -> None:
        """Begin; the same arguments, the same posts.

        Args:
            seed: whatever is drawn is drawn from it.
            families: the servers' host names, and their software.
            traffic_profile: what happens how often.
            people: the authors.
        """
        self._seed = seed
        self._families = families
        self._hosts = tuple(families)
        self._habits = traffic_profile
        self._people = people

    def window(self, number: int) -> Iterator[WrittenPost]:
        """Yield what is written in a window, in this order."""
        rng = random.Random(f"{self._seed}:{number}")
        begin_ms = number * WINDOW_MS
        expected = self._rate(rng, begin_ms) * WINDOW_MS / 1000
        count = int(expected) + (rng.random() < expected % 1)
        before_ms, order = -1, 0
        for moment in sorted(rng.randrange(WINDOW_MS) for _ in range(count)):
            created_ms = begin_ms + moment
            order = order + 1 if created_ms == before_ms else 0
            before_ms = created_ms
            yield self._post(rng, created_ms, order)

    def _rate(self, rng: random.Random, begin_ms: int) -> float:
        traffic_profile = self._habits
        calm = (1 - _BURSTS * traffic_profile.burst) / (1 - _BURSTS)
        rate = traffic_profile.posts_per_s * (
            traffic_profile.burst if rng.random() < _BURSTS else calm
        )
        hour = math.cos(2 * math.pi * ((begin_ms - _QUIETEST_MS) % _DAY_MS) / _DAY_MS)
        return rate * (1 - traffic_profile.day_night * hour)

    def _post(self, rng: random.Random, created_ms: int, order: int) -> WrittenPost:
        author = self._person(rng)
        family = self._families.get(author.home, "mastodon")
        popular = min(200, int(rng.paretovariate(0.9)) - 1)
        tags = tuple(dict.fromkeys(texts.tag(rng) for _ in range(rng.randrange(1, 5))))
        spoken = texts.language(rng)
        content = texts.content(rng, spoken, tags, author.home)
        if rng.random() < self._habits.separator_share:
            content = content.replace("</p>", "\u2028.</p>", 1)
        edits, deleted_ms = self._fate(rng, created_ms)
        booster = None
        if rng.random() < self._habits.boost_share:
            booster = self._person(rng), self._later(rng, created_ms)
        return WrittenPost(
            origin_id=spell(family, post_number(family, author.home, created_ms, order)),
            order=order,
            created_ms=created_ms,
            author=author,
            language=spoken,
            tags=tags,
            content=content,
            final=Counts(
                favourites=popular,
                reblogs=popular // 3,
                replies=popular // 5,
                quotes=popular // 12,
            ),
            growth_s=self._habits.growth_s,
            edits=edits,
            deleted_ms=deleted_ms,
            booster=booster,
        )

    def _person(self, rng: random.Random) -> Person:
        homes = OUTSIDE if rng.random() < self._habits.outside_share else self._hosts
        number = min(_ACCOUNTS - 1, int(rng.paretovariate(0.6)) - 1)
        return self._people.person(homes[int(rng.random() * len(homes))], number)

    def _fate(self, rng: random.Random, created_ms: int) -> tuple[tuple[int, ...], int | None]:
        traffic_profile = self._habits
        if rng.random() < traffic_profile.hasty_share:
            moments = [created_ms + 1 + int(rng.random() * _HASTE_MS) for _ in range(2)]
            return ((), moments[0]) if rng.random() < 0.5 else (tuple(sorted(set(moments))), None)
        deleted_ms = None
        if rng.random() < traffic_profile.delete_share:
            deleted_ms = self._later(rng, created_ms)
        edits: set[int] = set()
        if rng.random() < traffic_profile.edit_share:
            edits.add(self._later(rng, created_ms))
            while len(edits) < _MOST_EDITS and rng.random() < 0.3:
                edits.add(self._later(rng, created_ms))
        return tuple(
            moment for moment in sorted(edits) if deleted_ms is None or moment < deleted_ms
        ), deleted_ms

    def _later(self, rng: random.Random, created_ms: int) -> int:
        """Draw a moment after the post: sooner is likelier."""
        spread = math.log(self._habits.changes_within_s / _SOONEST_CHANGE_S)
        return created_ms + int(1000 * _SOONEST_CHANGE_S * math.exp(rng.random() * spread))
