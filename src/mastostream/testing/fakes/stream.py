"""Streams that bring what a test sends."""

from collections.abc import Sequence

from mastostream.exceptions import FatalError, MastostreamError, RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.stream import Cut, Feed, Opened, Put, StreamEvent
from mastostream.testing.fakes.clock import FakeClock

__all__ = ["FakeStreams"]


class FakeStreams:
    """A :class:`mastostream.ports.stream.Streams`; it hands on everything at once.

    Attributes:
        working: the transports whose streams open as soon as they are followed; others are cut
            for good.
        feeds: what was followed, in this order.
        unfollowed: the names of those that were left again.
        paused: what each call of :meth:`pause` said. Who does not care sends on: what a paused
            stream would leave at the server is for the test to hold back.
        closed: whether it was closed.
    """

    def __init__(
        self, put: Put, clock: Clock | None = None, working: Sequence[str] = ("websocket", "sse")
    ) -> None:
        """Follow nothing yet; the clock, a :class:`FakeClock` by default, says when events come."""
        self.put = put
        self.clock = clock or FakeClock()
        self.working = working
        self.feeds: list[Feed] = []
        self.unfollowed: list[str] = []
        self.paused: list[bool] = []
        self.closed = False

    def follow(self, feed: Feed) -> None:
        self.feeds.append(feed)
        if feed.transport in self.working:
            self.reopen()
        else:
            self.cut(FatalError("404: no such stream here"))

    def unfollow(self, name: str) -> None:
        self.unfollowed.append(name)

    def pause(self, *, paused: bool) -> None:
        self.paused.append(paused)

    def close(self) -> None:
        self.closed = True

    def send(self, event: str, data: bytes, tag: str = "news") -> None:
        """Let an event come by the feed that was followed last."""
        self.put(StreamEvent(self.feeds[-1].name, event, data, tag, self.clock.now_ms()))

    def cut(self, error: MastostreamError | None = None) -> None:
        """Cut that feed: with a RetriableError where none is given."""
        feed = self.feeds[-1]
        self.put(Cut(feed.name, feed.tags, error or RetriableError("cut")))

    def reopen(self) -> None:
        """Open that feed again."""
        feed = self.feeds[-1]
        self.put(Opened(feed.name, feed.tags))
