"""Compares the posts that a tool holds with the ground truth. It works for any tool."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import attrs

from mastostream.testing.simulator.ground_truth import ExpectedPost, GroundTruth
from mastostream.testing.simulator.posts import Counts

__all__ = ["CheckResult", "HeldPost", "compare"]

_SHOWN_KEYS: Final = 5
"""How many keys of each kind of difference are printed."""

_KINDS: Final = ("lost", "extra", "repeated", "wrong_text", "wrong_counts", "undeleted")


@attrs.frozen(kw_only=True)
class HeldPost:
    """A post as a tool holds it at the end.

    Attributes:
        key: the tool's key of the post: its id or its uri.
        content: HTML of the text.
        favourites_count: favourites.
        reblogs_count: boosts.
        replies_count: replies.
        quotes_count: quotes; ``None`` where the server does not send them.
    """

    key: str
    content: str
    favourites_count: int
    reblogs_count: int
    replies_count: int
    quotes_count: int | None = None


@attrs.frozen(kw_only=True)
class CheckResult:
    """The differences between the held posts and the ground truth.

    All attributes after ``held`` are keys of posts. ``str`` returns a table.

    Attributes:
        expected: number of posts that must be held.
        held: number of posts that are held.
        lost: posts that must be held and are not.
        extra: posts that are held and never existed, never had these hashtags, or were deleted
            before the tool could see them.
        repeated: posts that are held, or were logged as new, more than once.
        wrong_text: posts that are held with an outdated text.
        wrong_counts: posts that are held with engagement counts which they had at no time since
            their last due reading.
        undeleted: posts that are held although their own server has deleted them.
    """

    expected: int
    held: int
    lost: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    wrong_text: tuple[str, ...] = ()
    wrong_counts: tuple[str, ...] = ()
    undeleted: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no difference."""
        return not any(getattr(self, kind) for kind in _KINDS)

    def __str__(self) -> str:
        rows = [("expected", str(self.expected)), ("held", str(self.held))]
        for kind in _KINDS:
            keys = getattr(self, kind)
            some = ", ".join(keys[:_SHOWN_KEYS]) + (", ..." if len(keys) > _SHOWN_KEYS else "")
            rows.append((kind.replace("_", " "), f"{len(keys):<6} {some}".rstrip()))
        return "\n".join(f"{name:<13} {value}" for name, value in rows)


def compare(
    truth: GroundTruth, held: Iterable[HeldPost], new_keys: Iterable[str] = ()
) -> CheckResult:
    """Compare the posts that a tool holds with the ground truth.

    Args:
        truth: the posts that should be held; see ``Fediverse.truth``.
        held: the posts that the tool holds at the end.
        new_keys: keys of the posts that the tool logged as ``new``, to find repeated ones.
    """
    posts = {}
    times: Counter[str] = Counter()
    for post in held:
        posts[post.key] = post
        times[post.key] += 1
    known = truth.posts.keys() | truth.deleted | truth.optional
    both = [(truth.posts[key], post) for key, post in posts.items() if key in truth.posts]
    repeated = [
        key for counter in (times, Counter(iter(new_keys))) for key, n in counter.items() if n > 1
    ]
    return CheckResult(
        expected=len(truth.posts),
        held=sum(times.values()),
        lost=tuple(key for key in truth.posts if key not in posts),
        extra=tuple(key for key in posts if key not in known),
        repeated=tuple(dict.fromkeys(repeated)),
        wrong_text=tuple(right.key for right, post in both if not _text_is_right(right, post)),
        wrong_counts=tuple(right.key for right, post in both if not _counts_are_right(right, post)),
        undeleted=tuple(key for key in posts if key in truth.deleted),
    )


def _text_is_right(right: ExpectedPost, post: HeldPost) -> bool:
    return post.content == right.content or post.content in right.also


def _counts_are_right(right: ExpectedPost, post: HeldPost) -> bool:
    held = Counts(
        favourites=post.favourites_count,
        reblogs=post.reblogs_count,
        replies=post.replies_count,
        quotes=right.least.quotes if post.quotes_count is None else post.quotes_count,
    )
    bounds = (attrs.astuple(right.least), attrs.astuple(held), attrs.astuple(right.most))
    return all(least <= count <= most for least, count, most in zip(*bounds, strict=True))
