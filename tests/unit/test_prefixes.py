"""What may stand before names on a server."""

import re
import string
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mastostream.core.indices import INDICES
from mastostream.prefixes import LONGEST_PREFIX, check_index_prefix, check_topic_prefix
from mastostream.sinks.archive import parse_name
from mastostream.sinks.archive.naming import file_name, new_writer_name, parse_temporary
from mastostream.wiring import TOPICS

KAFKA = string.ascii_letters + string.digits + "._-"
LONGEST_TOPIC = "t" * 100
ANYTHING = st.text(max_size=LONGEST_PREFIX + 10) | st.text(KAFKA, max_size=LONGEST_PREFIX + 10)
LONGEST_FILE_NAME = 255


def is_taken(check: Callable[[str], None], prefix: str) -> bool:
    try:
        check(prefix)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("check", [check_topic_prefix, check_index_prefix])
@given(ANYTHING)
def test_a_refusal_is_one_line_that_quotes_the_prefix(
    check: Callable[[str], None], prefix: str
) -> None:
    if not is_taken(check, prefix):
        with pytest.raises(ValueError, match="_prefix ") as caught:
            check(prefix)
        assert repr(prefix) in str(caught.value)
        assert "\n" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(ANYTHING)
def test_every_topic_with_a_prefix_is_one_that_kafka_takes(prefix: str) -> None:
    """Its rule is that of ``Topic.validate``."""
    assume(is_taken(check_topic_prefix, prefix))
    for topic in (*TOPICS, LONGEST_TOPIC):
        assert re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", prefix + topic)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(ANYTHING)
def test_every_file_of_the_archive_with_a_prefix_is_known_again(prefix: str) -> None:
    assume(is_taken(check_topic_prefix, prefix))
    topic = f"{prefix}Mastodon_stream"
    found = parse_name(f"/a/{file_name(topic, 3, 0, 9, '.jsonl.zst')}", 0)
    assert found is not None
    assert (found.topic, found.partition, found.last) == (topic, 3, 9)
    temporary = new_writer_name(topic, 3, 0)
    assert len(temporary) <= LONGEST_FILE_NAME
    named = parse_temporary(temporary)
    assert named is not None
    assert named.topic == topic


@given(st.text(KAFKA, min_size=1, max_size=LONGEST_PREFIX))
def test_what_kafka_takes_is_taken_if_it_begins_with_a_letter_or_a_digit(prefix: str) -> None:
    assert is_taken(check_topic_prefix, prefix) == prefix[0].isalnum()


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(ANYTHING | st.text('abß.-_ /\\*?"<>|,#:A\t', max_size=5))
def test_every_index_with_a_prefix_is_one_that_elasticsearch_takes(prefix: str) -> None:
    """The rules are those of ``PUT /<index>``."""
    assume(is_taken(check_index_prefix, prefix))
    for index in INDICES:
        name = f"{prefix}{index.name}-000001"
        assert name == name.lower()
        assert not set(name) & set('\\/*?"<>| ,#:')
        assert not name.startswith(("-", "_", "+", "."))
        assert len(name.encode()) <= 255


@pytest.mark.parametrize("prefix", ["", "a", "team-a.", "9_", "x" * LONGEST_PREFIX])
def test_usual_prefixes_of_topics_are_taken(prefix: str) -> None:
    assert is_taken(check_topic_prefix, prefix)


@pytest.mark.parametrize("prefix", ["", "a", "team-a-", "team.a_", "é-", "x" * LONGEST_PREFIX])
def test_usual_prefixes_of_indices_are_taken(prefix: str) -> None:
    assert is_taken(check_index_prefix, prefix)


@pytest.mark.parametrize(
    ("prefix", "why"),
    [
        ("team a.", "has ' ', which no topic of Kafka may have: use letters, digits"),
        ("équipe.", "has 'é', which no topic"),
        ("a/", "has '/', which"),
        ("a\n", "has '\\n', which"),
        ("_a", "begins with '_': begin with a letter or a digit"),
        ("..", "begins with '.': begin"),
        ("x" * (LONGEST_PREFIX + 1), f"is 65 bytes long: at most {LONGEST_PREFIX} are allowed"),
    ],
)
def test_a_wrong_prefix_of_topics_is_told(prefix: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"topic_prefix {prefix!r} {why}")):
        check_topic_prefix(prefix)


@pytest.mark.parametrize(
    ("prefix", "why"),
    [
        *((f"a{each}b", f"has {each!r}, which no index of Elastic") for each in '\\/*?"<>| ,#:\n'),
        *((f"{each}a", f"begins with {each!r}, and an index") for each in "-_+."),
        ("Team-", "has a capital letter, which no index of Elasticsearch may have: 'team-' would"),
        ("a\x00", "has a character that cannot be printed"),
        ("é" * 33, "is 66 bytes long"),
    ],
)
def test_a_wrong_prefix_of_indices_is_told(prefix: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"index_prefix {prefix!r} {why}")):
        check_index_prefix(prefix)
