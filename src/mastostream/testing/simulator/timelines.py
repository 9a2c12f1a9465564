"""Timelines: posts in the order of their ids, found by bisection, read page by page."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import islice

import attrs

from mastostream.testing.simulator.posts import Boost, SimulatedPost

__all__ = ["Entry", "Paging", "SimulatedTimeline", "read_page"]

Entry = SimulatedPost | Boost


@attrs.frozen(kw_only=True)
class Paging:
    """Which page is asked for. Ids are given by their numbers; ``None`` where there is none.

    Attributes:
        below: ``max_id``: what is older.
        just_above: ``min_id``: the page next to it.
        since: ``since_id``: the newest page that is newer than it.
    """

    limit: int = 20
    below: int | None = None
    just_above: int | None = None
    since: int | None = None


class SimulatedTimeline:
    """Posts in the order of their ids. One that arrives late goes to its place."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Put an entry in its place."""
        place = bisect_right(self._numbers, entry.number)
        self._numbers.insert(place, entry.number)
        self._entries.insert(place, entry)

    def forget(self, known: Callable[[Entry], bool]) -> None:
        """Keep only what is known."""
        self._entries = [entry for entry in self._entries if known(entry)]
        self._numbers = [entry.number for entry in self._entries]

    def down(self, below: int | None = None) -> Iterator[Entry]:
        """Yield the newest first, from below an id."""
        place = len(self._numbers) if below is None else bisect_left(self._numbers, below)
        for number in range(place - 1, -1, -1):
            yield self._entries[number]

    def up(self, above: int) -> Iterator[Entry]:
        """Yield the oldest first, from above an id."""
        for number in range(bisect_right(self._numbers, above), len(self._numbers)):
            yield self._entries[number]


def read_page(
    timelines: Sequence[SimulatedTimeline], paging: Paging, wanted: Callable[[Entry], bool]
) -> list[Entry]:
    """Return one page of all these timelines together, newest first, as Mastodon pages."""
    if paging.just_above is not None:
        rising = merge(
            *(timeline.up(paging.just_above) for timeline in timelines),
            key=lambda entry: entry.number,
        )
        found = _once(rising, wanted, lambda entry: _reaches(entry, paging.below))
        return [*islice(found, paging.limit)][::-1]
    falling = merge(
        *(timeline.down(paging.below) for timeline in timelines),
        key=lambda entry: -entry.number,
    )
    since = -1 if paging.since is None else paging.since
    return [*islice(_once(falling, wanted, lambda entry: entry.number <= since), paging.limit)]


def _reaches(entry: Entry, below: int | None) -> bool:
    return below is not None and entry.number >= below


def _once(
    entries: Iterator[Entry], wanted: Callable[[Entry], bool], ends: Callable[[Entry], bool]
) -> Iterator[Entry]:
    """Leave out what stands in several timelines a second time."""
    last = -1
    for entry in entries:
        if ends(entry):
            return
        if entry.number != last and wanted(entry):
            yield entry
        last = entry.number
