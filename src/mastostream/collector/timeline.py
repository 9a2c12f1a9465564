"""One timeline that is followed: where it stands, and when it is looked at next."""

from typing import Final

import attrs

from mastostream.collector.pagination import GapFill, Lookback

__all__ = ["PollSchedule", "SourceStats", "Timeline", "overlap_reach_s"]

SHORTEST_INTERVAL_S: Final = 1.0
"""Between two looks at a timeline that fills pages."""

FULL: Final = 20
"""So many new posts at one look are half a page: look sooner."""

PATIENCE: Final = 20
"""So many looks in a row that bring nothing: look less often."""

SILENT_S: Final = 600.0
SILENT_TIMES: Final = 10.0
"""A stream is checked when it is silent for ten times its usual pause, and 10 minutes."""


@attrs.define
class SourceStats:
    """How one timeline fares. Read by other threads.

    Attributes:
        name: the server and the hashtags.
        requests: pages asked for.
        appended: posts that it was the first to bring.
        incomplete: readings after which posts may be missing.
        retries: requests that have to be sent again.
        by_stream: whether its posts come by a stream now.
        stream_missed: posts that the stream did not bring; they were found by reading pages.
        interval_s: seconds between the last two looks.
        failed: whether it was given up.
        error: the last error, while it lasts.
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
    """How often timelines are looked at. Seconds.

    Attributes:
        interval_s: between two looks.
        longest_interval_s: between two looks at a quiet one.
        check_s: between two looks at one whose posts come by a stream.
        overlap_s: between two readings of what was read before.
        overlap_horizon_s: how far back the longest of them reach.
        requests_per_5_min: what each server allows.
        paging_requests_per_15_min: the same of those that page.
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
    """A server's posts with one of some hashtags.

    Attributes:
        host: the server.
        tags: any of these.
        stats: how it fares.
        due_s: when it is looked at next, by the monotonic clock; so are all other moments here.
        interval_s: until the look after that.
        gap_fill: the reading that goes on.
        overlap: the same, of what was read before.
        overlap_due_s: when the next of those begins.
        overlap_number: how many there have been.
        open_tags: whose events a stream brings.
        filled: whether it was read since the stream opened.
        new_posts: what the reading at hand has brought.
        suspects: posts that a page has brought before the stream, with when.
    """

    host: str
    tags: tuple[str, ...]
    stats: SourceStats
    due_s: float
    interval_s: float
    overlap_due_s: float
    overlap_number: int = 0
    gap_fill: GapFill | None = None
    overlap: Lookback | None = None
    failures: int = 0
    open_tags: set[str] = attrs.field(factory=set)
    opened_ms: int = 0
    filled: bool = False
    new_posts: int = 0
    idle_looks: int = 0
    empty_looks: int = 0
    looked_s: float | None = None
    news_s: float | None = None
    usual_pause_s: float = 0.0
    suspects: dict[str, float] = attrs.field(factory=dict)

    @property
    def live(self) -> bool:
        """Whether a stream brings the events of all its hashtags."""
        return self.open_tags >= set(self.tags)

    def has_news(self, now_s: float) -> None:
        """A new post has come, whichever way."""
        if self.news_s is not None:
            pause_s = now_s - self.news_s
            self.usual_pause_s += (pause_s - self.usual_pause_s) / 8
        self.news_s = now_s

    def is_too_silent(self, now_s: float) -> bool:
        """Whether nothing has come for longer than its past suggests."""
        if self.news_s is None:
            return False
        return now_s - self.news_s > max(SILENT_S, SILENT_TIMES * self.usual_pause_s)

    def looked(self, schedule: PollSchedule, now_s: float, *, stream_works: bool) -> None:
        """A reading has ended: say when the next one begins."""
        if self.looked_s is not None:
            self.stats.interval_s = now_s - self.looked_s
        self.looked_s = now_s
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
        self.idle_looks = 0 if self.new_posts else self.idle_looks + 1
        if self.idle_looks > PATIENCE:
            longest_s = max(schedule.longest_interval_s, schedule.interval_s)
            self.interval_s = min(longest_s, self.interval_s * 1.25)
        self.due_s = now_s + self.interval_s


def overlap_reach_s(number: int, schedule: PollSchedule) -> float:
    """Return how far back the overlap of this number (from 1) reads.

    Every second one reaches twice as far as the shortest, every fourth four times as far, and so
    on up to the horizon. So each span of lateness costs as much as the next, and a post that came
    late by some time is found after about the same time.
    """
    return min(schedule.overlap_horizon_s, 2 * schedule.overlap_s * (number & -number))
