"""The functions of the core as operators of PyFlink, for a DataStream job of your own.

::

    posts = values.process(PostParser(side_outputs=(REJECTED,)))
    rejected = posts.get_side_output(REJECTED)
    scores = posts.filter(LanguageFilter(["en"])).map(EngagementMapper())
    scores.map(Encoder(), output_type=Types.STRING()).sink_to(sink)

Python objects travel between operators, pickled: no ``output_type`` is needed. Only what leaves
Python needs one: ``Types.STRING()`` behind :class:`Encoder`.

Each chosen side output has to be read, with ``get_side_output`` of the stream that ``process``
returned. If a job reads no side output of an operator, PyFlink puts their elements into the main
stream, as pairs of tag and element.
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
from mastostream.core.languages import in_languages, language_ranges
from mastostream.core.models import Deletion, Post
from mastostream.engines.flink.ddl import OnError
from mastostream.engines.outputs import as_sequence, explain
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
"""The side output of values that are no post: :class:`mastostream.Rejected`."""

DELETIONS: Final = OutputTag("deletions")
"""The side output of deletions: :class:`mastostream.Deletion`."""

FAILED: Final = OutputTag("failed")
"""The side output of posts for which a function failed: ``DeadLetter``."""


class _Counters:
    """The counters of one operator in Flink's metrics. Without metrics nothing is counted."""

    def __init__(self, context: RuntimeContext, names: Iterable[str]) -> None:
        group = context.get_metrics_group()
        self._counters = {} if group is None else {name: group.counter(name) for name in names}

    def count(self, name: str) -> None:
        counter = self._counters.get(name)
        if counter is not None:
            counter.inc()


class PostParser(ProcessFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns JSON (``bytes`` or ``str``) into posts, as :func:`mastostream.decode` reads them.

    Use it with ``process``. Values that are no post, and deletions, are counted in Flink's metrics
    ``rejected`` and ``deletions``, and go to the side outputs that were chosen.

    ``SimpleStringSchema`` replaces bytes that are no UTF-8 before they come here;
    ``ByteArraySchema`` leaves them as they are.
    """

    def __init__(self, side_outputs: Sequence[OutputTag] = ()) -> None:
        """Choose the side outputs.

        Args:
            side_outputs: :data:`REJECTED`, :data:`DELETIONS` or both; the job has to read them.

        Raises:
            ConfigurationError: there is another side output among them.
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


class EngagementMapper(MapFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns a post into its :class:`mastostream.EngagementRecord`. Use it with ``map``."""

    def __init__(self, weights: EngagementWeights = DEFAULT_WEIGHTS) -> None:
        self._weights = weights

    def map(self, value: Post) -> EngagementRecord:
        return engagement_record(value, self._weights)


class HashtagExtractor(FlatMapFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns a post into one :class:`mastostream.HashtagCount` for each hashtag, in their order.

    Use it with ``flat_map``, and ``key_by(lambda count: count.tag, key_type=Types.STRING())`` to
    add them up. A post that comes again (edited, or with new counts) gives its hashtags again; to
    count each post once, keep only posts whose ``event`` is ``new``. For one record per post, as in
    ``mastodon-hashtags``, use ``map(hashtag_record)``.
    """

    def flat_map(self, value: Post) -> Iterator[HashtagCount]:
        yield from hashtag_counts(value)


class LanguageFilter(FilterFunction):  # type: ignore[misc]  # PyFlink has no types
    """Lets posts in these languages through. Use it with ``filter``.

    ``pt`` lets ``pt-BR`` through, too, ``pt-BR`` only itself, and ``und`` posts that name none.
    """

    def __init__(self, languages: Iterable[str]) -> None:
        """Choose the languages.

        Args:
            languages: tags of BCP 47 such as ``en`` or ``pt-BR``, in any case.

        Raises:
            ConfigurationError: ``languages`` is one text, or has a text that is no such tag.
        """
        if isinstance(languages, str):
            raise ConfigurationError(f"LanguageFilter: expected [{languages!r}], a list")
        try:
            self._languages = language_ranges(languages)
        except ValueError as error:
            raise ConfigurationError(f"LanguageFilter: {error}") from error

    def filter(self, value: Post) -> bool:
        return in_languages(value, self._languages) is not None


class AnalysisFunction(ProcessFunction):  # type: ignore[misc]  # PyFlink has no types
    """Calls the function of an analysis: it turns a post into records, one, several or none.

    Use it with ``process``. Records stay what the function returned. A post that it returns is the
    model, so :class:`Encoder` writes only the members that the model has; the built-in job writes
    the original bytes.
    """

    def __init__(self, analysis: Analysis, *, on_error: OnError = "fail") -> None:
        """Choose the analysis, and what to do when its function fails.

        Args:
            analysis: an analysis that works post by post; its topic is not used here.
            on_error: ``fail``: what the function raises fails the job, and Flink's restart strategy
                decides. ``dead-letter``: the post goes to the side output :data:`FAILED`, which the
                job has to read, and is counted in Flink's metric ``failed``; none of its records
                goes on, and the job continues with the next post. Such a dead letter has no topic
                and no offset; its ``raw`` is the post as :func:`mastostream.encode` writes it.

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
            records = as_sequence(self._function(value))
        except Exception as error:
            if self._fails:
                raise
            assert self._counters is not None  # noqa: S101 - Flink opens it first
            self._counters.count(FAILED.tag_id)
            yield FAILED, self._letter(value, error)
            return
        yield from records

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


class Encoder(MapFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns any record into its JSON, as :func:`mastostream.encode` writes it, but as ``str``.

    Use it as ``map(Encoder(), output_type=Types.STRING())`` before a sink with
    ``SimpleStringSchema``. Before ``ByteArraySchema`` use
    ``map(encode, output_type=Types.PRIMITIVE_ARRAY(Types.BYTE()))`` instead.

    A record that has no JSON form raises ``TypeError``, which fails the job.
    """

    def map(self, value: object) -> str:
        return encode(value).decode()
