"""Whose posts are left out."""

from collections.abc import Iterable
from typing import Final, Literal

import attrs

from mastostream.core.languages import primary_language
from mastostream.core.models import Post

__all__ = ["REASONS", "ConsentPolicy", "Reason", "reason_to_leave_out"]

Reason = Literal["visibility", "noindex", "bot", "language"]
REASONS: Final[tuple[Reason, ...]] = ("visibility", "noindex", "bot", "language")
"""Why a post can be left out, in the order in which it is looked at."""


def _primary_subtags(languages: Iterable[str]) -> frozenset[str]:
    subtags = (item.replace("_", "-").partition("-")[0].strip().lower() for item in languages)
    return frozenset(filter(None, subtags))


def _set(items: Iterable[str]) -> frozenset[str]:
    return frozenset(items)


@attrs.frozen(kw_only=True)
class ConsentPolicy:
    """Whose posts are left out.

    Attributes:
        leave_out_noindex: accounts that opted out of search engines. One of which the server that
            showed the post says nothing is kept: Mastodon says it of its own accounts only
            (``app/serializers/rest/account_serializer.rb`` of its source).
        leave_out_bots: accounts that say that they are automated.
        languages: only posts in these primary subtags (``pt-BR`` is read as ``pt``); empty for
            all. ``und`` stands for a post whose language is not known.
        visibilities: only posts of these.
    """

    leave_out_noindex: bool = False
    leave_out_bots: bool = False
    languages: frozenset[str] = attrs.field(default=frozenset(), converter=_primary_subtags)
    visibilities: frozenset[str] = attrs.field(
        default=frozenset({"public", "unlisted"}), converter=_set
    )


def reason_to_leave_out(post: Post, policy: ConsentPolicy) -> Reason | None:
    """Return why the post is left out, the first of ``REASONS`` that holds, or ``None``."""
    if post.visibility not in policy.visibilities:
        return "visibility"
    if policy.leave_out_noindex and post.account.noindex:
        return "noindex"
    if policy.leave_out_bots and post.account.bot:
        return "bot"
    if policy.languages and primary_language(post) not in policy.languages:
        return "language"
    return None
