"""The operators for a DataStream job in Flink's mini cluster, compared with the core's functions.

``test_flink_operators.py`` runs these tests in a process of their own, as PyFlink starts Java in
it, and raises warnings of its own.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from pyflink.common import Configuration, Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment

from mastostream import (
    Account,
    Analysis,
    ConfigurationError,
    Deletion,
    EngagementWeights,
    Post,
    Rejected,
    Stamp,
    decode,
    encode,
    engagement_record,
    hashtag_counts,
)
from mastostream.core.analyses import COUNT
from mastostream.core.dead_letters import DeadLetter
from mastostream.core.languages import in_languages
from mastostream.engines.flink.operators import (
    DELETIONS,
    FAILED,
    REJECTED,
    AnalysisFunction,
    Encoder,
    EngagementMapper,
    HashtagExtractor,
    LanguageFilter,
    PostParser,
)
from mastostream.testing.simulator import generate_statuses

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GONE = Deletion(id="d", mastostream=Stamp(key="d", event="delete", observed_at=NOW))
VALUES = [
    *generate_statuses(300),
    encode(GONE),
    encode(Post(id="p", created_at=NOW, account=Account(acct="a"), favourites_count=7)),
    b"",
    b"not json",
    b"\xff\x00",
]
ITEMS = [decode(value) for value in VALUES]
POSTS = [item for item in ITEMS if isinstance(item, Post)]


def twice(post: Post) -> Iterator[dict[str, object]]:
    yield {"key": post.key, "language": post.language}
    if post.favourites_count % 7 == 0:
        raise ValueError("a mistake of the user's")
    yield {"key": f"{post.key}-2"}


TWICE = Analysis(name="twice", function=twice)


@pytest.fixture
def env() -> StreamExecutionEnvironment:
    environment = StreamExecutionEnvironment.get_execution_environment()
    environment.set_python_executable(sys.executable)
    environment.set_parallelism(1)
    return environment


def stream(env: StreamExecutionEnvironment, values: Sequence[bytes] = VALUES) -> DataStream:
    return env.from_collection(list(values))


def collected(results: DataStream) -> list[Any]:
    with closing(results.execute_and_collect()) as items:
        return list(items)


def test_posts_come_out_and_the_rest_goes_aside(env: StreamExecutionEnvironment) -> None:
    posts = stream(env).process(PostParser(side_outputs=(REJECTED, DELETIONS)))
    aside = posts.get_side_output(REJECTED).union(posts.get_side_output(DELETIONS))
    items = collected(posts.union(aside))
    assert Counter(map(repr, items)) == Counter(map(repr, ITEMS))
    assert {type(item) for item in items} == {Post, Deletion, Rejected}


def test_without_side_outputs_there_are_posts_alone(env: StreamExecutionEnvironment) -> None:
    texts = env.from_collection(["", VALUES[0].decode(), encode(GONE).decode()], Types.STRING())
    assert collected(texts.process(PostParser())) == POSTS[:1]


def test_each_operator_gives_what_its_function_gives(env: StreamExecutionEnvironment) -> None:
    weights = EngagementWeights(replies=5)
    posts = stream(env).process(PostParser()).filter(LanguageFilter(["EN", "de"]))
    results = posts.map(EngagementMapper(weights)).union(posts.flat_map(HashtagExtractor()))
    texts = collected(results.map(Encoder(), output_type=Types.STRING()))
    wanted = []
    for post in POSTS:
        if in_languages(post, {"en", "de"}):
            wanted += [engagement_record(post, weights), *hashtag_counts(post)]
    assert Counter(texts) == Counter(encode(record).decode() for record in wanted)


def test_a_post_for_which_a_function_fails_goes_aside_whole(
    env: StreamExecutionEnvironment,
) -> None:
    posts = stream(env).process(PostParser())
    records = posts.process(AnalysisFunction(TWICE, on_error="dead-letter"))
    items = collected(records.union(records.get_side_output(FAILED)))
    letters = [item for item in items if isinstance(item, DeadLetter)]
    failing = [post for post in POSTS if post.favourites_count % 7 == 0]
    assert Counter(map(repr, map(decode, (letter.raw for letter in letters)))) == Counter(
        map(repr, failing)
    )
    assert {(letter.stage, letter.reasons) for letter in letters} == {
        ("analyze:twice", ("ValueError: a mistake of the user's",))
    }
    assert len(items) - len(letters) == 2 * (len(POSTS) - len(failing))


def test_a_function_that_fails_fails_the_job(env: StreamExecutionEnvironment) -> None:
    chosen = Configuration()
    chosen.set_string("restart-strategy.type", "none")
    env.configure(chosen)
    records = stream(env).process(PostParser()).process(AnalysisFunction(TWICE))
    with pytest.raises(Exception, match="a mistake of the user's"):
        collected(records)


def test_a_mistake_is_told_before_the_job_starts() -> None:
    with pytest.raises(ConfigurationError, match="window by window"):
        AnalysisFunction(COUNT)
    with pytest.raises(ConfigurationError, match=r"expected \['en'\]"):
        LanguageFilter("en")
    with pytest.raises(ConfigurationError, match="'English' is no language"):
        LanguageFilter(["en", "English"])
    with pytest.raises(ConfigurationError, match="REJECTED and DELETIONS"):
        PostParser(side_outputs=(FAILED,))
