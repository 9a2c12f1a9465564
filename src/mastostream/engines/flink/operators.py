"""The functions of the core as Flink's own: to drop into a DataStream job of one's own.

::

    posts = values.process(PostParser(side_outputs=(REJECTED,)))
    rejected = posts.get_side_output(REJECTED)
    scores = posts.filter(LanguageFilter(["en"])).map(EngagementMapper())
    scores.map(Encoder(), output_type=Types.STRING()).sink_to(sink)

Python objects travel between operators, pickled: no ``output_type`` is needed. Only what leaves
Python needs one: ``Types.STRING()`` behind :class:`Encoder`.

A side output has to be taken, with ``get_side_output`` of the stream that ``process`` returned:
of an operator of which none is taken, PyFlink puts its elements among the others, as pairs of tag
and element.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mastostream.core.analyses import Analysis
from mastostream.core.codec import decode, encode
from mastostream.core.dead_letters import DeadLetter
from mastostream.core.engagement import (
    DEFAULT_WEIGHTS,
    EngagementRecord,
    EngagementWeights,
    engagement_record,
)
from mastostream.core.hashtags import HashtagCount, hashtag_counts
from mastostream.core.languages import in_languages
from mastostream.core.models import Deletion, Post
from mastostream.engines.flink.ddl import OnError
from mastostream.engines.outputs import each, explain
from mastostream.exceptions import ConfigurationError, MissingExtraError

try:
    from pyflink.datastream import OutputTag, RuntimeContext
    from pyflink.datastream.functions import (
        FilterFunction,
        FlatMapFunction,
        MapFunction,
        ProcessFunction,
    )
except ModuleNotFoundError as error:
    raise MissingExtraError("Flink", "flink") from error

__all__ = [
    "DELETIONS",
    "FAILED",
    "REJECTED",
    "AnalysisFunction",
    "Encoder",
    "EngagementMapper",
    "HashtagExtractor",
    "LanguageFilter",
    "PostParser",
]

REJECTED: Final = OutputTag("rejected")
"""The side output of what is no post: :class:`mastostream.Rejected`."""

DELETIONS: Final = OutputTag("deletions")
"""The side output of posts that are gone: :class:`mastostream.Deletion`."""

FAILED: Final = OutputTag("failed")
"""The side output of posts for which a function failed: ``DeadLetter``."""


class _Counters:
    """Of one operator, among Flink's metrics, where these are on."""

    def __init__(self, context: RuntimeContext, names: Iterable[str]) -> None:
        group = context.get_metrics_group()
        self._counters = {} if group is None else {name: group.counter(name) for name in names}

    def count(self, name: str) -> None:
        counter = self._counters.get(name)
        if counter is not None:
            counter.inc()


class PostParser(ProcessFunction):  # type: ignore[misc]  # PyFlink has no types
    """From JSON (``bytes`` or ``str``) to posts, as :func:`mastostream.decode` reads them.

    Use it with ``process``. What is no post, and posts that are gone, are counted as Flink's
    metrics ``rejected`` and ``deletions``, and go to the side outputs that are asked for.

    Behind ``SimpleStringSchema`` bytes that are no UTF-8 have been replaced before they come here;
    ``ByteArraySchema`` leaves them as they are.
    """

    def __init__(self, side_outputs: Sequence[OutputTag] = ()) -> None:
        """Choose what to see of the rest.

        Args:
            side_outputs: :data:`REJECTED`, :data:`DELETIONS` or both; each has to be taken.

        Raises:
            ConfigurationError: another one.
        """
        names = {tag.tag_id for tag in side_outputs}
        if not names <= {REJECTED.tag_id, DELETIONS.tag_id}:
            raise ConfigurationError(
                f"PostParser: expected the side outputs REJECTED and DELETIONS, got {sorted(names)}"
            )
        self._chosen = frozenset(names)
        self._counters: _Counters | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        self._counters = _Counters(runtime_context, (REJECTED.tag_id, DELETIONS.tag_id))

    def process_element(self, value: bytes | str, ctx: ProcessFunction.Context) -> Iterator[Any]:  # noqa: ARG002 - Flink's
        item = decode(value)
        if type(item) is Post:
            yield item
            return
        assert self._counters is not None  # noqa: S101 - Flink opens it first
        tag = DELETIONS if type(item) is Deletion else REJECTED
        self._counters.count(tag.tag_id)
        if tag.tag_id in self._chosen:
            yield tag, item


