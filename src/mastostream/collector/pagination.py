"""How a timeline is read: which page to ask for next, and what the pages that came mean.

Pure: it asks for nothing itself. Ids are opaque: they are compared for equality, and the order is
the server's. A cursor is the ids of a page, newest first, that stands for "all up to here is read".
One id is enough to go on after; the others are there for when it is deleted. That a post is known
would not do: it may have come by another hashtag, ahead of posts that did not.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from mastostream.collector.observation import UNREADABLE, Observation

__all__ = ["CATCH_UP_PAGES_DOWN", "GapFill", "Lookback", "PageReader", "PageRequest", "PageResult"]

_SPACE: Final = re.compile(r"\s")
CATCH_UP_PAGES_DOWN: Final = 25
"""Pages read downwards, where the server does not page up: 1,000 posts."""

Page = Sequence[Observation]
AllBrought = Callable[[Page], bool]


class PageRequest(NamedTuple):
    """The page to ask for: the newest, the one just above ``min_id``, or just below ``max_id``."""

    min_id: str | None = None
    max_id: str | None = None

    @property
    def pages(self) -> bool:
        """Whether it counts for the limit on paging."""
        return self.min_id is not None or self.max_id is not None


class PageResult(NamedTuple):
    """What a page brought.

    Attributes:
        observations: to be logged, oldest first.
        cursor: to be stored once they are in the log; ``None`` leaves the one that is there.
        complete: ``False`` when posts may be missing before these.
    """

    observations: Sequence[Observation] = ()
    cursor: str | None = None
    complete: bool = True


class PageReader(Protocol):
    """One reading, of one page or several."""

    @property
    def ask(self) -> PageRequest | None:
        """The page to ask for next; ``None``: this reading is done."""

    def take(self, page: Page) -> PageResult:
        """Take the page that was asked for, newest first."""


class GapFill:
    """Reads what is new: the newest page, and if that has a gap below it, what is in the gap.

    The gap is read upwards from the cursor, page by page, each with a cursor of its own, so that a
    restart goes on there; or downwards, where the server does not know the cursor any more or does
    not heed ``min_id``.
    """

    def __init__(self, cursors: Sequence[str], all_brought: AllBrought | None = None) -> None:
        """Begin.

        Args:
            cursors: where reading stands; several where the timeline joins some that were read
                apart; none for "from now on".
            all_brought: whether a stream has brought all of a page already: then there is no gap,
                however much lies between.
        """
        self.ask: PageRequest | None = PageRequest()
        self._cursors = [cursor.split() for cursor in dict.fromkeys(cursors) if cursor]
        self._all_brought = all_brought
        self._state: Literal["top", "climb", "descend"] = "top"
        self._left: list[list[str]] = []
        self._lost: list[list[str]] = []
        self._unsure: list[list[str]] = []
        self._heeds_min_id = False
        self._top: list[Observation] = []
        self._found: list[Observation] = []
        self._pages = 0

    @property
    def is_behind(self) -> bool:
        """Whether it reads what is in a gap."""
        return self.ask is not None and self.ask.pages

    def take(self, page: Page) -> PageResult:
        if self._state == "top":
            return self._take_top(page)
        if self._state == "climb":
            return self._take_above(page)
        return self._take_below(page)

    def _take_top(self, page: Page) -> PageResult:
        ids = _ids(page)
        if not page or all(ids & set(cursor) for cursor in self._cursors):
            return self._done(page)
        if self._all_brought is not None and self._all_brought(page):
            return self._done(page)
        self._top = self._found = list(page)
        self._left = list(self._cursors)
        return self._climb_on()

    def _climb_on(self) -> PageResult:
        """Climb from the next cursor; in the end go down to those where that failed."""
        if self._left:
            self._state, self.ask = "climb", PageRequest(min_id=self._left[0][0])
            return PageResult()
        self._cursors = self._lost + ([] if self._heeds_min_id else self._unsure)
        if self._cursors:
            self._state, self.ask = "descend", PageRequest(max_id=self._top[-1].id)
            return PageResult()
        return self._done(self._top)

    def _take_above(self, page: Page) -> PageResult:
        top = _ids(self._top)
        found: list[Observation] = []
        if not page or self.ask == PageRequest(min_id=page[0].id):
            self._lost.append(self._left.pop(0))  # it does not know the cursor any more
        elif page[-1].id in top and not self._heeds_min_id:
            self._unsure.append(self._left.pop(0))  # nothing lies between, or it ignores min_id
        elif _ids(page) & top:
            self._heeds_min_id = True
            self._left.pop(0)
            found = list(reversed(page))
        else:
            self._heeds_min_id = True
            cursor = _cursor(page)
            self._left[0], self.ask = (
                cursor.split() or self._left[0],
                PageRequest(min_id=page[0].id),
            )
            # With several, no cursor stands for all yet.
            return PageResult(
                list(reversed(page)), cursor or None if len(self._cursors) == 1 else None
            )
        taken = self._climb_on()
        seen = _ids(found)
        newer = [each for each in taken.observations if each.id not in seen]
        return taken._replace(observations=[*found, *newer])

    def _take_below(self, page: Page) -> PageResult:
        repeated = bool(page) and page[-1].id == self._found[-1].id
        if not repeated:
            self._found.extend(page)
            seen = _ids(self._found)
            if not page or all(seen & set(cursor) for cursor in self._cursors):
                return self._done(self._found)
            self._pages += 1
            self.ask = PageRequest(max_id=page[-1].id)
        if repeated or self._pages >= CATCH_UP_PAGES_DOWN:
            return self._done(self._found)._replace(complete=False)
        return PageResult()

    def _done(self, page: Page) -> PageResult:
        self.ask = None
        return PageResult(list(reversed(page)), _cursor(self._top or page) or None)


class Lookback:
    """Reads again what has been read: a post that federates late lies below newer ones.

    From the newest page downwards as far as ``until_ms`` by creation, or a number of pages.
    """

    def __init__(self, until_ms: int, most_pages: int) -> None:
        self.ask: PageRequest | None = PageRequest()
        self._until_ms = until_ms
        self._pages_left = most_pages

    def take(self, page: Page) -> PageResult:
        self._pages_left -= 1
        # All of the page, as one that was written long ago may have arrived just now.
        written_ms = [each.created_ms for each in page if each.created_ms is not None]
        reached = not page or (bool(written_ms) and max(written_ms) < self._until_ms)
        stuck = bool(page) and self.ask == PageRequest(max_id=page[-1].id)
        if reached or stuck or self._pages_left <= 0:
            self.ask = None
        else:
            self.ask = PageRequest(max_id=page[-1].id)
        return PageResult(list(reversed(page)))


def _ids(page: Page) -> set[str]:
    return {each.id for each in page}


def _cursor(page: Page) -> str:
    """Leave out what is no id that a server would know."""
    ids = (each.id for each in page)
    return " ".join(id_ for id_ in ids if not id_.startswith(UNREADABLE) and not _SPACE.search(id_))
