"""One server that is followed: which request goes next, and what its answer means."""

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
from mastostream.collector.timeline import PollSchedule, SourceStats, Timeline, overlap_reach_s
from mastostream.collector.worker import Request, Response, Worker
from mastostream.exceptions import FatalError, MastostreamError, RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.source import About, MastodonServer
from mastostream.ports.stream import Streams

__all__ = ["PollResult", "RequestScheduler", "ServerStats", "Target"]

Mode = Literal["auto", "poll", "stream"]

GROUP: Final = 4
"""Hashtags in one request: the tag and three of ``any[]`` (``TagFeed::LIMIT_PER_MODE``)."""

OVERLAP_PAGES: Final = 50
"""Pages of one overlap at most: 2,000 posts."""

_ON_ITS_WAY_MS: Final = 10_000
_EMPTY_LOOKS: Final = 3
_LONGEST_IDLE_S: Final = 5.0
_TURNS: Final = (0, 1, 0, 2, 0, 1, 0, 2)
_TURNS_WHEN_LATE: Final = (0, 1, 0, 1, 2, 1, 2, 1)
_logger = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Target:
    """A server to follow.

    Attributes:
        server: closed with the collector.
        tags: hashtags, without ``#``.
        mode: how.
        make_feed: makes what its streams are listened to by; ``None`` where it is only polled.
    """

    server: MastodonServer
    tags: tuple[str, ...]
    mode: Mode = "auto"
    make_feed: MakeFeed | None = None


@attrs.define
class ServerStats:
    """How a server fares. Read by other threads.

    Attributes:
        requests: sent in all.
        way: how its posts come now: ``asking``, ``polling``, ``websocket``, ``sse``.
        sources: its timelines.
        refresh_error: why counts are not read again, where they are not.
    """

    name: str
    requests: int = 0
    way: str = "asking"
    sources: list[SourceStats] = attrs.field(factory=list)
    refresh_error: str | None = None


class PollResult(NamedTuple):
    """What an answer brought.

    Attributes:
        seen: to be sifted and logged.
        cursors: to be stored once that is done.
        timeline: where it came from, if from one.
        answered: posts whose counts were asked for, and the server has answered.
    """

    seen: Sequence[Observation | DeleteObserved] = ()
    cursors: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    timeline: Timeline | None = None
    answered: Sequence[str] = ()


class _ReadAbout(NamedTuple):
    pass


class _ReadPage(NamedTuple):
    timeline: Timeline
    reading: PageReader


MakeRequest = Callable[[float, int], Request]
_Candidate = tuple[float, bool, MakeRequest]
"""When it is due, whether it pages, and what makes the job (now, by both clocks)."""


