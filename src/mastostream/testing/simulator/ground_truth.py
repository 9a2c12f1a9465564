"""What somebody who followed some hashtags should hold in the end."""

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
    """How a follower keeps up with edits, deletions and counts: by reading posts again.

    Attributes:
        after_s: ages, from the first moment that the post could be seen.
        slack_s: how late each of these readings may be.
    """

    after_s: tuple[float, ...] = (300.0, 3_600.0, 86_400.0)
    slack_s: float = 60.0


@attrs.frozen(kw_only=True)
class ExpectedPost:
    """A post as it should be held: as its own server shows it, or any, where that is not followed.

    Attributes:
        key: what it is called.
        uri: its name everywhere.
        created_ms: when it was written, milliseconds since the epoch.
        arrived_ms: when it could first be seen on any server that is followed.
        content: its text at the end.
        edited_ms: when that was written, as its server says; ``None`` for an unedited post.
        counts: its engagement at the end.
        also: other texts that are right: an edit that need not have been read yet, or one that
            was made after the end.
        least: the engagement when it was to be read last, at the latest.
        most: the engagement at the latest moment of the simulation.
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
    """What should be held.

    Attributes:
        posts: what must be held, by key.
        deleted: keys that must not be held any more.
        optional: keys that may be held and need not.
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
    """Return what a follower of these servers should hold; see ``Fediverse.truth``."""
    wanted = {normalize_hashtag(tag) for tag in tags}
    by_id = key_by == "id" or (key_by == "auto" and len(followed) == 1)
    posts: dict[str, ExpectedPost] = {}
    deleted: set[str] = set()
    optional: set[str] = set()
    for copies in _copies(followed, wanted):
        believed = _believed(copies)
        key = believed[0].id if by_id else believed[0].uri
        came = [copy.arrived_ms for copy in copies if since_ms < copy.arrived_ms <= until_ms]
        if not came:
            optional.add(key)
            continue
        first_ms = min(copy.arrived_ms for copy in copies)
        read_ms = _last_reading(max(since_ms, first_ms), min(came), until_ms, reading)
        if all(copy.is_gone(read_ms) for copy in believed):
            deleted.add(key)
        elif any(copy.is_gone(now_ms) for copy in believed):
            optional.add(key)
        else:
            posts[key] = _truth_post(key, believed, _Moments(first_ms, read_ms, until_ms, now_ms))
    return GroundTruth(posts=posts, deleted=frozenset(deleted), optional=frozenset(optional))


def _copies(followed: Sequence[World], wanted: set[str]) -> Collection[list[SimulatedPost]]:
    """Bring together what the servers hold of the same post."""
    found: dict[str, list[SimulatedPost]] = {}
    for world in followed:
        for post in world.posts:
            if wanted.intersection(map(normalize_hashtag, post.tags)):
                found.setdefault(post.uri, []).append(post)
    return found.values()


def _believed(copies: list[SimulatedPost]) -> list[SimulatedPost]:
    """Return what the post's own server holds, or all where that is not followed."""
    return [copy for copy in copies if copy.at_home] or copies


def _last_reading(
    earliest_ms: int, latest_ms: int, until_ms: int, reading: RefreshSchedule | None
) -> int:
    """Return when a post was to be read for the last time, at the earliest.

    It was seen first between ``earliest_ms`` and ``latest_ms``.
    """
    if reading is None:
        return until_ms
    due_s = [
        age_s
        for age_s in reading.after_s
        if latest_ms + (age_s + reading.slack_s) * 1000 <= until_ms
    ]
    return earliest_ms + int(max(due_s, default=0.0) * 1000)


class _Moments(NamedTuple):
    first_ms: int
    read_ms: int
    until_ms: int
    now_ms: int


def _truth_post(key: str, believed: list[SimulatedPost], moments: _Moments) -> ExpectedPost:
    first_ms, read_ms, until_ms, now_ms = moments
    first = believed[0]
    content = first.text_at(until_ms)
    shown = {
        copy.text_at(moment)
        for copy in believed
        for moment in (read_ms, copy.arrived_ms, *copy.edits)
        if max(read_ms, copy.arrived_ms) <= moment <= now_ms
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
        least=_each(min, [copy.counts_at(read_ms) for copy in believed]),
        most=_each(max, [copy.counts_at(now_ms) for copy in believed]),
    )


def _each(choose: Callable[..., int], counts: Sequence[Counts]) -> Counts:
    return Counts(
        favourites=choose(each.favourites for each in counts),
        reblogs=choose(each.reblogs for each in counts),
        replies=choose(each.replies for each in counts),
        quotes=choose(each.quotes for each in counts),
    )