class EngagementMapper(MapFunction):  # type: ignore[misc]  # as above
    """From each post to its :class:`mastostream.EngagementRecord`. Use it with ``map``."""

    def __init__(self, weights: EngagementWeights = DEFAULT_WEIGHTS) -> None:
        self._weights = weights

    def map(self, value: Post) -> EngagementRecord:
        return engagement_record(value, self._weights)


class HashtagExtractor(FlatMapFunction):  # type: ignore[misc]  # as above
    """From each post to its hashtags, one :class:`mastostream.HashtagCount` a tag, in their order.

    Use it with ``flat_map``, and ``key_by(lambda each: each.tag, key_type=Types.STRING())`` to add
    them up. A post that comes again (edited, or with new counts) gives its hashtags again; to count
    each post once, let only those through whose ``event`` is ``new``. One record a post, as in
    ``mastodon-hashtags``, gives ``map(hashtag_record)``.
    """

    def flat_map(self, value: Post) -> Iterator[HashtagCount]:
        yield from hashtag_counts(value)


class LanguageFilter(FilterFunction):  # type: ignore[misc]  # as above
    """Lets posts in these languages through. Use it with ``filter``.

    The primary language counts: ``pt`` lets ``pt-BR`` through, ``und`` posts that name none.
    """

    def __init__(self, languages: Iterable[str]) -> None:
        """Choose them.

        Raises:
            ConfigurationError: a text instead of several.
        """
        if isinstance(languages, str):
            raise ConfigurationError(f"LanguageFilter: expected [{languages!r}], a list")
        self._languages = frozenset(language.strip().lower() for language in languages)

    def filter(self, value: Post) -> bool:
        return in_languages(value, self._languages) is not None


class AnalysisFunction(ProcessFunction):  # type: ignore[misc]  # as above
    """Hosts the function of any analysis: from each post to its records, one, several or none.

    Use it with ``process``. Records stay what the function returned. A post that it passes on is
    the model: :class:`Encoder` writes the members that the model has, where the built-in job keeps
    the bytes that came.
    """

    def __init__(self, analysis: Analysis, *, on_error: OnError = "fail") -> None:
        """Begin.

        Args:
            analysis: one that works post by post; its topic does not count here.
            on_error: ``fail``: what the function raises fails the job, and Flink's restart strategy
                decides. ``dead-letter``: that post goes to the side output :data:`FAILED`, which
                has to be taken, and is counted as Flink's metric ``failed``; none of its records
                goes on, and the other posts do. Such a letter knows no topic and no offset; its
                ``raw`` is the post as :func:`mastostream.encode` writes it.

        Raises:
            ConfigurationError: the analysis works window by window.
        """
        if analysis.function is None:
            raise ConfigurationError(
                f"{analysis.name} works window by window: expected an analysis with a function"
            )
        self._function = analysis.function
        self._name = analysis.name
        self._fails = on_error == "fail"
        self._counters: _Counters | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        self._counters = _Counters(runtime_context, (FAILED.tag_id,))

    def process_element(self, value: Post, ctx: ProcessFunction.Context) -> Iterator[Any]:  # noqa: ARG002 - Flink's
        try:
            found = each(self._function(value))
        except Exception as error:
            if self._fails:
                raise
            assert self._counters is not None  # noqa: S101 - Flink opens it first
            self._counters.count(FAILED.tag_id)
            yield FAILED, self._letter(value, error)
            return
        yield from found

    def _letter(self, post: Post, error: Exception) -> DeadLetter:
        return DeadLetter(
            topic="",
            partition=-1,
            offset=-1,
            key=post.key,
            stage=f"analyze:{self._name}",
            reasons=(explain(error),),
            time=datetime.now(UTC),
            raw=encode(post),
        )


class Encoder(MapFunction):  # type: ignore[misc]  # as above
    """From any record to its JSON, as :func:`mastostream.encode` writes it, but as ``str``.

    Use it as ``map(Encoder(), output_type=Types.STRING())`` before a sink with
    ``SimpleStringSchema``. Before ``ByteArraySchema`` goes
    ``map(encode, output_type=Types.PRIMITIVE_ARRAY(Types.BYTE()))``.

    What has no JSON form raises ``TypeError``, which fails the job.
    """

    def map(self, value: object) -> str:
        return encode(value).decode()
