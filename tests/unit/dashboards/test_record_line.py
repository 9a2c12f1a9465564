"""What one record of the log is, in words."""

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import encode
from mastostream.core.dead_letters import DeadLetter, dead_letter_headers
from mastostream.dashboards.record_line import record_line
from mastostream.ports.log import Record
from mastostream.testing.strategies import deletions, posts

LETTER = DeadLetter(
    topic="Mastodon_stream",
    partition=0,
    offset=7,
    key=None,
    stage="analyze:full",
    reasons=("$.id: missing", "$.account: missing"),
    time=datetime(2026, 1, 1, tzinfo=UTC),
    raw=b"{}",
)
POST = (
    b'{"id":"1","created_at":"2026-01-01T00:00:00Z","account":{"acct":"ana@a.example"},'
    b'"content":"<p>Hi <b>all</b></p><script>x()</script>","favourites_count":3}'
)
DELETION = (
    b'{"id":"1","mastostream":{"key":"1","event":"delete","instance":"a.example",'
    b'"observed_at":"2026-01-01T00:00:00Z"}}'
)


def line(value: bytes, key: str | None = None, *headers: tuple[str, bytes]) -> str:
    return record_line(Record("t", 2, 30, 1_767_225_600_000, key, value, headers))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (POST, "new post by ana@a.example: Hi all (0 replies, 0 boosts, 3 favourites)"),
        (DELETION, "deletion"),
        (b'{"key":"k","posts":5,"tags":["a"],"language":"en"}', 'posts 5, tags ["a"], language en'),
        (b"{}", ""),
        (b"[1]", "[1]"),
        (b"caf\xc3\xa9 \xff\x1b[2J", "caf\u00e9 \ufffd[2J"),
    ],
)
def test_a_record_is_told_in_plain_words(value: bytes, expected: str) -> None:
    assert line(value, "k") == f"2026-01-01 00:00:00 2/30 k: {expected}".strip()


def test_a_dead_letter_is_told_by_its_stage_and_reasons() -> None:
    told = line(LETTER.raw, None, *dead_letter_headers(LETTER))
    assert told.endswith(
        ": analyze:full gave up on Mastodon_stream/0/7: $.id: missing; $.account: missing"
    )


@given(
    st.binary() | posts().map(encode) | deletions().map(encode),
    st.none() | st.text(),
    st.lists(st.tuples(st.sampled_from(["reason", "stage", "other"]), st.binary())),
)
def test_no_record_steers_a_terminal(
    value: bytes, key: str | None, headers: list[tuple[str, bytes]]
) -> None:
    told = line(value, key, *headers)
    assert len(told) <= 500
    assert not {unicodedata.category(char) for char in told} & {"Cc", "Cf", "Zl", "Zp", "Cs"}
