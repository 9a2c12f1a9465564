"""Request scheduling for one server: which request goes next, and what its response means."""

import logging
import math
import random
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final, Literal, NamedTuple

import attrs

from mastostream.collector.backoff import LONGEST_BACKOFF_S, backoff_s
from mastostream.collector.budget import Budget
from mastostream.collector.dedup import DeleteObserved
from mastostream.collector.observation import KeyBy, Observation, identify
from mastostream.collector.pagination import GapFill, Lookback, PageReader, PageRequest
from mastostream.collector.refresher import Refresher, RefreshRequest
from mastostream.collector.state_store import CollectorStateStore
from mastostream.collector.stream_supervisor import MakeFeed, StreamSupervisor
from mastostream.collector.timeline import PollSchedule, SourceStats, Timeline, lookback_reach_s
from mastostream.collector.worker import Request, Response, Worker
from mastostream.exceptions import FatalError, MastostreamError, RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.source import About, MastodonServer
from mastostream.ports.stream import Streams

__all__ = ["PollResult", "RequestScheduler", "ServerStats", "Target"]

Mode = Literal["auto", "poll", "stream"]

GROUP: Final = 4
"""Hashtags in one request: the tag and three of ``any[]`` (``TagFeed::LIMIT_PER_MODE``)."""

LOOKBACK_PAGES: Final = 50
"""Most pages of one lookback: 2,000 posts."""

_IN_FLIGHT_MS: Final = 10_000
"""A stream may bring a post this long after its creation: until then it is not missed."""

_EMPTY_POLLS: Final = 3
"""After this many empty pages in a row, a timeline that had posts may have been closed."""

_LONGEST_IDLE_S: Final = 5.0
"""The scheduler looks for a due request at least this often."""

_TURNS: Final = (0, 1, 0, 2, 0, 1, 0, 2)
_TURNS_WHEN_LATE: Final = (0, 1, 0, 1, 2, 1, 2, 1)
"""Which kind of request goes first in each of eight turns, usually and while refreshes are late.

0 is a poll for new posts, 1 a refresh of counts, 2 a lookback for late posts. So of eight requests,
four are polls, two refreshes and two lookbacks; while refreshes are late, two are polls and four
refreshes. If no request of the kind may go, the other kinds follow, in the order 0, 1, 2.
"""

_logger = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Target:
    """A server to collect from.

    Attributes:
        server: the server's API; closed with the collector.
        tags: hashtags, without ``#``.
        mode: ``poll`` reads pages only, ``stream`` gives up where there is no stream, and ``auto``
            uses streams where they work and polls otherwise.
        make_feed: makes the feed of its streams; ``None`` if it is only polled.
    """

    server: MastodonServer
    tags: tuple[str, ...]
    mode: Mode = "auto"
    make_feed: MakeFeed | None = None


@attrs.define
class ServerStats:
    """Counters and state of one server. Read by other threads.

    Attributes:
        name: the server's host.
        requests: requests that were sent since the start.
        way: how its posts arrive now: ``polling``, ``websocket`` or ``sse``; ``asking`` until the
            server has said what it can do.
        sources: one entry for each of its timelines; none until the server has said what it can do.
        error: why it has not said it yet; ``None`` once it has.
        refresh_error: why counts are not refreshed any more; ``None`` while they are.
    """

    name: str
    requests: int = 0
    way: str = "asking"
    sources: list[SourceStats] = attrs.field(factory=list)
    error: str | None = None
    refresh_error: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why no post can come from it now; ``None`` if posts can."""
        errors = [source.error for source in self.sources]
        return self.error or (errors[0] if errors and all(errors) else None)


class PollResult(NamedTuple):
    """The posts of a response or of a stream event.

    Attributes:
        observations: posts and deletes, to be deduplicated and logged.
        cursors: cursors by timeline, to be stored once the observations are logged.
        timeline: the timeline whose page this is; ``None`` for anything else.
        refreshed: keys of posts whose counts were requested and which the server has answered for.
    """

    observations: Sequence[Observation | DeleteObserved] = ()
    cursors: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    timeline: Timeline | None = None
    refreshed: Sequence[str] = ()


class _ReadAbout(NamedTuple):
    pass


class _ReadPage(NamedTuple):
    timeline: Timeline
    reader: PageReader


MakeRequest = Callable[[float, int], Request]
_Candidate = tuple[float, bool, MakeRequest]
"""A request that may go: when it is due, whether it pages, and the function that makes it.

