"""How one server's streams are used: which transport, from when on, and whether to believe it.

A stream is opened first, then what was missed is read by asking, then what has come meanwhile is
handed on: so nothing lies between, and older posts go first. That a stream is open does not mean
that events will come: until the first has come, the server is asked as if there were none.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, Literal

from mastostream.collector.observation import Observation
from mastostream.collector.timeline import Timeline
from mastostream.exceptions import MastostreamError, RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.source import About
from mastostream.ports.stream import Cut, Feed, Opened, StreamEvent, Streams

__all__ = ["StreamSupervisor"]

Transport = Literal["websocket", "sse"]
MakeFeed = Callable[[About, tuple[str, ...], Transport], Feed]

TRANSPORTS: Final[tuple[Transport, ...]] = ("websocket", "sse")
"""One WebSocket serves all hashtags, so it is tried first."""

HELD_EVENTS: Final = 20_000
HELD_S: Final = 60.0
"""Events are held back until the gap before them is filled, up to so many or so long."""

MISSED: Final = 3
"""So many posts that a stream did not bring, and none that it did: it is silent."""

_GRACE_S: Final = 30.0
_AT_ONCE_MS: Final = 10_000
_TRY_AGAIN_S: Final = 3_600.0
_logger = logging.getLogger(__name__)


class StreamSupervisor:
    """Used by the collector's thread alone."""

    def __init__(
        self,
        host: str,
        *,
        streams: Streams | None,
        make_feed: MakeFeed | None,
        only: bool,
        clock: Clock,
    ) -> None:
        """Listen to nothing yet.

        Args:
            host: the server.
            streams: what listens; ``None`` where it is only polled.
            make_feed: makes what is listened to.
            only: do without streams never.
            clock: the time.
        """
        self.way = "polling"
        self.works = False
        self.missed = 0
        self._host = host
        self._streams = streams
        self._make_feed = make_feed
        self._only = only
        self._clock = clock
        self._about: About | None = None
        self._timelines: list[Timeline] = []
        self._tried: list[Transport] = []
        self._held: list[StreamEvent] = []
        self._held_since_s: float | None = None
        self._again_s: float | None = None
        self._closed = False

    def begin(self, about: About, timelines: list[Timeline]) -> None:
        """Listen to these timelines, where the server can."""
        self._about, self._timelines = about, timelines
        self._tried = []
        self._next_transport(None)

    def close(self) -> None:
        """Follow nothing more."""
        self._closed = True

    def opened(self, item: Opened) -> None:
        """From now on these hashtags' events come: read what was missed before."""
        if self.way == "polling":
            return  # it was given up meanwhile
        now_s = self._clock.monotonic_s()
        for timeline in self._with(item.tags):
            timeline.open_tags.update(tag for tag in item.tags if tag in timeline.tags)
            if timeline.live:
                timeline.filled = False
                timeline.opened_ms = self._clock.now_ms()
                timeline.due_s = now_s
                timeline.gap_fill = None  # what it has read so far does not reach up to here
                timeline.stats.by_stream = True
                self._held_since_s = now_s if self._held_since_s is None else self._held_since_s

    def cut(self, item: Cut) -> None:
        """These hashtags' events come no more: ask for them until they do again."""
        now_s = self._clock.monotonic_s()
        for timeline in self._with(item.tags):
            timeline.open_tags.difference_update(item.tags)
            timeline.filled = False
            timeline.due_s = min(timeline.due_s, now_s + timeline.interval_s)
            timeline.stats.by_stream = False
        if isinstance(item.error, RetriableError):
            _logger.warning("%s; asking until its stream is open again", item.error)
        elif self.way != "polling":
            self._next_transport(item.error)

    def take(self, event: StreamEvent) -> Sequence[StreamEvent]:
        """Return the events that may be handed on now."""
        if self._held_since_s is not None:
            self._held.append(event)
            return self.release()
        return (event,)

    def release(self) -> Sequence[StreamEvent]:
        """Return the events that were held back, if they may be handed on now."""
        if self._held_since_s is None:
            return ()
        waiting = [each for each in self._timelines if each.live and not each.filled]
        waiting = [each for each in waiting if not each.stats.failed]
        long_s = self._clock.monotonic_s() - self._held_since_s
        if waiting and len(self._held) < HELD_EVENTS and long_s < HELD_S:
            return ()
        if waiting:
            _logger.warning(
                "%s: handing on what its stream has brought, before %d of its timelines have "
                "caught up: windows may take some posts for late",
                self._host,
                len(waiting),
            )
        return self.let_go()

    def let_go(self) -> Sequence[StreamEvent]:
        """Return the events that were held back, whatever is not filled yet."""
        self._held_since_s = None
        held, self._held = self._held, []
        return held

    def brought(self, key: str, tag: str | None) -> None:
        """The stream has brought this post, by this hashtag where it says so."""
        if not self.works and self.way != "polling":
            self.works = True
            _logger.info("%s: its stream works (%s)", self._host, self.way)
        now_s = self._clock.monotonic_s()
        for timeline in self._timelines:
            timeline.suspects.pop(key, None)
            if tag is None or tag in timeline.tags:
                timeline.has_news(now_s)

    def suspect(self, timeline: Timeline, fresh: Sequence[Observation]) -> None:
        """Asking has brought these new posts: has the stream missed them, or is it on its way?"""
        now_s = self._clock.monotonic_s()
        late = [key for key, at_s in timeline.suspects.items() if at_s < now_s - _GRACE_S]
        for key in late:
            del timeline.suspects[key]
        if not timeline.live:
            timeline.suspects.clear()
            return
        timeline.stats.stream_missed += len(late)
        self.missed += len(late)
        if self.missed >= MISSED and not self.works:
            error = RetriableError(f"{self._host}: its hashtag stream opens, but stays silent")
            self._stop(error)
            return
        if timeline.filled:
            since_ms = timeline.opened_ms + _AT_ONCE_MS
            for each in fresh:
                if each.created_ms is not None and each.created_ms > since_ms:
                    timeline.suspects[each.key] = now_s

    def try_again(self) -> None:
        """Look now and then whether a server that could not stream can."""
        if self._closed:
            return
        if self._again_s is not None and self._clock.monotonic_s() >= self._again_s:
            self._again_s = None
            self._tried = []
            self._next_transport(None)

    def _with(self, tags: Sequence[str]) -> list[Timeline]:
        wanted = set(tags)
        return [each for each in self._timelines if wanted & set(each.tags)]

    def _next_transport(self, error: MastostreamError | None) -> None:
        left = [each for each in TRANSPORTS if each not in self._tried]
        if self._streams is None or self._make_feed is None or self._about is None or self._closed:
            return
        # By another way it would refuse as well.
        refused = error is not None and "answered 401" in str(error)
        if not left or refused:
            self._stop(error)
            return
        self._tried.append(left[0])
        self.way, self.works, self.missed = left[0], False, 0
        tags = tuple(dict.fromkeys(tag for each in self._timelines for tag in each.tags))
        if error is not None:
            self._streams.unfollow(self._host)
            _logger.info("%s; trying %s", error, left[0])
        self._streams.follow(self._make_feed(self._about, tags, left[0]))

    def _stop(self, error: MastostreamError | None) -> None:
        assert self._streams is not None  # noqa: S101 - nothing was begun without
        self._streams.unfollow(self._host)
        self.way, self.works = "polling", False
        now_s = self._clock.monotonic_s()
        self._again_s = now_s + _TRY_AGAIN_S
        for timeline in self._timelines:
            timeline.open_tags.clear()
            timeline.suspects.clear()
            timeline.filled = False
            timeline.stats.by_stream = False
            timeline.due_s = min(timeline.due_s, now_s)
            if self._only:
                timeline.stats.failed, timeline.stats.error = True, f"no stream: {error}"
        told = "ends here, as only streams are wanted" if self._only else "polling instead"
        _logger.warning("%s; %s", error, told)
