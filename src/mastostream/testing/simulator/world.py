"""The world of one server: the posts that it holds at a time, and its timelines."""

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

__all__ = ["PUBLIC", "EventKind", "World", "WorldEvent"]

PUBLIC: Final = ""
"""Used in place of a hashtag for the public timeline, which has all posts."""

EventKind = Literal["update", "status.update", "delete", "boost"]

_LOOK_AHEAD_MS: Final = 600_000
"""How far beyond now ``next_ms`` searches for the next event."""


class WorldEvent(NamedTuple):
    """A change on one server: a post or boost that appears, an edit, or a deletion.

    Attributes:
        at_ms: time of the change, milliseconds since the epoch.
        order: number of the event, which sorts events of the same millisecond.
        kind: the name of the event in the streaming API; ``boost`` is not streamed.
        entry: the post or the boost.
    """

    at_ms: int
    order: int
    kind: EventKind
    entry: Entry


class World:
    """The posts of one server. Time is always an argument, in milliseconds since the epoch.

    Attributes:
        host: the server's host name.
        family: the server's software.
        forgotten_ms: arrival time of the latest forgotten post; ``None`` where none is forgotten.
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
        """Make a server with a history of its own, in which all posts arrive without delay.

        Args:
            seed: the same seed gives the same posts.
            posts_per_s: average rate of new posts; in bursts it is five times as high.
            start_ms: no post is older than this time.
            host: the server's host name.
            keep: smallest number of the latest posts that are kept.
            growth_s: time constant of engagement, in seconds.
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
        self._set_up(history, host, "mastodon", keep)

    @classmethod
    def from_history(cls, history: History, host: str, family: Family, keep: int) -> Self:
        """Return the world of one of a history's servers. No post may have been generated yet."""
        world = cls.__new__(cls)
        cls._set_up(world, history, host, family, keep)
        return world

    def _set_up(self, history: History, host: str, family: Family, keep: int) -> None:
        self.host = host
        self.family: Family = family
        self.forgotten_ms: int | None = None
        self._history = history
        self._keep = keep
        self._pending: list[WorldEvent] = []
        self._order = count()
        self._posts: deque[SimulatedPost] = deque()
        self._by_id: dict[str, Entry] = {}
        self._timelines: dict[str, SimulatedTimeline] = {PUBLIC: SimulatedTimeline()}
        self._listeners: list[Callable[[WorldEvent], None]] = []
        history.register(host, self._schedule)

    @property
    def posts(self) -> tuple[SimulatedPost, ...]:
        """The posts in the order of arrival, deleted ones included."""
        with self._history.lock:
            return tuple(self._posts)

    def listen(self, listener: Callable[[WorldEvent], None]) -> None:
        """Call ``listener`` with each event from now on, under the lock: it must be quick."""
        self._listeners.append(listener)

    def stop_listening(self, listener: Callable[[WorldEvent], None]) -> None:
        """Call ``listener`` no more."""
        with self._history.lock:
            self._listeners.remove(listener)

    def advance(self, now_ms: int) -> None:
        """Apply all events up to this time, and including it."""
        with self._history.lock:
            self._history.generate_until(now_ms)
            while self._pending and self._pending[0].at_ms <= now_ms:
                self._apply(heappop(self._pending))

    def next_ms(self, now_ms: int) -> int:
        """Return the time of the next event, or a time before which there is none."""
        history = self._history
        with history.lock:
            while not self._pending or history.known_until_ms <= self._pending[0].at_ms:
                if history.known_until_ms > now_ms + _LOOK_AHEAD_MS:
                    return history.known_until_ms
                history.generate_window()
            return self._pending[0].at_ms

    def timeline(self, tag: str, now_ms: int) -> list[SimulatedPost]:
        """Return the posts with this hashtag that are visible at this time, newest first."""
        with self._history.lock:
            entries = self._timeline(tag).down()
            return [
                entry
                for entry in entries
                if isinstance(entry, SimulatedPost) and entry.is_visible(now_ms)
            ]

    def page(
        self,
        tags: Sequence[str],
        paging: Paging,
        now_ms: int,
        wanted: Callable[[Entry], bool] = lambda _: True,
    ) -> list[Entry]:
        """Return one page of the timelines of these hashtags merged, newest first."""
        with self._history.lock:
            timelines = [self._timeline(tag) for tag in tags]
            return read_page(
                timelines, paging, lambda entry: entry.is_visible(now_ms) and wanted(entry)
            )

    def knows_tag(self, tag: str) -> bool:
        """Whether any post with this hashtag has ever arrived."""
        return normalize_hashtag(tag) in self._timelines

    def find(self, post_id: str, now_ms: int) -> Entry | None:
        """Return the post or boost with this id if it is visible at this time, else ``None``."""
        with self._history.lock:
            entry = self._by_id.get(post_id)
        return entry if entry is not None and entry.is_visible(now_ms) else None

    def status(self, entry: Entry, now_ms: int) -> dict[str, Any]:
        """Return the status that the server's API shows for this entry at this time."""
        return render(entry, self.host, self.family, self._history.people, now_ms)

    def _timeline(self, tag: str) -> SimulatedTimeline:
        return self._timelines.get(normalize_hashtag(tag)) or SimulatedTimeline()

    def _schedule(self, post: SimulatedPost, boost: Boost | None) -> None:
        self._add_event(post.arrived_ms, "update", post)
        for edit_ms in post.edits:
            if edit_ms > post.arrived_ms:
                self._add_event(edit_ms, "status.update", post)
        if post.deleted_ms is not None:
            self._add_event(post.deleted_ms, "delete", post)
        if boost is not None:
            self._add_event(boost.arrived_ms, "boost", boost)

    def _add_event(self, at_ms: int, kind: EventKind, entry: Entry) -> None:
        heappush(self._pending, WorldEvent(at_ms, next(self._order), kind, entry))

    def _apply(self, event: WorldEvent) -> None:
        entry = event.entry
        if event.kind in ("update", "boost"):
            self._by_id[entry.id] = entry
            if isinstance(entry, SimulatedPost):
                self._posts.append(entry)
            post = entry if isinstance(entry, SimulatedPost) else entry.post
            for tag in (PUBLIC, *dict.fromkeys(map(normalize_hashtag, post.tags))):
                self._timelines.setdefault(tag, SimulatedTimeline()).add(entry)
            if len(self._posts) > self._keep + self._keep // 8:
                self._forget()
        for listener in self._listeners:
            listener(event)

    def _forget(self) -> None:
        while len(self._posts) > self._keep:
            self.forgotten_ms = self._posts[0].arrived_ms
            del self._by_id[self._posts.popleft().id]
        # A boost is forgotten together with its post.
        for entry in [*self._by_id.values()]:
            if isinstance(entry, Boost) and entry.post.id not in self._by_id:
                del self._by_id[entry.id]
        for timeline in self._timelines.values():
            timeline.keep_only(lambda entry: entry.id in self._by_id)
