"""What an analysis is, and those that come with the package.

An analysis is a value: the same object runs in every engine. One of your own::

    from mastostream import Analysis, Post

    def long_post(post: Post) -> dict[str, object] | None:
        length = len(post.content)
        return {"key": post.key, "length": length} if length > 1000 else None

    LONG_POSTS = Analysis(name="long-posts", topic="long-posts", function=long_post)

and ``mastostream analyze --analysis my_module:LONG_POSTS`` runs it.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import attrs

from mastostream.core.engagement import (
    DEFAULT_WEIGHTS,
    EngagementWeights,
    engagement_record,
    engagement_score,
)
from mastostream.core.hashtags import hashtag_record
from mastostream.core.languages import in_languages, primary_language
from mastostream.core.models import Post
from mastostream.core.window_records import (
    Window,
    account_name,
    count_posts,
    dashboard_facts,
    dashboard_metrics,
    engagement_of_window,
    languages_of_window,
    users_of_window,
)

__all__ = [
    "COUNT",
    "HASHTAGS",
    "SQL_ANALYSES",
    "STREAM_ANALYSES",
    "Aggregate",
    "Analysis",
    "built_in",
    "dashboard_analysis",
    "engagement_analysis",
    "language_analysis",
    "nothing_of",
    "window_engagement_analysis",
]


def nothing_of(post: Post) -> None:
    """Keep nothing of a post but that it was there."""


@attrs.frozen(kw_only=True)
class Aggregate:
    """How a windowed analysis sums up the posts that were written in one window.

    Attributes:
        result: ``(window, values) -> record``, several records, or ``None``; called once when the
            window closes, with what ``value`` kept of each post, in the order of arrival.
        value: what to keep of a post: JSON (a tuple comes back as a list after a restart).
        size_s: the length of a window, seconds.
    """

    result: Callable[[Window, Sequence[Any]], object]
    value: Callable[[Post], Any] = nothing_of
    size_s: int = attrs.field(default=60, validator=attrs.validators.ge(1))


_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _safe_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"expected a name of letters, digits, '.', '_' and '-', at most 100, got {value!r}"
        )
    return value


@attrs.frozen(kw_only=True)
class Analysis:
    """What to compute from posts.

    Either ``function``, once a post, or ``aggregate``, once a window. Top-level functions travel
    to a cluster; lambdas do not.

    A function returns a record (an attrs model, a dict, a dataclass: anything with a JSON form),
    several, or ``None`` for none; it may see a post again, newer. A post that it returns passes
    on as the server sent it. What it raises makes that post a dead letter; the others go on.

    Attributes:
        name: unique among the analyses that run on one log: letters, digits, ``.``, ``_``, ``-``.
        topic: where the records go; ``None`` for results that are only shown.
        function: ``Post -> record | iterable of records | None``.
        aggregate: the windowed kind.

    Raises:
        ValueError: neither or both of ``function`` and ``aggregate``, or a name that no topic or
            file could have.
    """

    name: str = attrs.field(converter=_safe_name)
    topic: str | None = attrs.field(default=None, converter=attrs.converters.optional(_safe_name))
    function: Callable[[Post], object] | None = None
    aggregate: Aggregate | None = None

    def __attrs_post_init__(self) -> None:
        if (self.function is None) == (self.aggregate is None):
            raise ValueError(f"analysis {self.name}: expected either function or aggregate")


def engagement_analysis(weights: EngagementWeights = DEFAULT_WEIGHTS) -> Analysis:
    """Score each post: ``mastodon-engagement``."""
    function: Callable[[Post], object] = engagement_record
    if weights != DEFAULT_WEIGHTS:
        function = partial(engagement_record, weights=weights)
    return Analysis(name="engagement", topic="mastodon-engagement", function=function)


def language_analysis(languages: Sequence[str]) -> Analysis:
    """Pass on the posts in these languages, as the server sent them: ``mastodon-filtered``."""
    wanted = frozenset(language.strip().lower() for language in languages)
    function = partial(in_languages, languages=wanted)
    return Analysis(name="language", topic="mastodon-filtered", function=function)


def window_engagement_analysis(weights: EngagementWeights = DEFAULT_WEIGHTS) -> Analysis:
    """Average and maximum engagement a minute: shown only."""
    aggregate = Aggregate(
        value=partial(engagement_score, weights=weights), result=engagement_of_window
    )
    return Analysis(name="window-engagement", aggregate=aggregate)


def dashboard_analysis(weights: EngagementWeights = DEFAULT_WEIGHTS) -> Analysis:
    """A minute at a glance: ``mastodon-dashboard``."""
    aggregate = Aggregate(value=partial(dashboard_facts, weights=weights), result=dashboard_metrics)
    return Analysis(name="dashboard", topic="mastodon-dashboard", aggregate=aggregate)


HASHTAGS: Final = Analysis(name="hashtags", topic="mastodon-hashtags", function=hashtag_record)
COUNT: Final = Analysis(
    name="count", topic="mastodon-counts", aggregate=Aggregate(result=count_posts, size_s=10)
)
WINDOW_LANGUAGES: Final = Analysis(
    name="window-language",
    aggregate=Aggregate(value=primary_language, result=languages_of_window),
)
WINDOW_USERS: Final = Analysis(
    name="window-users", aggregate=Aggregate(value=account_name, result=users_of_window)
)

STREAM_ANALYSES: Final = ("engagement", "hashtags", "language", "full")
"""What ``--mode stream`` offers by name; ``full`` is engagement and hashtags."""

SQL_ANALYSES: Final = ("engagement", "language", "users", "count", "dashboard")
"""What ``--mode sql`` offers by name."""


def built_in(
    mode: str,
    name: str,
    *,
    weights: EngagementWeights = DEFAULT_WEIGHTS,
    languages: Sequence[str] = ("en",),
) -> tuple[Analysis, ...]:
    """Return the analyses that a mode (``stream`` or ``sql``) runs under this name.

    Raises:
        KeyError: the mode offers no such name.
    """
    stream: dict[str, tuple[Analysis, ...]] = {
        "engagement": (engagement_analysis(weights),),
        "hashtags": (HASHTAGS,),
        "language": (language_analysis(languages),),
        "full": (engagement_analysis(weights), HASHTAGS),
    }
    sql: dict[str, tuple[Analysis, ...]] = {
        "engagement": (window_engagement_analysis(weights),),
        "language": (WINDOW_LANGUAGES,),
        "users": (WINDOW_USERS,),
        "count": (COUNT,),
        "dashboard": (dashboard_analysis(weights),),
    }
    return {"stream": stream, "sql": sql}[mode][name]
