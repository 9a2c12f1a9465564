"""Pagination of a timeline: which page to request next, and which posts of a page are new.

It is pure: it sends no request itself. Ids are opaque: they are compared for equality only, and the
order is the server's.

A cursor is the ids of a page, newest first. It means that everything up to this page has been read.
Reading can go on after any one of these ids; the others serve when that post is deleted. It is not
enough that a post is known: it may have arrived by another hashtag, before older posts of this one.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from mastostream.collector.observation import UNREADABLE, Observation

__all__ = ["CATCH_UP_PAGES_DOWN", "GapFill", "Lookback", "PageReader", "PageRequest", "PageResult"]

_SPACE: Final = re.compile(r"\s")
CATCH_UP_PAGES_DOWN: Final = 25
"""Most pages that are read downwards, where the server cannot page upwards: 1,000 posts."""

Page = Sequence[Observation]
AllStreamed = Callable[[Page], bool]
"""Says whether a stream has already brought all posts of a page."""


class PageRequest(NamedTuple):
    """A page to request: the newest, the one just above ``min_id``, or just below ``max_id``."""

    min_id: str | None = None
    max_id: str | None = None

    @property
    def pages(self) -> bool:
        """Whether it counts towards the rate limit on requests that page."""
        return self.min_id is not None or self.max_id is not None


class PageResult(NamedTuple):
    """The posts of a page, and the cursor after it.

    Attributes:
        observations: posts to log, oldest first.
        cursor: the cursor to store once these posts are in the log; ``None`` to leave the stored
            one as it is.
        complete: ``False`` if posts may be missing before these.
    """

    observations: Sequence[Observation] = ()
    cursor: str | None = None
    complete: bool = True


class PageReader(Protocol):
    """Reads one page of a timeline, or several one after the other."""

    @property
    def next_page(self) -> PageRequest | None:
        """The page to request next; ``None`` once this reader is done."""

    def take(self, page: Page) -> PageResult:
        """Take the page that ``next_page`` asked for, newest post first."""


class GapFill:
    """Reads the newest page, then fills the gap between the cursor and that page, if there is one.

    It fills the gap upwards from the cursor. Each page has a cursor of its own, so that a restart
    continues there. Where the server does not know the cursor any more, or ignores ``min_id``, it
    reads the gap downwards from the newest page.
    """

    def __init__(self, cursors: Sequence[str], all_streamed: AllStreamed | None = None) -> None:
        """Start with the newest page.

        Args:
            cursors: the stored cursors. There are several if this timeline joins hashtags that were
                read apart before. Without any, reading starts with the newest page.
            all_streamed: says whether a stream has brought all posts of a page already. Then there
                is no gap, however many posts lie between.
        """
        self.next_page: PageRequest | None = PageRequest()
        self._cursors = [cursor.split() for cursor in dict.fromkeys(cursors) if cursor]
        self._all_streamed = all_streamed
        # "top" reads the newest page, "climb" reads upwards from a cursor, "descend" downwards.
        self._state: Literal["top", "climb", "descend"] = "top"
        self._cursors_left: list[list[str]] = []
        self._cursors_unknown: list[list[str]] = []
        self._cursors_unsure: list[list[str]] = []
        self._heeds_min_id = False
        self._top: list[Observation] = []
        self._observations: list[Observation] = []
        self._pages = 0

    @property
    def is_behind(self) -> bool:
        """Whether it is filling a gap."""
        return self.next_page is not None and self.next_page.pages

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
        if self._all_streamed is not None and self._all_streamed(page):
            return self._done(page)
        self._top = self._observations = list(page)
        self._cursors_left = list(self._cursors)
        return self._climb_on()

    def _climb_on(self) -> PageResult:
        """Read up from the next cursor; after the last, read down to those where that failed."""
        if self._cursors_left:
            self._state, self.next_page = "climb", PageRequest(min_id=self._cursors_left[0][0])
            return PageResult()
        self._cursors = self._cursors_unknown + ([] if self._heeds_min_id else self._cursors_unsure)
        if self._cursors:
            self._state, self.next_page = "descend", PageRequest(max_id=self._top[-1].id)
            return PageResult()
        return self._done(self._top)

    def _take_above(self, page: Page) -> PageResult:
        top = _ids(self._top)
        below: list[Observation] = []
        if not page or self.next_page == PageRequest(min_id=page[0].id):
            # The server does not know the cursor any more.
            self._cursors_unknown.append(self._cursors_left.pop(0))
        elif page[-1].id in top and not self._heeds_min_id:
            # Either nothing lies between, or the server ignores min_id.
            self._cursors_unsure.append(self._cursors_left.pop(0))
        elif _ids(page) & top:
            self._heeds_min_id = True
            self._cursors_left.pop(0)
            below = list(reversed(page))
        else:
            self._heeds_min_id = True
            cursor = _cursor(page)
            self._cursors_left[0], self.next_page = (
                cursor.split() or self._cursors_left[0],
                PageRequest(min_id=page[0].id),
            )
            # With several cursors, this one does not stand for all of them yet.
            return PageResult(
                list(reversed(page)), cursor or None if len(self._cursors) == 1 else None
            )
        result = self._climb_on()
        below_ids = _ids(below)
        newer = [post for post in result.observations if post.id not in below_ids]
        return result._replace(observations=[*below, *newer])

    def _take_below(self, page: Page) -> PageResult:
        repeated = bool(page) and page[-1].id == self._observations[-1].id
        if not repeated:
            self._observations.extend(page)
            read_ids = _ids(self._observations)
            if not page or all(read_ids & set(cursor) for cursor in self._cursors):
                return self._done(self._observations)
            self._pages += 1
            self.next_page = PageRequest(max_id=page[-1].id)
        if repeated or self._pages >= CATCH_UP_PAGES_DOWN:
            return self._done(self._observations)._replace(complete=False)
        return PageResult()

    def _done(self, page: Page) -> PageResult:
        self.next_page = None
        return PageResult(list(reversed(page)), _cursor(self._top or page) or None)


class Lookback:
    """Reads a timeline again, to find posts that federated late: they lie below newer posts.

    It reads from the newest page downwards, until a page holds only posts that were created before
    ``until_ms`` (milliseconds since the epoch), and at most ``most_pages`` pages.
    """

    def __init__(self, until_ms: int, most_pages: int) -> None:
        self.next_page: PageRequest | None = PageRequest()
        self._until_ms = until_ms
        self._pages_left = most_pages

    def take(self, page: Page) -> PageResult:
        self._pages_left -= 1
        # All posts of the page have to be older: a single old post may have arrived just now.
        written_ms = [post.created_ms for post in page if post.created_ms is not None]
        reached = not page or (bool(written_ms) and max(written_ms) < self._until_ms)
        stuck = bool(page) and self.next_page == PageRequest(max_id=page[-1].id)
        if reached or stuck or self._pages_left <= 0:
            self.next_page = None
        else:
            self.next_page = PageRequest(max_id=page[-1].id)
        return PageResult(list(reversed(page)))


def _ids(page: Page) -> set[str]:
    return {post.id for post in page}


def _cursor(page: Page) -> str:
    """Return the cursor of a page. It leaves out ids that no server would know."""
    ids = (post.id for post in page)
    return " ".join(id_ for id_ in ids if not id_.startswith(UNREADABLE) and not _SPACE.search(id_))
