"""The conformance suite for servers: the fake passes it, broken adapters fail."""

from collections.abc import Sequence

import pytest

from mastostream.exceptions import FatalError, RetriableError
from mastostream.ports.source import About, RateLimits
from mastostream.testing.conformance.source import ServerConformance, ServerUnderTest
from mastostream.testing.fakes import FakeServer

from .weakness import Weakness, assert_all_are_tried, assert_found_out, name_of

TAGS = ("news", "art")
POSTS = 130


def under_test(server: FakeServer) -> ServerUnderTest:
    tag_of: dict[str, str] = {}

    def write(tag: str) -> None:
        post_id = f"id{len(tag_of)}"
        server.write(post_id, tag)
        tag_of[post_id] = tag

    def posts(tags: Sequence[str]) -> list[str]:
        return [post_id for post_id in server.ids if tag_of[post_id] in tags]

    def delete(tag: str) -> str:
        gone = posts([tag])[50]
        server.delete(gone)
        return gone

    for number in range(POSTS):
        write(TAGS[number % 2])
    for _ in range(40):
        write("news")
        write("art")
    return ServerUnderTest(server=server, tags=TAGS, posts=posts, write=write, delete=delete)


class TestFakeServer(ServerConformance):
    @pytest.fixture(params=[1, 7, 20])
    def server(self, request: pytest.FixtureRequest) -> ServerUnderTest:
        return under_test(FakeServer(batch_limit=request.param))


class Nameless(FakeServer):
    def about(self) -> About:
        return About(domain="", family=self.family, version="")


class OldestFirst(FakeServer):
    def timeline(self, tags: Sequence[str], **paging: str | None) -> Sequence[bytes]:
        return super().timeline(tags, **paging)[::-1]


class Slow(FakeServer):
    def timeline(
        self, tags: Sequence[str], *, min_id: str | None = None, max_id: str | None = None
    ) -> Sequence[bytes]:
        page = super().timeline(tags, min_id=min_id, max_id=max_id)
        return page if min_id or max_id else page[1:]


class SkipsOneDownwards(FakeServer):
    def timeline(
        self, tags: Sequence[str], *, min_id: str | None = None, max_id: str | None = None
    ) -> Sequence[bytes]:
        page = super().timeline(tags, min_id=min_id, max_id=max_id)
        return page[1:] if max_id else page


class RepeatsTheLast(FakeServer):
    def timeline(
        self, tags: Sequence[str], *, min_id: str | None = None, max_id: str | None = None
    ) -> Sequence[bytes]:
        page = super().timeline(tags, min_id=min_id, max_id=max_id)
        last = [post.raw for post in self._posts if post.id == max_id]
        return [*last, *page] if page else page


class GivesTheNewestSince(FakeServer):
    """Takes ``min_id`` for Mastodon's ``since_id``: what lies between is skipped."""

    def timeline(
        self, tags: Sequence[str], *, min_id: str | None = None, max_id: str | None = None
    ) -> Sequence[bytes]:
        newest = super().timeline(tags)
        above = super().timeline(tags, min_id=min_id, max_id=max_id)
        return newest if min_id and len(above) == len(newest) else above


class KnowsOneHashtag(FakeServer):
    def timeline(self, tags: Sequence[str], **paging: str | None) -> Sequence[bytes]:
        return super().timeline(tags[:1], **paging)


class ShowsAnythingForNothing(FakeServer):
    def timeline(self, tags: Sequence[str], **paging: str | None) -> Sequence[bytes]:
        return super().timeline(tags, **paging) or super().timeline(TAGS)


class LosesOneOfABatch(FakeServer):
    def statuses(self, ids: Sequence[str]) -> Sequence[bytes] | None:
        statuses = super().statuses(ids)
        return statuses and statuses[: max(1, len(ids) - 1)]


class RefusesWithoutLearning(FakeServer):
    def statuses(self, ids: Sequence[str]) -> Sequence[bytes] | None:
        return None if len(ids) > 1 else super().statuses(ids)


class KeepsTheDeleted(FakeServer):
    def statuses(self, ids: Sequence[str]) -> Sequence[bytes] | None:
        return [post.raw for post in self._posts if post.id in ids]


class SaysTheImpossible(FakeServer):
    @property
    def limits(self) -> RateLimits | None:
        return RateLimits(300, 301, -1.0)

    @limits.setter
    def limits(self, _: RateLimits | None) -> None:
        pass


class ClosesOnce(FakeServer):
    def close(self) -> None:
        assert not self.closed
        super().close()


def weak(test: str, server: type[FakeServer]) -> Weakness:
    def make() -> ServerUnderTest:
        return under_test(server())

    make.__name__ = server.__name__
    return Weakness(test, make)


WEAK = [
    weak("it_says_what_it_is_under_one_name", Nameless),
    weak("a_page_holds_the_newest_posts_the_newest_first", OldestFirst),
    weak("a_post_that_was_written_is_on_top", Slow),
    weak("pages_lead_down_to_the_oldest_post", SkipsOneDownwards),
    weak("pages_lead_down_to_the_oldest_post", RepeatsTheLast),
    weak("pages_lead_up_from_any_post_without_a_gap", GivesTheNewestSince),
    weak("what_was_written_since_is_found_above_what_was_read", OldestFirst),
    weak("several_hashtags_are_one_timeline", KnowsOneHashtag),
    weak("a_hashtag_that_nobody_uses_has_no_posts", ShowsAnythingForNothing),
    weak("statuses_are_read_by_their_ids", LosesOneOfABatch),
    weak("statuses_are_read_by_their_ids", RefusesWithoutLearning),
    weak("what_is_deleted_is_nowhere", KeepsTheDeleted),
    weak("limits_are_possible_ones_where_it_says_any", SaysTheImpossible),
    weak("closing_twice_is_harmless", ClosesOnce),
]


@pytest.mark.parametrize("weakness", WEAK, ids=name_of)
def test_a_server_that_breaks_a_promise_is_found_out(weakness: Weakness) -> None:
    assert_found_out(ServerConformance, weakness)


def test_every_promise_is_watched() -> None:
    assert_all_are_tried(ServerConformance, WEAK)


def test_errors_come_in_their_order_and_each_once() -> None:
    server = FakeServer()
    server.write("1")
    server.failures.add("timeline", RetriableError("503"), None, FatalError("401"))
    server.failures.add(None, RetriableError("429", retry_after_s=30.0))
    assert server.failures.waiting == 3
    with pytest.raises(RetriableError, match="503"):
        server.timeline(["news"])
    assert len(server.timeline(["news"])) == 1
    with pytest.raises(FatalError, match="401"):
        server.timeline(["news"])
    with pytest.raises(RetriableError, match="429"):
        server.about()
    assert len(server.timeline(["news"])) == 1
    assert server.failures.waiting == 0
    with pytest.raises(ValueError, match="no call 'timelines'"):
        server.failures.add("timelines", RetriableError("503"))


def test_a_post_may_come_late_and_change() -> None:
    server = FakeServer()
    for number in range(3):
        server.write(str(number))
    server.write("late", below=2)
    server.change("late", favourites_count=7)
    assert server.ids == ["2", "1", "late", "0"]
    (raw,) = server.statuses(["late"]) or ()
    assert b'"favourites_count": 7' in raw
    assert server.timeline(["news"], min_id="late", max_id="2") == server.statuses(["1"])
    assert server.timeline(["news"], min_id="unknown") == []
