"""An in-memory fake of streams: a test sends their events."""

from collections.abc import Sequence

from mastostream.exceptions import FatalError, MastostreamError, RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.stream import Cut, Feed, Opened, Put, StreamEvent
from mastostream.testing.fakes.clock import FakeClock

__all__ = ["FakeStreams"]


class FakeStreams:
    """A fake :class:`mastostream.ports.stream.Streams`; it passes each event on at once.

    Attributes:
        put: gets all that comes from the streams.
        clock: gives events the time of their arrival.
        working: the transports whose feeds open when they are followed. Feeds of other transports
            are cut permanently.
        feeds: the feeds that were followed, in order.
        unfollowed: the names of the feeds that were unfollowed, in order.
        paused: the argument of each call of :meth:`pause`. Pausing has no other effect: the test
            itself has to send nothing while the streams are paused.
        closed: whether the streams were closed.
    """

    def __init__(
        self, put: Put, clock: Clock | None = None, working: Sequence[str] = ("websocket", "sse")
    ) -> None:
        """Begin without feeds.

        Args:
            put: called with each event, and when a feed opens or is cut.
            clock: gives events the time of their arrival; a new :class:`FakeClock` by default.
            working: the transports whose feeds open when they are followed.
        """
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
        """Send an event through the feed that was followed last."""
        self.put(StreamEvent(self.feeds[-1].name, event, data, tag, self.clock.now_ms()))

    def cut(self, error: MastostreamError | None = None) -> None:
        """Cut the feed that was followed last, with a RetriableError unless an error is given."""
        feed = self.feeds[-1]
        self.put(Cut(feed.name, feed.tags, error or RetriableError("cut")))

    def reopen(self) -> None:
        """Open the feed that was followed last again."""
        feed = self.feeds[-1]
        self.put(Opened(feed.name, feed.tags))
