"""A Fediverse as one of its servers sees it: what it holds at a moment, and in which order."""

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final, Literal, NamedTuple, Self

import attrs

from mastostream.core.hashtags import normalize_hashtag
from mastostream.testing.simulator.families import Family
from mastostream.testing.simulator.history import History
from mastostream.testing.simulator.posts import Boost, SimulatedPost
from mastostream.testing.simulator.statuses import render
from mastostream.testing.simulator.timelines import Entry, Paging, SimulatedTimeline, read_page
from mastostream.testing.simulator.traffic_profile import GROWTH_S, TrafficProfile

__all__ = ["PUBLIC", "Happening", "Kind", "World"]

PUBLIC: Final = ""
"""Stands for the timeline of all posts where a hashtag is expected."""

Kind = Literal["update", "status.update", "delete", "boost"]

_LOOK_AHEAD_MS: Final = 600_000


class Happening(NamedTuple):
    """Something that a server hears of.

    Attributes:
        order: tells apart what happens in the same millisecond.
    """

    at_ms: int
    order: int
    kind: Kind
    entry: Entry


class World:
    """What one server holds. Time is an argument, in milliseconds since the epoch.

    Attributes:
        host: the server's name.
        family: its software.
        forgotten_ms: what had arrived by then may have been forgotten; ``None`` for nothing.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        posts_per_s: float = 3.0,
        start_ms: int = 0,
        host: str = "social.example",
        keep: int = 50_000,
        growth_s: float = GROWTH_S,
    ) -> None:
        """Begin a server by itself, which knows everything at once.

        Args:
            seed: the same seed, the same posts.
            posts_per_s: on average; bursts bring five times as many.
            start_ms: no post is older.
            host: the server's name.
            keep: how many posts are remembered, at least.
            growth_s: time constant of engagement.
        """
        traffic_profile = attrs.evolve(
            TrafficProfile.of_one_server(), posts_per_s=posts_per_s, growth_s=growth_s
        )
        history = History(
            seed=seed,
            families={host: "mastodon"},
            traffic_profile=traffic_profile,
            start_ms=start_ms,
        )
        self._join(history, host, "mastodon", keep)

    @classmethod
    def of(cls, history: History, host: str, family: Family, keep: int) -> Self:
        """Return how one of a history's servers sees it; the history must not have begun."""
        world = cls.__new__(cls)
        cls._join(world, history, host, family, keep)
        return world

    def _join(self, history: History, host: str, family: Family, keep: int) -> None:
        self.host = host
        self.family: Family = family
        self.forgotten_ms: int | None = None
        self._history = history
        self._keep = keep
        self._coming: list[Happening] = []
        self._order = count()
        self._posts: deque[SimulatedPost] = deque()
        self._by_id: dict[str, Entry] = {}
        self._timelines: dict[str, SimulatedTimeline] = {PUBLIC: SimulatedTimeline()}
        self._listeners: list[Callable[[Happening], None]] = []
        history.receive(host, self._take)

    @property
    def posts(self) -> tuple[SimulatedPost, ...]:
        """What has arrived, in this order; what was deleted since then, too."""
        with self._history.lock:
            return tuple(self._posts)

    def listen(self, listener: Callable[[Happening], None]) -> None:
        """Have this called with all that happens from now on; it must not take long."""
        self._listeners.append(listener)

    def ignore(self, listener: Callable[[Happening], None]) -> None:
        """Have this called no more."""
        with self._history.lock:
            self._listeners.remove(listener)

    def advance(self, now_ms: int) -> None:
        """Let everything happen up to this moment."""
        with self._history.lock:
            self._history.write_until(now_ms)
            while self._coming and self._coming[0].at_ms <= now_ms:
                self._happen(heappop(self._coming))

    def next_ms(self, now_ms: int) -> int:
        """Return when something happens next, or until when nothing is known to."""
        history = self._history
        with history.lock:
            while not self._coming or history.known_until_ms <= self._coming[0].at_ms:
                if history.known_until_ms > now_ms + _LOOK_AHEAD_MS:
                    return history.known_until_ms
                history.write_window()
            return self._coming[0].at_ms

    def timeline(self, tag: str, now_ms: int) -> list[SimulatedPost]:
        """Return the posts with this hashtag that can be read now, newest first."""
        with self._history.lock:
            found = self._timeline(tag).down()
            return [
                entry
                for entry in found
                if isinstance(entry, SimulatedPost) and entry.is_there(now_ms)
            ]

    def page(
        self,
        tags: Sequence[str],
        paging: Paging,
        now_ms: int,
        wanted: Callable[[Entry], bool] = lambda _: True,
    ) -> list[Entry]:
        """Return one page of the timelines of these hashtags together, newest first."""
        with self._history.lock:
            timelines = [self._timeline(tag) for tag in tags]
            return read_page(
                timelines, paging, lambda entry: entry.is_there(now_ms) and wanted(entry)
            )

    def knows(self, tag: str) -> bool:
        """Whether any post with this hashtag has ever arrived."""
        return normalize_hashtag(tag) in self._timelines

    def find(self, post_id: str, now_ms: int) -> Entry | None:
        """Return the post, or the boost, of this id if it can be read now."""
        with self._history.lock:
            found = self._by_id.get(post_id)
        return found if found is not None and found.is_there(now_ms) else None

    def status(self, entry: Entry, now_ms: int) -> dict[str, Any]:
        """Return the post as the server's API shows it at this moment."""
        return render(entry, self.host, self.family, self._history.people, now_ms)

    def _timeline(self, tag: str) -> SimulatedTimeline:
        return self._timelines.get(normalize_hashtag(tag)) or SimulatedTimeline()

    def _take(self, post: SimulatedPost, boost: Boost | None) -> None:
        self._expect(post.arrived_ms, "update", post)
        for moment in post.edits:
            if moment > post.arrived_ms:
                self._expect(moment, "status.update", post)
        if post.deleted_ms is not None:
            self._expect(post.deleted_ms, "delete", post)
        if boost is not None:
            self._expect(boost.arrived_ms, "boost", boost)

    def _expect(self, at_ms: int, kind: Kind, entry: Entry) -> None:
        heappush(self._coming, Happening(at_ms, next(self._order), kind, entry))

    def _happen(self, happening: Happening) -> None:
        entry = happening.entry
        if happening.kind in ("update", "boost"):
            self._by_id[entry.id] = entry
            if isinstance(entry, SimulatedPost):
                self._posts.append(entry)
            post = entry if isinstance(entry, SimulatedPost) else entry.post
            for tag in (PUBLIC, *dict.fromkeys(map(normalize_hashtag, post.tags))):
                self._timelines.setdefault(tag, SimulatedTimeline()).add(entry)
            if len(self._posts) > self._keep + self._keep // 8:
                self._forget()
        for listener in self._listeners:
            listener(happening)

    def _forget(self) -> None:
        while len(self._posts) > self._keep:
            self.forgotten_ms = self._posts[0].arrived_ms
            del self._by_id[self._posts.popleft().id]
        # A boost goes with its post.
        for entry in [*self._by_id.values()]:
            if isinstance(entry, Boost) and entry.post.id not in self._by_id:
                del self._by_id[entry.id]
        for timeline in self._timelines.values():
            timeline.forget(lambda entry: entry.id in self._by_id)