class RequestScheduler:
    """Used by the collector's thread alone; its requests are sent by a worker."""

    def __init__(  # noqa: PLR0913 - each is a choice of the collector's, by name
        self,
        target: Target,
        *,
        state_store: CollectorStateStore,
        clock: Clock,
        schedule: PollSchedule,
        key_by: KeyBy,
        named: Callable[[str], str],
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
            only=target.mode == "stream",
            clock=clock,
        )
        self._state_store = state_store
        self._clock = clock
        self._schedule = schedule
        self._key_by = key_by
        self._named = named
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
        """Send no more."""
        self._worker.close()

    def send_next(self) -> float:
        """Send the most urgent request, if one may go; return seconds until the next look."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        if self._busy:
            return LONGEST_BACKOFF_S
        if now_s < self._idle_until_s:
            return self._idle_until_s - now_s
        wait_s = _LONGEST_IDLE_S
        for due_s, paging, make_job in self._candidates(now_s, now_ms):
            ready_s = max(due_s - now_s, self._budget.wait_ms(now_ms, paging=paging) / 1000)
            if ready_s <= 0:
                self._send(make_job(now_s, now_ms), now_ms, paging=paging)
                return LONGEST_BACKOFF_S
            wait_s = min(wait_s, ready_s)
        self._idle_until_s = now_s + wait_s
        return wait_s

    def look_again(self) -> None:
        """Something has changed that may make a request due."""
        self._idle_until_s = 0.0
        if self.about is not None:
            self.stats.way = self.stream_supervisor.way

    def take(self, answer: Response) -> PollResult:
        """Take the answer to a request."""
        self._busy = False
        if answer.limits is not None:
            self._budget.learn(answer.limits, answer.received_ms)
        error = answer.error
        if isinstance(error, RetriableError) and error.retry_after_s is not None:
            self._budget.block(answer.received_ms, error.retry_after_s + random.uniform(0, 1))  # noqa: S311
        purpose = answer.purpose
        if isinstance(purpose, _ReadAbout):
            self._take_about(answer)
            return PollResult()
        if isinstance(purpose, _ReadPage):
            return self._take_page(purpose, answer)
        assert isinstance(purpose, RefreshRequest)  # noqa: S101 - there is no other purpose
        seen = self._refresher.take(purpose.due, answer)
        self.stats.refresh_error = self._refresher.error
        return PollResult(seen, answered=self._refresher.settled)

    def kept(self, news: PollResult, fresh: AbstractSet[str]) -> None:
        """What an answer brought is logged and remembered; these keys of it are new."""
        timeline = news.timeline
        if timeline is None:
            return
        now_s = self._clock.monotonic_s()
        brought = [
            each for each in news.seen if isinstance(each, Observation) and each.key in fresh
        ]
        timeline.new_posts += len(brought)
        timeline.stats.appended += len(brought)
        if brought:
            timeline.has_news(now_s)
        self.stream_supervisor.suspect(timeline, brought)
        if timeline.gap_fill is not None and timeline.gap_fill.ask is None:
            timeline.gap_fill = None
            timeline.filled = timeline.filled or timeline.live
            timeline.looked(self._schedule, now_s, stream_works=self.stream_supervisor.works)
            timeline.new_posts = 0
        if timeline.overlap is not None and timeline.overlap.ask is None:
            number = timeline.overlap_number + 1
            self._state_store.overlapped(timeline.stats.name, number, self._clock.now_ms())
            timeline.overlap = None
            timeline.overlap_number = number
            timeline.overlap_due_s = now_s + self._schedule.overlap_s

    def alive(self) -> list[Timeline]:
        """Return the timelines that were not given up."""
        return [timeline for timeline in self.timelines if not timeline.stats.failed]

    # What to ask for next

    def _candidates(self, now_s: float, now_ms: int) -> Iterator[_Candidate]:
        yield (
            self._about_due_s,
            False,
            lambda *_: Request(_ReadAbout(), lambda server: server.about()),
        )
        if self.about is None:
            return
        again_s = self._refresher.due_s(now_s, now_ms)
        again: list[_Candidate] = [] if again_s is None else [(again_s, False, self._refresher.job)]
        classes = [self._looks(now_s), again, self._overlaps()]
        # What is new comes first; but of eight requests two are left for the counts, four where
        # these are late, and two for what came late.
        turns = _TURNS_WHEN_LATE if again and self._refresher.is_late(now_ms) else _TURNS
        classes.insert(0, classes.pop(turns[self._turn % len(turns)]))
        for candidates in classes:
            yield from sorted(candidates, key=lambda candidate: candidate[0])

    def _looks(self, now_s: float) -> list[_Candidate]:
        found: list[_Candidate] = []
        for timeline in self.alive():
            if timeline.live and timeline.is_too_silent(now_s):
                _logger.info(
                    "%s: its stream has brought nothing for longer than usual: looking whether "
                    "the server has anything",
                    timeline.stats.name,
                )
                timeline.due_s = timeline.news_s = now_s
            ask = timeline.gap_fill and timeline.gap_fill.ask
            found.append((timeline.due_s, bool(ask and ask.pages), partial(self._look, timeline)))
        return found

    def _look(self, timeline: Timeline, _: float, __: int) -> Request:
        if timeline.gap_fill is None or timeline.gap_fill.ask is None:
            cursors = self._state_store.cursors(self._cursor_names(timeline))
            timeline.gap_fill = GapFill(cursors, partial(self._all_brought, timeline))
        return self._page_job(timeline, timeline.gap_fill)

    def _cursor_names(self, timeline: Timeline) -> list[str]:
        """Hashtags keep their cursors, however they are grouped."""
        return [f"{self.host}#{tag}" for tag in timeline.tags]

    def _overlaps(self) -> list[_Candidate]:
        catching_up = any(each.gap_fill and each.gap_fill.is_behind for each in self.alive())
        if self._schedule.overlap_horizon_s <= 0 or catching_up:
            return []  # what is new comes first, and both page
        return [
            (
                timeline.overlap_due_s,
                bool(timeline.overlap and timeline.overlap.ask and timeline.overlap.ask.pages),
                partial(self._overlap, timeline),
            )
            for timeline in self.alive()
            if timeline.looked_s is not None
        ]

    def _overlap(self, timeline: Timeline, _: float, now_ms: int) -> Request:
        if timeline.overlap is None or timeline.overlap.ask is None:
            reach_s = overlap_reach_s(timeline.overlap_number + 1, self._schedule)
            timeline.overlap = Lookback(now_ms - int(reach_s * 1000), OVERLAP_PAGES)
        return self._page_job(timeline, timeline.overlap)

    def _all_brought(self, timeline: Timeline, page: Sequence[Observation]) -> bool:
        """Whether the stream has brought this page, but for what may be on its way."""
        if not (timeline.live and timeline.filled and self.stream_supervisor.works):
            return False
        until_ms = self._clock.now_ms() - _ON_ITS_WAY_MS
        return all(
            self._state_store.known(self._named(each.key)) is not None
            for each in page
            if each.created_ms is None or each.created_ms < until_ms
        )

    def _page_job(self, timeline: Timeline, reading: PageReader) -> Request:
        timeline.stats.requests += 1
        ask = reading.ask or PageRequest()
        return Request(
            _ReadPage(timeline, reading),
            lambda server: server.timeline(timeline.tags, min_id=ask.min_id, max_id=ask.max_id),
        )

    def _send(self, job: Request, now_ms: int, *, paging: bool) -> None:
        self._state_store.requested(self.host, now_ms, paging=paging)
        self._budget.spend(now_ms, paging=paging)
        self._turn += 1
        self._busy = True
        self.stats.requests += 1
        self._worker.send(job)

    # What answers mean

    def _take_about(self, answer: Response) -> None:
        now_s = self._clock.monotonic_s()
        if isinstance(answer.error, RetriableError):
            self._failures += 1
            wait_s = backoff_s(self._failures)
            self._about_due_s = now_s + wait_s
            _logger.warning("%s; trying again in %.0f s", answer.error, wait_s)
            return
        self._failures = 0
        self._about_due_s = math.inf
        about = answer.value or About(domain=self.host, family="other", version="")
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
        found = []
        for order, group in enumerate(groups):
            name = f"{self.host}#{'+'.join(group)}"
            number, done_ms = self._state_store.overlap(name)
            ago_s = max(0.0, (self._clock.now_ms() - done_ms) / 1000)
            found.append(
                Timeline(
                    host=self.host,
                    tags=group,
                    stats=SourceStats(name),
                    due_s=now_s + order * self._schedule.interval_s / len(groups),
                    interval_s=self._schedule.interval_s,
                    overlap_due_s=now_s + max(0.0, self._schedule.overlap_s - ago_s),
                    overlap_number=number,
                )
            )
        return found

    def _take_page(self, purpose: _ReadPage, answer: Response) -> PollResult:
        timeline, reading = purpose
        if answer.error is not None:
            self._page_failed(timeline, answer.error)
            return PollResult()
        had_posts = not answer.value and bool(
            self._state_store.cursors(self._cursor_names(timeline))
        )
        timeline.failures, timeline.stats.error = 0, self._closed
        page = [
            identify(
                raw,
                instance=self.host,
                key_by=self._key_by,
                event="new",
                observed_ms=answer.received_ms,
            )
            for raw in answer.value
        ]
        first_page = reading.ask == PageRequest()
        taken = reading.take(page)
        now_s = self._clock.monotonic_s()
        if reading is timeline.gap_fill:
            timeline.due_s = now_s
            if first_page:
                self._note_empty(timeline, shows_none=had_posts)
            if not taken.complete:
                timeline.stats.incomplete += 1
                _logger.warning(
                    "%s: posts are missing before the last %d: the server does not page back "
                    "as far as that",
                    timeline.stats.name,
                    len(taken.observations),
                )
        elif reading is timeline.overlap:
            timeline.overlap_due_s = now_s
        cursors = {}
        if taken.cursor is not None:
            cursors = dict.fromkeys(self._cursor_names(timeline), taken.cursor)
        return PollResult(taken.observations, cursors, timeline)

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
        timeline.overlap_due_s = max(timeline.overlap_due_s, timeline.due_s)
        _logger.warning("%s: %s; trying again in %.0f s", stats.name, error, wait_s)

    def _note_empty(self, timeline: Timeline, *, shows_none: bool) -> None:
        """A feed that had posts and shows none now may have been closed."""
        timeline.empty_looks = timeline.empty_looks + 1 if shows_none else 0
        if timeline.empty_looks >= _EMPTY_LOOKS:
            timeline.stats.error = "the server shows no posts here any more, although it did"
        if timeline.empty_looks == _EMPTY_LOOKS:
            self._about_due_s = min(self._about_due_s, self._clock.monotonic_s())
            _logger.warning("%s: %s", timeline.stats.name, timeline.stats.error)
