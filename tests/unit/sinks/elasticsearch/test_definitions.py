"""What indices are called."""

import fnmatch
from itertools import permutations

import pytest

from mastostream.config import ElasticsearchSettings
from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS
from mastostream.sinks.elasticsearch.definitions import (
    TOMBSTONES,
    definitions,
    first_index,
    mapping,
    template,
)

SETTINGS = ElasticsearchSettings()


def test_without_a_prefix_they_are_called_as_ever() -> None:
    assert [definition.name for definition in definitions()] == [ENGAGEMENT, HASHTAGS, TOMBSTONES]
    assert definitions("") == definitions()


@pytest.mark.parametrize("prefix", ["a-", "team.a_"])
def test_with_one_they_are_the_same_but_for_their_names(prefix: str) -> None:
    for plain, named in zip(definitions(), definitions(prefix), strict=True):
        assert named.name == prefix + plain.name
        assert first_index(named) == prefix + first_index(plain)
        assert mapping(named) == mapping(plain)
        plain_patterns = template(plain, SETTINGS)["index_patterns"]
        patterns = [prefix + pattern for pattern in plain_patterns]
        assert template(named, SETTINGS) == template(plain, SETTINGS) | {"index_patterns": patterns}


@pytest.mark.parametrize(("one", "other"), [*permutations(["", "a-", "b-", "a-b-"], 2)])
def test_no_template_fits_the_index_of_another_pipeline(one: str, other: str) -> None:
    for mine in definitions(one):
        for pattern in template(mine, SETTINGS)["index_patterns"]:
            for theirs in definitions(other):
                assert not fnmatch.fnmatchcase(first_index(theirs), pattern)
                assert not fnmatch.fnmatchcase(theirs.name, pattern)
