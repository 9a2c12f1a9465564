"""The state of one timeline: how far it has been read, and when it is polled next."""

from typing import Final

import attrs

from mastostream.collector.pagination import GapFill, Lookback

__all__ = ["PollSchedule", "SourceStats", "Timeline", "lookback_reach_s"]

SHORTEST_INTERVAL_S: Final = 1.0
"""Between two polls of a busy timeline."""

FULL: Final = 20
"""A poll with this many new posts (half a page) makes the next poll come sooner."""

PATIENCE: Final = 20
"""After this many polls in a row without a new post, the timeline is polled less often."""

SILENT_S: Final = 600.0
SILENT_TIMES: Final = 10.0
"""A stream is checked once it is silent for ten times its usual pause, and for 10 minutes."""


@attrs.define
class SourceStats:
    """Counters and state of one timeline. Read by other threads.

    Attributes:
        name: the server and the hashtags.
        requests: pages that were requested.
        appended: posts that were logged because this timeline showed them first, by polling.
        incomplete: polls after which posts may be missing.
        retries: requests that failed and are sent again.
        by_stream: whether its posts arrive by a stream now.
        stream_missed: posts that the stream did not bring; polling brought them.
        interval_s: seconds between the last two polls.
        failed: whether the timeline was given up.
        error: the last error; ``None`` once it is over.
    """

    name: str
    requests: int = 0
    appended: int = 0
    incomplete: int = 0
    retries: int = 0
    by_stream: bool = False
    stream_missed: int = 0
    interval_s: float = 0.0
    failed: bool = False
    error: str | None = None


@attrs.frozen(kw_only=True)
class PollSchedule:
    """How often timelines are polled.

    Attributes:
        interval_s: seconds between two polls of a timeline.
        longest_interval_s: seconds between two polls of a quiet timeline, at most.
        check_s: seconds between two polls of a timeline whose posts arrive by a stream.
        overlap_s: seconds between two lookbacks, which search a timeline for late posts.
        overlap_horizon_s: how many seconds back the longest lookbacks reach; 0 for no lookbacks.
        requests_per_5_min: requests that one server allows in 5 minutes.
        paging_requests_per_15_min: requests that page that one server allows in 15 minutes.
    """

    interval_s: float = 3.0
    longest_interval_s: float = 30.0
    check_s: float = 300.0
    overlap_s: float = 600.0
    overlap_horizon_s: float = 86_400.0
    requests_per_5_min: int = 300
    paging_requests_per_15_min: int = 300


@attrs.define
class Timeline:
    """The posts of one server with any of some hashtags.

    Times that end in ``_s`` are seconds by the monotonic clock.

    Attributes:
        host: the server's host.
        tags: the hashtags; a post belongs to the timeline if it has any of them.
        stats: its counters.
        due_s: when it is polled next.
        interval_s: seconds from that poll to the one after it.
        lookback_due_s: when the next lookback begins.
        lookback_number: how many lookbacks have ended.
        gap_fill: the poll that is under way, if any.
        lookback: the lookback that is under way, if any.
        failures: failed requests in a row.
        open_tags: hashtags whose stream is open.
        opened_ms: when the streams of all its hashtags were open, milliseconds since the epoch.
        filled: whether a poll has ended since then, so that there is no gap before the stream.
        new_posts: new posts of the poll that is under way.
        idle_polls: polls in a row without a new post.
        empty_polls: empty pages in a row from a timeline that had posts.
        polled_s: when the last poll ended; ``None`` before the first.
        last_post_s: when the last new post arrived, by polling or by a stream.
        usual_pause_s: moving average of the seconds between two new posts.
        suspects: keys of posts that polling has brought and the stream has not yet, with the time.
    """

    host: str
    tags: tuple[str, ...]
    stats: SourceStats
    due_s: float
    interval_s: float
    lookback_due_s: float
    lookback_number: int = 0
    gap_fill: GapFill | None = None
    lookback: Lookback | None = None
    failures: int = 0
    open_tags: set[str] = attrs.field(factory=set)
    opened_ms: int = 0
    filled: bool = False
    new_posts: int = 0
    idle_polls: int = 0
    empty_polls: int = 0
    polled_s: float | None = None
    last_post_s: float | None = None
    usual_pause_s: float = 0.0
    suspects: dict[str, float] = attrs.field(factory=dict)

    @property
    def live(self) -> bool:
        """Whether the streams of all its hashtags are open."""
        return self.open_tags >= set(self.tags)

    def note_post(self, now_s: float) -> None:
        """Note that a new post has arrived, by polling or by a stream."""
        if self.last_post_s is not None:
            pause_s = now_s - self.last_post_s
            self.usual_pause_s += (pause_s - self.usual_pause_s) / 8
        self.last_post_s = now_s

    def is_too_silent(self, now_s: float) -> bool:
        """Whether no post has arrived for much longer than the usual pause."""
        if self.last_post_s is None:
            return False
        return now_s - self.last_post_s > max(SILENT_S, SILENT_TIMES * self.usual_pause_s)

    def poll_done(self, schedule: PollSchedule, now_s: float, *, stream_works: bool) -> None:
        """Note that a poll has ended, and schedule the next one."""
        if self.polled_s is not None:
            self.stats.interval_s = now_s - self.polled_s
        self.polled_s = now_s
        if self.live and self.filled and stream_works:
            self.interval_s = schedule.interval_s
            self.due_s = now_s + schedule.check_s
            return
        if self.new_posts >= FULL:
            self.interval_s = max(
                min(SHORTEST_INTERVAL_S, schedule.interval_s), self.interval_s / 2
            )
        elif self.new_posts:
            self.interval_s = schedule.interval_s
        self.idle_polls = 0 if self.new_posts else self.idle_polls + 1
        if self.idle_polls > PATIENCE:
            longest_s = max(schedule.longest_interval_s, schedule.interval_s)
            self.interval_s = min(longest_s, self.interval_s * 1.25)
        self.due_s = now_s + self.interval_s


def lookback_reach_s(number: int, schedule: PollSchedule) -> float:
    """Return how many seconds back the lookback of this number (from 1) reaches.

    Every second lookback reaches twice as far as the shortest, every fourth four times as far, and
    so on up to the horizon. So each doubling of the lateness costs about the same number of pages,
    and a post that is late by some time is read after about the same time again.
    """
    return min(schedule.overlap_horizon_s, 2 * schedule.overlap_s * (number & -number))
