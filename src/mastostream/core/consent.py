"""The consent policy: which posts are left out."""

from collections.abc import Iterable
from typing import Final, Literal

import attrs

from mastostream.core.languages import in_languages, language_ranges
from mastostream.core.models import Post

__all__ = ["REASONS", "ConsentPolicy", "Reason", "reason_to_leave_out"]

Reason = Literal["visibility", "noindex", "bot", "language"]
REASONS: Final[tuple[Reason, ...]] = ("visibility", "noindex", "bot", "language")
"""Reasons to leave out a post, in the order in which they are checked."""


def _set(items: Iterable[str]) -> frozenset[str]:
    return frozenset(items)


@attrs.frozen(kw_only=True)
class ConsentPolicy:
    """Which posts are left out.

    Attributes:
        leave_out_noindex: leave out posts of accounts that opted out of search engines. Posts of
            accounts for which the server does not say so are kept: Mastodon says it only for its
            own accounts (``app/serializers/rest/account_serializer.rb`` of its source).
        leave_out_bots: leave out posts of accounts that say that they are automated.
        languages: keep only posts in these languages, tags of BCP 47: ``pt`` keeps ``pt-BR``,
            too, and ``und`` keeps posts whose language is not known. Empty for all languages.
        visibilities: keep only posts with these visibilities.

    Raises:
        ValueError: one of the languages is no tag of BCP 47.
    """

    leave_out_noindex: bool = False
    leave_out_bots: bool = False
    languages: frozenset[str] = attrs.field(default=frozenset(), converter=language_ranges)
    visibilities: frozenset[str] = attrs.field(
        default=frozenset({"public", "unlisted"}), converter=_set
    )


def reason_to_leave_out(post: Post, policy: ConsentPolicy) -> Reason | None:
    """Return the first of ``REASONS`` that applies to the post, or ``None`` to keep the post."""
    if post.visibility not in policy.visibilities:
        return "visibility"
    if policy.leave_out_noindex and post.account.noindex:
        return "noindex"
    if policy.leave_out_bots and post.account.bot:
        return "bot"
    if policy.languages and in_languages(post, policy.languages) is None:
        return "language"
    return None
