"""A server and streams that do what a test says."""

import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mastostream.collector import Collector, CollectorMemory, KeyBy, Rhythm, Target
from mastostream.core.metrics import from_ms
from mastostream.exceptions import FatalError, MastostreamError, RetriableError
from mastostream.log.sqlite import SqliteLogReader, SqliteLogWriter
from mastostream.ports.clock import Clock, ScaledClock
from mastostream.ports.log import NewRecord
from mastostream.ports.source import About, Limits
from mastostream.ports.stream import Cut, Feed, Opened, Put, StreamEvent

NOW = 1_750_000_000_000
PAGE = 40


def fast_clock(speed: float = 200.0) -> ScaledClock:
    return ScaledClock(time.time_ns() // 1_000_000, NOW, speed)


class FakeServer:
    """Keeps posts as (id, hashtag, status), newest first. Errors are raised as they are queued."""

    def __init__(
        self, clock: ScaledClock, host: str = "s.example", family: str = "mastodon"
    ) -> None:
        self.host = host
        self.most_ids = 20
        self.limits: Limits | None = None
        self.clock = clock
        self.family = family
        self.posts: list[tuple[str, str, dict[str, Any]]] = []
        self.errors: list[MastostreamError] = []
        self.about_errors: list[MastostreamError] = []
        self.refused_tags: dict[str, MastostreamError] = {}
        self.calls: list[tuple[str, Any]] = []
        self.batches = True
        self.forgets_all = False
        self.open: bool | None = None
        self.closed = False

    def write(self, post_id: str, tag: str = "news", **members: Any) -> bytes:
        status = {
            "id": post_id,
            "uri": f"https://{self.host}/{post_id}",
            "created_at": from_ms(self.clock.now_ms()).isoformat(),
            "account": {"acct": "somebody"},
            "favourites_count": 0,
        } | members
        self.posts.insert(0, (post_id, tag, status))
        return json.dumps(status).encode()

    def delete(self, post_id: str) -> None:
        self.posts = [post for post in self.posts if post[0] != post_id]

    def about(self) -> About:
        self._called("about", None)
        if self.about_errors:
            raise self.about_errors.pop(0)
        return About(
            domain=self.host,
            family=self.family,  # type: ignore[arg-type]  # one of them
            version="4.5.1",
            hashtags_open=self.open,
            streaming_url=f"wss://{self.host}",
        )

    def timeline(
        self, tags: Sequence[str], *, min_id: str | None = None, max_id: str | None = None
    ) -> Sequence[bytes]:
        self._called("timeline", (tuple(tags), min_id, max_id))
        for tag in tags:
            if tag in self.refused_tags:
                raise self.refused_tags[tag]
        found = [(post_id, status) for post_id, tag, status in self.posts if tag in tags]
        ids = [post_id for post_id, _ in found]
        if max_id in ids:
            found = found[ids.index(max_id) + 1 :]
        if min_id in ids:
            found = found[: ids.index(min_id)][-PAGE:]
        return [json.dumps(status).encode() for _, status in found[:PAGE]]

    def statuses(self, ids: Sequence[str]) -> Sequence[bytes] | None:
        self._called("statuses", tuple(ids))
        if not self.batches and len(ids) > 1:
            self.most_ids = 1
            return None
        if self.forgets_all and len(ids) > 1:
            return []
        return [json.dumps(status).encode() for post_id, _, status in self.posts if post_id in ids]

    def close(self) -> None:
        self.closed = True

    def count(self, call: str) -> int:
        return sum(name == call for name, _ in self.calls)

    def _called(self, name: str, arguments: Any) -> None:
        self.calls.append((name, arguments))
        if self.errors:
            raise self.errors.pop(0)


class FakeStreams:
    """Does what the test says; ``working`` transports open as soon as they are followed."""

    def __init__(self, put: Put, clock: Clock, working: Sequence[str] = ("websocket",)) -> None:
        self.put = put
        self.clock = clock
        self.working = working
        self.feeds: list[Feed] = []
        self.unfollowed: list[str] = []
        self.paused: list[bool] = []
        self.closed = False

    def follow(self, feed: Feed) -> None:
        self.feeds.append(feed)
        if feed.transport in self.working:
            self.put(Opened(feed.name, feed.tags))
        else:
            self.put(Cut(feed.name, feed.tags, FatalError("404: no such stream here")))

    def unfollow(self, name: str) -> None:
        self.unfollowed.append(name)

    def pause(self, *, paused: bool) -> None:
        self.paused.append(paused)

    def close(self) -> None:
        self.closed = True

    def send(self, event: str, data: bytes, tag: str = "news") -> None:
        feed = self.feeds[-1].name
        self.put(StreamEvent(feed, event, data, tag, self.clock.now_ms()))

    def cut(self, error: MastostreamError | None = None) -> None:
        feed = self.feeds[-1]
        self.put(Cut(feed.name, feed.tags, error or RetriableError("cut")))

    def reopen(self) -> None:
        feed = self.feeds[-1]
        self.put(Opened(feed.name, feed.tags))


class CrashError(Exception):
    """The process ends here."""


class CrashingWriter(SqliteLogWriter):
    """Ends the process before or after the log has taken a batch."""

    crash: str | None = None

    def append(self, records: Sequence[NewRecord]) -> None:
        if self.crash == "before":
            raise CrashError
        super().append(records)
        if self.crash == "after":
            raise CrashError


class Trouble:
    """A disk that fails now and then, at any moment."""

    def __init__(self) -> None:
        self.rng = random.Random(1)
        self.share = 0.0

    def maybe(self) -> None:
        if self.rng.random() < self.share:
            raise RetriableError("the disk is full")


class TroubledMemory(CollectorMemory):
    trouble: Trouble


class TroubledWriter(CrashingWriter):
    trouble: Trouble

    def append(self, records: Sequence[NewRecord]) -> None:
        self.trouble.maybe()
        super().append(records)


def _troubled(name: str) -> Callable[..., Any]:
    def method(self: TroubledMemory, *arguments: Any, **named: Any) -> Any:
        self.trouble.maybe()
        return getattr(CollectorMemory, name)(self, *arguments, **named)

    return method


for _name in ("known", "cursors", "remember", "requested", "seen_again", "bury_unseen", "key_of"):
    setattr(TroubledMemory, _name, _troubled(_name))


RHYTHM = Rhythm(interval_s=3.0, longest_interval_s=30.0, overlap_s=600.0)


def collect(
    folder: Path,
    *servers: FakeServer,
    tags: Sequence[str] = ("news",),
    mode: str = "auto",
    make_streams: Callable[[Put], FakeStreams] | None = None,
    crash: str | None = None,
    key_by: KeyBy = "id",
    refresh_after_s: Sequence[float] = (),
    rhythm: Rhythm = RHYTHM,
    trouble: Trouble | None = None,
) -> Collector:
    clock = servers[0].clock
    writer = TroubledWriter(folder / "log.sqlite3", now_ms=clock.now_ms)
    writer.crash = crash
    memory = TroubledMemory(
        folder / "memory.sqlite3", key_by=key_by, refresh_after_s=refresh_after_s
    )
    writer.trouble = memory.trouble = trouble or Trouble()
    targets = [
        Target(
            server=server,
            tags=tuple(tags),
            mode=mode,  # type: ignore[arg-type]  # one of them
            make_feed=lambda about, tags, transport: Feed(
                name=about.domain, url="ws://x", tags=tags, transport=transport
            ),
        )
        for server in servers
    ]
    return Collector(
        targets,
        writer,
        SqliteLogReader(folder / "log.sqlite3", topic="Mastodon_stream", group="collect"),
        memory,
        clock=clock,
        key_by=key_by,
        rhythm=rhythm,
        make_streams=make_streams,
    )


def until(collector: Collector, holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Go on until that holds."""
    end_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end_s, f"it never held: {collector.stats}"
        with suppress(RetriableError):  # as the runner does
            collector.step(0.02)


def logged(folder: Path) -> list[dict[str, Any]]:
    """The statuses in the log, in their order."""
    reader = SqliteLogReader(folder / "log.sqlite3", topic="Mastodon_stream", group="test")
    found = [json.loads(record.value) for record in reader.read(100_000, 0.0)]
    reader.close()
    return found


def events(folder: Path) -> list[tuple[str, str]]:
    """What the log says happened: event and key."""
    stamps = [status["mastostream"] for status in logged(folder)]
    return [(stamp["event"], stamp["key"]) for stamp in stamps]
