"""Supervision of one server's streams: chooses the transport, and checks that events arrive.

A stream is opened first. Then the posts that were missed before are read by polling, while events
are held back. Then the held events are released. So there is no gap, and older posts go first. An
open stream does not prove that events will arrive: the server is polled until the first one has.
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
"""Transports in the order in which they are tried: one WebSocket serves all hashtags."""

HELD_EVENTS: Final = 20_000
HELD_S: Final = 60.0
"""Events are held back until the gap before them is filled, at most this many and this long."""

MISSED: Final = 3
"""A stream that has missed this many posts, and brought none, counts as silent."""

_GRACE_S: Final = 30.0
"""A polled post counts as missed if the stream has not brought it this long afterwards."""

_AFTER_OPENING_MS: Final = 10_000
"""Posts that were created within this long after the opening do not count as missed."""

_RETRY_AFTER_S: Final = 3_600.0
"""How long after giving up on a server's streams they are tried again."""

_logger = logging.getLogger(__name__)


class StreamSupervisor:
    """Supervises the streams of one server. Used only by the collector's thread.

    Attributes:
        way: how posts arrive now: ``polling``, ``websocket`` or ``sse``.
        works: whether the stream has brought an event since it was chosen.
        missed: posts that the stream did not bring, since it was chosen.
    """

    def __init__(
        self,
        host: str,
        *,
        streams: Streams | None,
        make_feed: MakeFeed | None,
        stream_only: bool,
        clock: Clock,
    ) -> None:
        """Listen to nothing yet.

        Args:
            host: the server's host.
            streams: the stream client; ``None`` if the server is only polled.
            make_feed: makes the feed of the server's streams; ``None`` if it is only polled.
            stream_only: whether a server without a stream is given up instead of polled.
            clock: tells the time.
        """
        self.way = "polling"
        self.works = False
        self.missed = 0
        self._host = host
        self._streams = streams
        self._make_feed = make_feed
        self._stream_only = stream_only
        self._clock = clock
        self._about: About | None = None
        self._timelines: list[Timeline] = []
        self._tried: list[Transport] = []
        self._held: list[StreamEvent] = []
        self._held_since_s: float | None = None
        self._retry_due_s: float | None = None
        self._closed = False

    def begin(self, about: About, timelines: list[Timeline]) -> None:
        """Listen to the streams of these timelines, if the server has streams."""
        self._about, self._timelines = about, timelines
        self._tried = []
        self._next_transport(None)

    def close(self) -> None:
        """Open no more streams."""
        self._closed = True

    def opened(self, item: Opened) -> None:
        """The stream of these hashtags is open: poll them at once, to fill the gap before it."""
        if self.way == "polling":
            return  # the stream was given up meanwhile
        now_s = self._clock.monotonic_s()
        for timeline in self._timelines_with(item.tags):
            timeline.open_tags.update(tag for tag in item.tags if tag in timeline.tags)
            if timeline.live:
                timeline.filled = False
                timeline.opened_ms = self._clock.now_ms()
                timeline.due_s = now_s
                timeline.gap_fill = None  # its newest page may be older than the opening
                timeline.stats.by_stream = True
                self._held_since_s = now_s if self._held_since_s is None else self._held_since_s

    def cut(self, item: Cut) -> None:
        """The stream of these hashtags is cut: poll them until it is open again."""
        now_s = self._clock.monotonic_s()
        for timeline in self._timelines_with(item.tags):
            timeline.open_tags.difference_update(item.tags)
            timeline.filled = False
            timeline.due_s = min(timeline.due_s, now_s + timeline.interval_s)
            timeline.stats.by_stream = False
        if isinstance(item.error, RetriableError):
            _logger.warning("%s; asking until its stream is open again", item.error)
        elif self.way != "polling":
            self._next_transport(item.error)

    def take(self, event: StreamEvent) -> Sequence[StreamEvent]:
        """Hold the event back if a gap is being filled; return the events that may go on now."""
        if self._held_since_s is not None:
            self._held.append(event)
            return self.release()
        return (event,)

    def release(self) -> Sequence[StreamEvent]:
        """Return the events that were held back, if the gaps before them are filled."""
        if self._held_since_s is None:
            return ()
        waiting = [
            timeline
            for timeline in self._timelines
            if timeline.live and not timeline.filled and not timeline.stats.failed
        ]
        held_s = self._clock.monotonic_s() - self._held_since_s
        if waiting and len(self._held) < HELD_EVENTS and held_s < HELD_S:
            return ()
        if waiting:
            _logger.warning(
                "%s: handing on what its stream has brought, before %d of its timelines have "
                "caught up: windows may take some posts for late",
                self._host,
                len(waiting),
            )
        return self.release_all()

    def release_all(self) -> Sequence[StreamEvent]:
        """Return all events that were held back, even if gaps are not filled yet."""
        self._held_since_s = None
        held, self._held = self._held, []
        return held

    def note_event(self, key: str, tag: str | None) -> None:
        """Note a post that the stream has brought, and its hashtag if the server names it."""
        if not self.works and self.way != "polling":
            self.works = True
            _logger.info("%s: its stream works (%s)", self._host, self.way)
        now_s = self._clock.monotonic_s()
        for timeline in self._timelines:
            timeline.suspects.pop(key, None)
            if tag is None or tag in timeline.tags:
                timeline.note_post(now_s)

    def check_missed(self, timeline: Timeline, new_posts: Sequence[Observation]) -> None:
        """Check whether the stream has missed posts; polling has just brought these new ones.

        A polled post is a suspect until the stream brings it too. It is missed if that takes too
        long.
        """
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
            since_ms = timeline.opened_ms + _AFTER_OPENING_MS
            for post in new_posts:
                if post.created_ms is not None and post.created_ms > since_ms:
                    timeline.suspects[post.key] = now_s

    def retry_streaming(self) -> None:
        """Try the streams of a server again, some time after they were given up."""
        if self._closed:
            return
        if self._retry_due_s is not None and self._clock.monotonic_s() >= self._retry_due_s:
            self._retry_due_s = None
            self._tried = []
            self._next_transport(None)

    def _timelines_with(self, tags: Sequence[str]) -> list[Timeline]:
        wanted = set(tags)
        return [timeline for timeline in self._timelines if wanted & set(timeline.tags)]

    def _next_transport(self, error: MastostreamError | None) -> None:
        untried = [transport for transport in TRANSPORTS if transport not in self._tried]
        if self._streams is None or self._make_feed is None or self._about is None or self._closed:
            return
        # A server that refuses the token does so by every transport.
        refused = error is not None and "answered 401" in str(error)
        if not untried or refused:
            self._stop(error)
            return
        self._tried.append(untried[0])
        self.way, self.works, self.missed = untried[0], False, 0
        tags = tuple(dict.fromkeys(tag for timeline in self._timelines for tag in timeline.tags))
        if error is not None:
            self._streams.unfollow(self._host)
            _logger.info("%s; trying %s", error, untried[0])
        self._streams.follow(self._make_feed(self._about, tags, untried[0]))

    def _stop(self, error: MastostreamError | None) -> None:
        assert self._streams is not None  # noqa: S101 - without streams none is tried
        self._streams.unfollow(self._host)
        self.way, self.works = "polling", False
        now_s = self._clock.monotonic_s()
        self._retry_due_s = now_s + _RETRY_AFTER_S
        for timeline in self._timelines:
            timeline.open_tags.clear()
            timeline.suspects.clear()
            timeline.filled = False
            timeline.stats.by_stream = False
            timeline.due_s = min(timeline.due_s, now_s)
            if self._stream_only:
                timeline.stats.failed, timeline.stats.error = True, f"no stream: {error}"
        consequence = (
            "ends here, as only streams are wanted" if self._stream_only else "polling instead"
        )
        _logger.warning("%s; %s", error, consequence)
