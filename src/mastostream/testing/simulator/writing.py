"""Generates posts at the source: authors, texts, times and later changes, all from one seed."""

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
"""Length of a window. All posts of a window are drawn together; a burst lasts one window."""

_BURST_SHARE: Final = 0.08
"""Share of all windows that are bursts."""

_ACCOUNTS_PER_SERVER: Final = 400
_DAY_MS: Final = 86_400_000
_QUIETEST_MS: Final = 3 * 3_600_000
"""Time of day (UTC) with the fewest posts: 03:00."""

_MIN_CHANGE_DELAY_S: Final = 60.0
_HASTY_WITHIN_MS: Final = 2_000
_MAX_EDITS: Final = 4


class Writer:
    """Generates the posts of all servers, before federation."""

    def __init__(
        self,
        seed: int,
        families: Mapping[str, Family],
        traffic_profile: TrafficProfile,
        people: People,
    ) -> None:
        """Make a generator: the same arguments give the same posts.

        Args:
            seed: seed of everything that is drawn at random.
            families: software of each server, by its host name.
            traffic_profile: rates of posts and changes.
            people: the authors.
        """
        self._seed = seed
        self._families = families
        self._hosts = tuple(families)
        self._traffic_profile = traffic_profile
        self._people = people

    def window(self, number: int) -> Iterator[WrittenPost]:
        """Yield the posts of the window with this number, in the order of creation."""
        rng = random.Random(f"{self._seed}:{number}")
        begin_ms = number * WINDOW_MS
        expected = self._posts_per_s(rng, begin_ms) * WINDOW_MS / 1000
        count = int(expected) + (rng.random() < expected % 1)
        previous_ms, order = -1, 0
        for offset_ms in sorted(rng.randrange(WINDOW_MS) for _ in range(count)):
            created_ms = begin_ms + offset_ms
            order = order + 1 if created_ms == previous_ms else 0
            previous_ms = created_ms
            yield self._post(rng, created_ms, order)

    def _posts_per_s(self, rng: random.Random, begin_ms: int) -> float:
        traffic_profile = self._traffic_profile
        calm = (1 - _BURST_SHARE * traffic_profile.burst) / (1 - _BURST_SHARE)
        rate = traffic_profile.posts_per_s * (
            traffic_profile.burst if rng.random() < _BURST_SHARE else calm
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
        if rng.random() < self._traffic_profile.separator_share:
            content = content.replace("</p>", "\u2028.</p>", 1)
        edits, deleted_ms = self._changes(rng, created_ms)
        booster = None
        if rng.random() < self._traffic_profile.boost_share:
            booster = self._person(rng), self._change_ms(rng, created_ms)
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
            growth_s=self._traffic_profile.growth_s,
            edits=edits,
            deleted_ms=deleted_ms,
            booster=booster,
        )

    def _person(self, rng: random.Random) -> Person:
        homes = OUTSIDE if rng.random() < self._traffic_profile.outside_share else self._hosts
        number = min(_ACCOUNTS_PER_SERVER - 1, int(rng.paretovariate(0.6)) - 1)
        return self._people.person(homes[int(rng.random() * len(homes))], number)

    def _changes(self, rng: random.Random, created_ms: int) -> tuple[tuple[int, ...], int | None]:
        """Draw the times of a post's edits and of its deletion; ``None`` for no deletion."""
        traffic_profile = self._traffic_profile
        if rng.random() < traffic_profile.hasty_share:
            times = [created_ms + 1 + int(rng.random() * _HASTY_WITHIN_MS) for _ in range(2)]
            return ((), times[0]) if rng.random() < 0.5 else (tuple(sorted(set(times))), None)
        deleted_ms = None
        if rng.random() < traffic_profile.delete_share:
            deleted_ms = self._change_ms(rng, created_ms)
        edits: set[int] = set()
        if rng.random() < traffic_profile.edit_share:
            edits.add(self._change_ms(rng, created_ms))
            while len(edits) < _MAX_EDITS and rng.random() < 0.3:
                edits.add(self._change_ms(rng, created_ms))
        return tuple(
            edit_ms for edit_ms in sorted(edits) if deleted_ms is None or edit_ms < deleted_ms
        ), deleted_ms

    def _change_ms(self, rng: random.Random, created_ms: int) -> int:
        """Draw the time of a change after the post's creation: sooner is more likely."""
        spread = math.log(self._traffic_profile.changes_within_s / _MIN_CHANGE_DELAY_S)
        return created_ms + int(1000 * _MIN_CHANGE_DELAY_S * math.exp(rng.random() * spread))
