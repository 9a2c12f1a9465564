"""Analyses: what they are, and those that come with the package.

An analysis is a value: the same object runs in every engine. To write one of your own::

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

from mastostream.core.accounts import account_name
from mastostream.core.engagement import (
    DEFAULT_WEIGHTS,
    EngagementWeights,
    engagement_record,
    engagement_score,
)
from mastostream.core.hashtags import hashtag_record
from mastostream.core.languages import in_languages, language_ranges, primary_language
from mastostream.core.models import Post
from mastostream.core.trends import SIZE_S, SLIDE_S, hashtag_uses_at, trending_hashtags
from mastostream.core.window_records import (
    Window,
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
    "TRENDS",
    "Aggregate",
    "Analysis",
    "built_in",
    "dashboard_analysis",
    "engagement_analysis",
    "keep_nothing",
    "language_analysis",
    "window_engagement_analysis",
]


def keep_nothing(post: Post) -> None:
    """Return ``None``, for windows that need only the number of their posts."""


@attrs.frozen(kw_only=True)
class Aggregate:
    """How a windowed analysis summarises the posts that were written in one window.

    Attributes:
        result: ``(window, values) -> record``; it may also return an iterable of records, or
            ``None``. ``values`` are those of the window's posts, in the order of the posts' keys:
            each post once, with its newest version; deleted ones are gone, so that there may be
            none. It is called again when posts of the window have changed, and what it returns
            replaces what it returned before, if that had the same key. It has to depend on its
            arguments alone, and its records should have ``window.observed_at`` as ``observed_at``.
        value: ``Post -> value``: what the window keeps of a post. The value must have a JSON form,
            in which ``result`` gets it: a tuple is a list then.
        size_s: length of a window in seconds, at least 1.
        slide_s: seconds between the starts of two windows, a whole part of ``size_s``. Windows
            overlap if it is smaller than ``size_s``, which is the default.

    Raises:
        ValueError: ``size_s`` or ``slide_s`` is out of these bounds.
    """

    result: Callable[[Window, Sequence[Any]], object]
    value: Callable[[Post], Any] = keep_nothing
    size_s: int = attrs.field(default=60, validator=attrs.validators.ge(1))
    slide_s: int = attrs.field(
        default=attrs.Factory(lambda self: self.size_s, takes_self=True),
        validator=attrs.validators.ge(1),
    )

    def __attrs_post_init__(self) -> None:
        if self.size_s % self.slide_s:
            raise ValueError(
                f"slide_s: expected a whole part of the {self.size_s} s of a window, "
                f"got {self.slide_s}"
            )


_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _safe_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"expected a name of letters, digits, '.', '_' and '-', at most 100, got {value!r}"
        )
    return value


@attrs.frozen(kw_only=True)
class Analysis:
    """What to compute from posts: either ``function`` for each post, or ``aggregate`` for windows.

    A function returns one record (an attrs model, a dict, a dataclass: anything with a JSON form),
    an iterable of records, or ``None`` for no record. It may be called again with a newer version
    of the same post. If it returns a post, that post is written as the server sent it. If it
    raises, the post becomes a dead letter and the other posts are processed.

    To run on a cluster, the functions must be importable: top-level functions are, lambdas are not.

    Attributes:
        name: unique among the analyses that run on one log: at most 100 letters, digits, ``.``,
            ``_`` and ``-``.
        topic: the topic that the records are written to; ``None`` for results that are only shown.
        function: ``Post -> record | iterable of records | None``, called for each post.
        aggregate: the functions and the length of the windows, for a windowed analysis.
        version: at least 1. Raise it when a function has changed: the analysis then reads the log
            from its oldest record again, and its results replace those with the same keys.

    Raises:
        ValueError: neither or both of ``function`` and ``aggregate`` are given, or ``name`` or
            ``topic`` is not a valid name.
    """

    name: str = attrs.field(converter=_safe_name)
    topic: str | None = attrs.field(default=None, converter=attrs.converters.optional(_safe_name))
    function: Callable[[Post], object] | None = None
    aggregate: Aggregate | None = None
    version: int = attrs.field(default=1, validator=attrs.validators.ge(1))

    @property
    def state_name(self) -> str:
        """The name under which an engine keeps how far the analysis is, and its windows.

        An analysis whose windows have another length begins anew, as one of another version does.
        """
        parts = [self.name]
        if self.aggregate is not None:
            parts.append(f"{self.aggregate.size_s}s")
            if self.aggregate.slide_s != self.aggregate.size_s:
                parts.append(f"{self.aggregate.slide_s}s")
        if self.version > 1:
            parts.append(f"v{self.version}")
        return ":".join(parts)

    def __attrs_post_init__(self) -> None:
        if (self.function is None) == (self.aggregate is None):
            raise ValueError(f"analysis {self.name}: expected either function or aggregate")


def engagement_analysis(weights: EngagementWeights = DEFAULT_WEIGHTS) -> Analysis:
    """Return the analysis that scores each post, for the topic ``mastodon-engagement``."""
    function: Callable[[Post], object] = engagement_record
    if weights != DEFAULT_WEIGHTS:
        function = partial(engagement_record, weights=weights)
    return Analysis(name="engagement", topic="mastodon-engagement", function=function)


def language_analysis(languages: Sequence[str]) -> Analysis:
    """Return the analysis that passes on posts in these languages, as the server sent them.

    Its topic is ``mastodon-filtered``. ``pt`` passes on ``pt-BR`` too, ``pt-BR`` only itself.

    Raises:
        ValueError: one of the languages is no tag of BCP 47.
    """
    function = partial(in_languages, languages=language_ranges(languages))
    return Analysis(name="language", topic="mastodon-filtered", function=function)


def window_engagement_analysis(weights: EngagementWeights = DEFAULT_WEIGHTS) -> Analysis:
    """Return the analysis of average and maximum engagement in each minute; only shown."""
    aggregate = Aggregate(
        value=partial(engagement_score, weights=weights), result=engagement_of_window
    )
    return Analysis(name="window-engagement", aggregate=aggregate)


def dashboard_analysis(weights: EngagementWeights = DEFAULT_WEIGHTS) -> Analysis:
    """Return the analysis that summarises each minute, for the topic ``mastodon-dashboard``."""
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
TRENDS: Final = Analysis(
    name="trends",
    topic="mastodon-trends",
    aggregate=Aggregate(
        value=hashtag_uses_at, result=trending_hashtags, size_s=SIZE_S, slide_s=SLIDE_S
    ),
)

STREAM_ANALYSES: Final = ("engagement", "hashtags", "language", "full")
"""Names of analyses for ``--mode stream``; ``full`` is engagement and hashtags."""

SQL_ANALYSES: Final = ("engagement", "language", "users", "count", "dashboard", "trends")
"""Names of analyses for ``--mode sql``."""


def built_in(
    mode: str,
    name: str,
    *,
    weights: EngagementWeights = DEFAULT_WEIGHTS,
    languages: Sequence[str] = ("en",),
) -> tuple[Analysis, ...]:
    """Return the analyses that come with the package under this name.

    Args:
        mode: ``stream`` for analyses of single posts, ``sql`` for windowed ones.
        name: one of :data:`STREAM_ANALYSES` or of :data:`SQL_ANALYSES`.
        weights: weights of the engagement score.
        languages: the languages that ``language`` passes on in mode ``stream``.

    Raises:
        KeyError: the mode has no analysis of this name.
        ValueError: one of the languages is no tag of BCP 47.
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
        "trends": (TRENDS,),
    }
    return {"stream": stream, "sql": sql}[mode][name]
