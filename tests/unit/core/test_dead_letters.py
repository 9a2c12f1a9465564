"""Dead letters on the wire."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.core.dead_letters import (
    MAX_REASONS,
    DeadLetter,
    dead_letter_headers,
    dead_letter_of,
    reason_kind,
)

LINES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1)


@given(
    st.lists(LINES, max_size=MAX_REASONS).map(tuple),
    st.none() | LINES,
    st.binary(),
    st.integers(0, 2**62),
)
def test_a_letter_comes_back_whole(
    reasons: tuple[str, ...], key: str | None, raw: bytes, offset: int
) -> None:
    letter = DeadLetter(
        topic="t",
        partition=3,
        offset=offset,
        key=key,
        stage="analyze",
        reasons=reasons,
        time=datetime(2024, 1, 1, tzinfo=UTC),
        raw=raw,
    )
    headers = dead_letter_headers(letter)
    assert len({name for name, _ in headers}) == len(headers)  # as Flink and others want them
    assert dead_letter_of(raw, headers) == letter


def test_reasons_of_several_headers_and_of_several_lines_are_read() -> None:
    headers = [("reason", b"one\ntwo"), ("reason", b"three")]
    assert dead_letter_of(b"", headers).reasons == ("one", "two", "three")


@pytest.mark.parametrize(
    ("reasons", "kind"),
    [
        ((), ""),
        (("$.id: missing", "$.account: missing"), "$.id: missing"),
        (("bad at character 17 of 20",), "bad at character N of N"),
        (("got 'a 1' and \"b\"",), "got '...' and '...'"),
    ],
)
def test_reasons_of_one_kind_differ_in_numbers_and_quoted_text(
    reasons: tuple[str, ...], kind: str
) -> None:
    assert reason_kind(letter_of(reasons)) == kind


@given(st.lists(st.text(), max_size=2).map(tuple))
def test_the_kind_of_a_kind_is_the_same(reasons: tuple[str, ...]) -> None:
    kind = reason_kind(letter_of(reasons))
    assert reason_kind(letter_of((kind,))) == kind


def letter_of(reasons: tuple[str, ...]) -> DeadLetter:
    return DeadLetter(
        topic="t",
        partition=0,
        offset=0,
        key=None,
        stage="index",
        reasons=reasons,
        time=datetime(2024, 1, 1, tzinfo=UTC),
        raw=b"",
    )
