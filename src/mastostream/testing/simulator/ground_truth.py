"""The ground truth: the posts that a tool should hold at the end if it followed some hashtags."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, NamedTuple

import attrs

from mastostream.core.hashtags import normalize_hashtag
from mastostream.testing.simulator.posts import Counts, SimulatedPost
from mastostream.testing.simulator.world import World

__all__ = ["ExpectedPost", "GroundTruth", "KeyBy", "RefreshSchedule", "find_ground_truth"]

KeyBy = Literal["auto", "id", "uri"]


@attrs.frozen(kw_only=True)
class RefreshSchedule:
    """When a tool reads posts again to find edits, deletions and new counts.

    Attributes:
        after_s: ages at which a post is read again, in seconds since it could be seen first.
        slack_s: longest delay of each of these readings, in seconds.
    """

    after_s: tuple[float, ...] = (300.0, 3_600.0, 86_400.0)
    slack_s: float = 60.0


@attrs.frozen(kw_only=True)
class ExpectedPost:
    """A post as a tool should hold it. Times are milliseconds since the epoch.

    The copy on the post's own server counts. Where that server is not followed, the copies on all
    followed servers count.

    Attributes:
        key: the id or the uri of the post; see ``Fediverse.truth``.
        uri: the post's ActivityPub uri, the same on all servers.
        created_ms: creation time.
        arrived_ms: first time at which any followed server showed the post.
        content: HTML of the text at the end.
        edited_ms: time of the edit that gave this text; ``None`` for an unedited post.
        counts: engagement at the end.
        also: other texts that are correct too: the text before an edit that need not have been
            read yet, or the text of an edit after the end.
        least: lower bound of the engagement: the counts at the last reading that is due.
        most: upper bound of the engagement: the counts at the latest time of the simulation.
    """

    key: str
    uri: str
    created_ms: int
    arrived_ms: int
    content: str
    edited_ms: int | None
    counts: Counts
    also: frozenset[str]
    least: Counts
    most: Counts


@attrs.frozen(kw_only=True)
class GroundTruth:
    """The posts that a tool should hold at the end.

    Attributes:
        posts: posts that must be held, by key.
        deleted: keys of deleted posts, which must not be held any more.
        optional: keys of posts that may be held or not.
    """

    posts: Mapping[str, ExpectedPost]
    deleted: frozenset[str]
    optional: frozenset[str]


def find_ground_truth(
    followed: Sequence[World],
    tags: Collection[str],
    since_ms: int,
    until_ms: int,
    *,
    now_ms: int,
    key_by: KeyBy,
    reading: RefreshSchedule | None,
) -> GroundTruth:
    """Return the ground truth for a tool that follows these servers; see ``Fediverse.truth``."""
    wanted = {normalize_hashtag(tag) for tag in tags}
    by_id = key_by == "id" or (key_by == "auto" and len(followed) == 1)
    posts: dict[str, ExpectedPost] = {}
    deleted: set[str] = set()
    optional: set[str] = set()
    for copies in _copies(followed, wanted):
        authoritative = _authoritative(copies)
        key = authoritative[0].id if by_id else authoritative[0].uri
        arrivals_ms = [copy.arrived_ms for copy in copies if since_ms < copy.arrived_ms <= until_ms]
        if not arrivals_ms:
            optional.add(key)
            continue
        first_ms = min(copy.arrived_ms for copy in copies)
        read_ms = _last_due_reading_ms(max(since_ms, first_ms), min(arrivals_ms), until_ms, reading)
        if all(copy.is_deleted(read_ms) for copy in authoritative):
            deleted.add(key)
        elif any(copy.is_deleted(now_ms) for copy in authoritative):
            optional.add(key)
        else:
            posts[key] = _expected_post(
                key, authoritative, _Times(first_ms, read_ms, until_ms, now_ms)
            )
    return GroundTruth(posts=posts, deleted=frozenset(deleted), optional=frozenset(optional))


def _copies(followed: Sequence[World], wanted: set[str]) -> Collection[list[SimulatedPost]]:
    """Return the copies of each post with a wanted hashtag, grouped by post."""
    copies: dict[str, list[SimulatedPost]] = {}
    for world in followed:
        for post in world.posts:
            if wanted.intersection(map(normalize_hashtag, post.tags)):
                copies.setdefault(post.uri, []).append(post)
    return copies.values()


def _authoritative(copies: list[SimulatedPost]) -> list[SimulatedPost]:
    """Return the copy on the post's own server, or all copies where that is not followed."""
    return [copy for copy in copies if copy.at_home] or copies


def _last_due_reading_ms(
    earliest_ms: int, latest_ms: int, until_ms: int, reading: RefreshSchedule | None
) -> int:
    """Return the earliest time of the last reading that is due before the end.

    The tool saw the post first between ``earliest_ms`` and ``latest_ms``.
    """
    if reading is None:
        return until_ms
    due_s = [
        age_s
        for age_s in reading.after_s
        if latest_ms + (age_s + reading.slack_s) * 1000 <= until_ms
    ]
    return earliest_ms + int(max(due_s, default=0.0) * 1000)


class _Times(NamedTuple):
    """Times of one post: first seen, last due reading, end, and latest time simulated."""

    first_ms: int
    read_ms: int
    until_ms: int
    now_ms: int


def _expected_post(key: str, authoritative: list[SimulatedPost], times: _Times) -> ExpectedPost:
    first_ms, read_ms, until_ms, now_ms = times
    first = authoritative[0]
    content = first.text_at(until_ms)
    shown = {
        copy.text_at(time_ms)
        for copy in authoritative
        for time_ms in (read_ms, copy.arrived_ms, *copy.edits)
        if max(read_ms, copy.arrived_ms) <= time_ms <= now_ms
    }
    return ExpectedPost(
        key=key,
        uri=first.uri,
        created_ms=first.created_ms,
        arrived_ms=first_ms,
        content=content,
        edited_ms=first.edited_ms_at(until_ms),
        counts=first.counts_at(until_ms),
        also=frozenset(shown - {content}),
        least=_combine(min, [copy.counts_at(read_ms) for copy in authoritative]),
        most=_combine(max, [copy.counts_at(now_ms) for copy in authoritative]),
    )


def _combine(choose: Callable[..., int], counts: Sequence[Counts]) -> Counts:
    return Counts(
        favourites=choose(copy_counts.favourites for copy_counts in counts),
        reblogs=choose(copy_counts.reblogs for copy_counts in counts),
        replies=choose(copy_counts.replies for copy_counts in counts),
        quotes=choose(copy_counts.quotes for copy_counts in counts),
    )