The function takes the time by the monotonic clock in seconds, and since the epoch in milliseconds.
"""


class RequestScheduler:
    """Chooses the requests to one server; a worker sends them. Used by the collector's thread."""

    def __init__(  # noqa: PLR0913 - each is a choice of the collector's, by name
        self,
        target: Target,
        *,
        state_store: CollectorStateStore,
        clock: Clock,
        schedule: PollSchedule,
        key_by: KeyBy,
        log_key: Callable[[str], str],
        put: Callable[[Response], None],
        streams: Streams | None,
    ) -> None:
        self.target = target
        self.host = target.server.host
        self.stats = ServerStats(self.host)
        self.timelines: list[Timeline] = []
        self.about: About | None = None
        self.stream_supervisor = StreamSupervisor(
            self.host,
            streams=None if target.mode == "poll" else streams,
            make_feed=target.make_feed,
            stream_only=target.mode == "stream",
            clock=clock,
        )
        self._state_store = state_store
        self._clock = clock
        self._schedule = schedule
        self._key_by = key_by
        self._log_key = log_key
        self._busy = False
        self._turn = 0
        self._about_due_s = clock.monotonic_s()
        self._failures = 0
        self._refresher = Refresher(
            target.server, state_store=state_store, clock=clock, key_by=key_by
        )
        self._idle_until_s = 0.0
        self._closed: str | None = None
        sent = state_store.requests(self.host)
        self._budget = Budget(
            (at_ms for at_ms, _ in sent),
            (at_ms for at_ms, paging in sent if paging),
            plain_limit=schedule.requests_per_5_min,
            paging_limit=schedule.paging_requests_per_15_min,
        )
        self._worker = Worker(target.server, put, clock.now_ms)

    def close(self) -> None:
        """Send no more requests."""
        self._worker.close()

    def send_next(self) -> float:
        """Send the most urgent request, if one may go; return seconds until the next call."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        if self._busy:
            return LONGEST_BACKOFF_S
        if now_s < self._idle_until_s:
            return self._idle_until_s - now_s
        wait_s = _LONGEST_IDLE_S
        for due_s, paging, make_request in self._candidates(now_s, now_ms):
            ready_s = max(due_s - now_s, self._budget.wait_ms(now_ms, paging=paging) / 1000)
            if ready_s <= 0:
                self._send(make_request(now_s, now_ms), now_ms, paging=paging)
                return LONGEST_BACKOFF_S
            wait_s = min(wait_s, ready_s)
        self._idle_until_s = now_s + wait_s
        return wait_s

    def wake(self) -> None:
        """Look for a due request at the next call, because something has changed."""
        self._idle_until_s = 0.0
        if self.about is not None:
            self.stats.way = self.stream_supervisor.way

    def take(self, response: Response) -> PollResult:
        """Take the response to the last request, and return the posts in it."""
        self._busy = False
        if response.limits is not None:
            self._budget.learn(response.limits, response.received_ms)
        error = response.error
        if isinstance(error, RetriableError) and error.retry_after_s is not None:
            self._budget.block(response.received_ms, error.retry_after_s + random.uniform(0, 1))  # noqa: S311
        purpose = response.purpose
        if isinstance(purpose, _ReadAbout):
            self._take_about(response)
            return PollResult()
        if isinstance(purpose, _ReadPage):
            return self._take_page(purpose, response)
        assert isinstance(purpose, RefreshRequest)  # noqa: S101 - there is no other purpose
        observations = self._refresher.take(purpose.due, response)
        self.stats.refresh_error = self._refresher.error
        return PollResult(observations, refreshed=self._refresher.refreshed)

    def committed(self, result: PollResult, fresh: AbstractSet[str]) -> None:
        """Note that a result is logged and stored, and that these keys of it are new."""
        timeline = result.timeline
        if timeline is None:
            return
        now_s = self._clock.monotonic_s()
        new_posts = [
            post
            for post in result.observations
            if isinstance(post, Observation) and post.key in fresh
        ]
        timeline.new_posts += len(new_posts)
        timeline.stats.appended += len(new_posts)
        if new_posts:
            timeline.note_post(now_s)
        self.stream_supervisor.check_missed(timeline, new_posts)
        if timeline.gap_fill is not None and timeline.gap_fill.next_page is None:
            timeline.gap_fill = None
            timeline.filled = timeline.filled or timeline.live
            timeline.poll_done(self._schedule, now_s, stream_works=self.stream_supervisor.works)
            timeline.new_posts = 0
        if timeline.lookback is not None and timeline.lookback.next_page is None:
            number = timeline.lookback_number + 1
            self._state_store.store_lookback(timeline.stats.name, number, self._clock.now_ms())
            timeline.lookback = None
            timeline.lookback_number = number
            timeline.lookback_due_s = now_s + self._schedule.overlap_s

    def alive(self) -> list[Timeline]:
        """Return the timelines that have not been given up."""
        return [timeline for timeline in self.timelines if not timeline.stats.failed]

    # Choosing the next request

    def _candidates(self, now_s: float, now_ms: int) -> Iterator[_Candidate]:
        yield (
            self._about_due_s,
            False,
            lambda *_: Request(_ReadAbout(), lambda server: server.about()),
        )
        if self.about is None:
            return
        refresh_due_s = self._refresher.due_s(now_s, now_ms)
        refreshes: list[_Candidate] = []
        if refresh_due_s is not None:
            refreshes.append((refresh_due_s, False, self._refresher.make_request))
        kinds = [self._poll_candidates(now_s), refreshes, self._lookback_candidates()]
        turns = _TURNS_WHEN_LATE if refreshes and self._refresher.is_late(now_ms) else _TURNS
        kinds.insert(0, kinds.pop(turns[self._turn % len(turns)]))
        for candidates in kinds:
            yield from sorted(candidates, key=lambda candidate: candidate[0])

    def _poll_candidates(self, now_s: float) -> list[_Candidate]:
        candidates: list[_Candidate] = []
        for timeline in self.alive():
            if timeline.live and timeline.is_too_silent(now_s):
                _logger.info(
                    "%s: its stream has brought nothing for longer than usual: looking whether "
                    "the server has anything",
                    timeline.stats.name,
                )
                timeline.due_s = timeline.last_post_s = now_s
            pages = _pages(timeline.gap_fill)
            candidates.append((timeline.due_s, pages, partial(self._poll_request, timeline)))
        return candidates

    def _poll_request(self, timeline: Timeline, _: float, __: int) -> Request:
        if timeline.gap_fill is None or timeline.gap_fill.next_page is None:
            cursors = self._state_store.cursors(self._cursor_names(timeline))
            timeline.gap_fill = GapFill(cursors, partial(self._all_streamed, timeline))
        return self._page_request(timeline, timeline.gap_fill)

    def _cursor_names(self, timeline: Timeline) -> list[str]:
        """Return a name for each hashtag, so that regrouping hashtags keeps their cursors."""
        return [f"{self.host}#{tag}" for tag in timeline.tags]

    def _lookback_candidates(self) -> list[_Candidate]:
        fills_gap = any(
            timeline.gap_fill and timeline.gap_fill.is_behind for timeline in self.alive()
        )
        if self._schedule.overlap_horizon_s <= 0 or fills_gap:
            return []  # new posts come first, and both share the budget of requests that page
        return [
            (
                timeline.lookback_due_s,
                _pages(timeline.lookback),
                partial(self._lookback_request, timeline),
            )
            for timeline in self.alive()
            if timeline.polled_s is not None
        ]

    def _lookback_request(self, timeline: Timeline, _: float, now_ms: int) -> Request:
        if timeline.lookback is None or timeline.lookback.next_page is None:
            reach_s = lookback_reach_s(timeline.lookback_number + 1, self._schedule)
            timeline.lookback = Lookback(now_ms - int(reach_s * 1000), LOOKBACK_PAGES)
        return self._page_request(timeline, timeline.lookback)

    def _all_streamed(self, timeline: Timeline, page: Sequence[Observation]) -> bool:
        """Whether the stream has brought all posts of a page, except those that are too new."""
        if not (timeline.live and timeline.filled and self.stream_supervisor.works):
            return False
        until_ms = self._clock.now_ms() - _IN_FLIGHT_MS
        return all(
            self._state_store.known(self._log_key(post.key)) is not None
            for post in page
            if post.created_ms is None or post.created_ms < until_ms
        )

    def _page_request(self, timeline: Timeline, reader: PageReader) -> Request:
        timeline.stats.requests += 1
        page = reader.next_page or PageRequest()
        return Request(
            _ReadPage(timeline, reader),
            lambda server: server.timeline(timeline.tags, min_id=page.min_id, max_id=page.max_id),
        )

    def _send(self, request: Request, now_ms: int, *, paging: bool) -> None:
        self._state_store.requested(self.host, now_ms, paging=paging)
        self._budget.spend(now_ms, paging=paging)
        self._turn += 1
        self._busy = True
        self.stats.requests += 1
        self._worker.send(request)

    # Understanding responses

    def _take_about(self, response: Response) -> None:
        now_s = self._clock.monotonic_s()
        if isinstance(response.error, RetriableError):
            self._failures += 1
            wait_s = backoff_s(self._failures)
            self._about_due_s = now_s + wait_s
            if self.about is None:
                self.stats.error = str(response.error)
            _logger.warning("%s; trying again in %.0f s", response.error, wait_s)
            return
        self.stats.error = None
        self._failures = 0
        self._about_due_s = math.inf
        about = response.value or About(domain=self.host, family="other", version="")
        if self.about is None:
            self.timelines = self._make_timelines(about, now_s)
            self.stats.sources = [timeline.stats for timeline in self.timelines]
            self.stream_supervisor.begin(about, self.timelines)
        self.about = about
        closed = (
            f"{self.host} has closed its hashtag timelines to this token, or to all without one"
        )
        for timeline in self.timelines:
            if about.hashtags_open is False:
                timeline.stats.error = closed
            elif timeline.stats.error == closed:
                timeline.stats.error = None
        if about.hashtags_open is False:
            _logger.warning("%s: put ACCESS_TOKEN into .env (mastostream login)", closed)

    def _make_timelines(self, about: About, now_s: float) -> list[Timeline]:
        tags = self.target.tags
        size = GROUP if about.family == "mastodon" and len(tags) > GROUP else 1
        groups = [tags[first : first + size] for first in range(0, len(tags), size)]
        pause_s = self._budget.interval_s(len(groups))
        if pause_s > 2 * self._schedule.interval_s:
            _logger.warning(
                "%s: %d hashtags share its requests: each is looked at every %.0f s at most",
                self.host,
                len(tags),
                pause_s,
            )
        timelines = []
        for order, group in enumerate(groups):
            name = f"{self.host}#{'+'.join(group)}"
            number, done_ms = self._state_store.lookback(name)
            ago_s = max(0.0, (self._clock.now_ms() - done_ms) / 1000)
            timelines.append(
                Timeline(
                    host=self.host,
                    tags=group,
                    stats=SourceStats(name),
                    due_s=now_s + order * self._schedule.interval_s / len(groups),
                    interval_s=self._schedule.interval_s,
                    lookback_due_s=now_s + max(0.0, self._schedule.overlap_s - ago_s),
                    lookback_number=number,
                )
            )
        return timelines

    def _take_page(self, purpose: _ReadPage, response: Response) -> PollResult:
        timeline, reader = purpose
        if response.error is not None:
            self._page_failed(timeline, response.error)
            return PollResult()
        had_posts = not response.value and bool(
            self._state_store.cursors(self._cursor_names(timeline))
        )
        timeline.failures, timeline.stats.error = 0, self._closed
        page = [
            identify(
                raw,
                instance=self.host,
                key_by=self._key_by,
                event="new",
                observed_ms=response.received_ms,
            )
            for raw in response.value
        ]
        first_page = reader.next_page == PageRequest()
        result = reader.take(page)
        now_s = self._clock.monotonic_s()
        if reader is timeline.gap_fill:
            timeline.due_s = now_s
            if first_page:
                self._note_empty(timeline, shows_none=had_posts)
            if not result.complete:
                timeline.stats.incomplete += 1
                _logger.warning(
                    "%s: posts are missing before the last %d: the server does not page back "
                    "as far as that",
                    timeline.stats.name,
                    len(result.observations),
                )
        elif reader is timeline.lookback:
            timeline.lookback_due_s = now_s
        cursors = {}
        if result.cursor is not None:
            cursors = dict.fromkeys(self._cursor_names(timeline), result.cursor)
        return PollResult(result.observations, cursors, timeline)

    def _page_failed(self, timeline: Timeline, error: MastostreamError) -> None:
        stats = timeline.stats
        stats.error = str(error)
        if isinstance(error, FatalError):
            stats.failed = True
            _logger.error("%s: %s; this source ends here", stats.name, error)
            return
        timeline.failures += 1
        stats.retries += 1
        wait_s = max(backoff_s(timeline.failures), self._schedule.interval_s)
        now_s = self._clock.monotonic_s()
        timeline.due_s = now_s + wait_s
        timeline.lookback_due_s = max(timeline.lookback_due_s, timeline.due_s)
        _logger.warning("%s: %s; trying again in %.0f s", stats.name, error, wait_s)

    def _note_empty(self, timeline: Timeline, *, shows_none: bool) -> None:
        """Count empty pages: a timeline that had posts and shows none may have been closed."""
        timeline.empty_polls = timeline.empty_polls + 1 if shows_none else 0
        if timeline.empty_polls >= _EMPTY_POLLS:
            timeline.stats.error = "the server shows no posts here any more, although it did"
        if timeline.empty_polls == _EMPTY_POLLS:
            self._about_due_s = min(self._about_due_s, self._clock.monotonic_s())
            _logger.warning("%s: %s", timeline.stats.name, timeline.stats.error)


def _pages(reader: PageReader | None) -> bool:
    """Whether the next request of a reader counts towards the rate limit on paging."""
    return reader is not None and reader.next_page is not None and reader.next_page.pages
