"""Timelines: posts sorted by id, with pagination as Mastodon's API has it."""

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
    """The pagination parameters of a request. Ids are integers; ``None`` where one is not given.

    Attributes:
        limit: largest number of entries of the page, at least 1.
        below: ``max_id``: the page has only older entries than this id.
        just_above: ``min_id``: the page has the oldest entries that are newer than this id.
        since: ``since_id``: the page has the newest entries that are newer than this id.
    """

    limit: int = 20
    below: int | None = None
    just_above: int | None = None
    since: int | None = None


class SimulatedTimeline:
    """Posts and boosts sorted by id. An entry that arrives late is inserted at its place."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Insert an entry at its place."""
        place = bisect_right(self._numbers, entry.number)
        self._numbers.insert(place, entry.number)
        self._entries.insert(place, entry)

    def keep_only(self, is_known: Callable[[Entry], bool]) -> None:
        """Remove all entries for which ``is_known`` is false."""
        self._entries = [entry for entry in self._entries if is_known(entry)]
        self._numbers = [entry.number for entry in self._entries]

    def down(self, below: int | None = None) -> Iterator[Entry]:
        """Yield the entries below an id, or all, newest first."""
        place = len(self._numbers) if below is None else bisect_left(self._numbers, below)
        for number in range(place - 1, -1, -1):
            yield self._entries[number]

    def up(self, above: int) -> Iterator[Entry]:
        """Yield the entries above an id, oldest first."""
        for number in range(bisect_right(self._numbers, above), len(self._numbers)):
            yield self._entries[number]


def read_page(
    timelines: Sequence[SimulatedTimeline], paging: Paging, wanted: Callable[[Entry], bool]
) -> list[Entry]:
    """Return one page of these timelines merged, newest first, with Mastodon's pagination."""
    if paging.just_above is not None:
        rising = merge(
            *(timeline.up(paging.just_above) for timeline in timelines),
            key=lambda entry: entry.number,
        )
        entries = _once(rising, wanted, lambda entry: _reaches(entry, paging.below))
        return [*islice(entries, paging.limit)][::-1]
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
    """Yield each wanted entry once until ``ends`` is true; merged timelines repeat entries."""
    last = -1
    for entry in entries:
        if ends(entry):
            return
        if entry.number != last and wanted(entry):
            yield entry
        last = entry.number
