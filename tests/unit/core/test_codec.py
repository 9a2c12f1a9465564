"""Bytes to models and back."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Deletion, Post, Rejected, decode, encode
from mastostream.testing.strategies import deletions, posts

STATUS = {"id": "1", "created_at": "2024-10-21T19:29:01.175Z", "account": {"acct": "a"}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["id", "created_at", "account", "reblog", "tags", "mastostream", "replies_count", "content"]
)


def status(**members: object) -> bytes:
    return json.dumps(STATUS | members).encode()


@given(posts() | deletions())
def test_a_model_survives_the_wire(model: Post | Deletion) -> None:
    assert decode(encode(model)) == model


@given(st.binary(max_size=200))
def test_any_bytes_decode_without_an_exception(data: bytes) -> None:
    result = decode(data)
    if isinstance(result, Rejected):
        assert result.raw == data
        assert result.reasons


@given(st.dictionaries(MEMBERS, JSON))
def test_any_json_decodes_without_an_exception(members: dict[str, object]) -> None:
    result = decode(status(**members))
    if isinstance(result, Rejected):
        assert all(reason.startswith("$") for reason in result.reasons)
    else:
        assert decode(encode(result)) == result


@given(st.dictionaries(MEMBERS, JSON), st.integers(0, 200))
def test_a_status_that_was_cut_decodes_without_an_exception(
    members: dict[str, object], length: int
) -> None:
    decode(status(**members)[:length])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "$: the record is empty"),
        (b"\xff", "$: not UTF-8 at byte 0"),
        (b"null", "$: expected object, got null"),
        (b"[" * 100_000, "$: expected object, got array"),
        (b'{"a":' * 100_000, "$: nested too deeply"),
        (b'{"id":"1\\ud800"}', "$: a string holds half a surrogate pair, which is no Unicode text"),
        (status(account={"acct": 5}), "$.account.acct: expected str, got int"),
        (status(account=[]), "$.account: expected object, got array"),
        (
            status(replies_count=-1),
            "$.replies_count: expected a count from 0 to 1099511627776, got -1",
        ),
        (status(tags=[{"name": "a"}, {"name": 1}]), "$.tags[1].name: expected str, got int"),
        (
            status(created_at="0001-01-01T00:00:00+10:00"),
            "$.created_at: expected a time in the years 1 to 9999 (UTC)",
        ),
        (status(created_at="yesterday"), "$.created_at: expected a time, got 'yesterday'"),
        (status(mastostream={"event": "delete"}), "$.mastostream.key: missing"),
        (b'{"id":"1"}', "$.created_at: missing"),
    ],
)
def test_a_reject_says_what_is_wrong_and_where(data: bytes, reason: str) -> None:
    result = decode(data)
    assert isinstance(result, Rejected)
    assert result.raw == data
    assert result.reasons[0] in {reason, "$: nested too deeply"}


@pytest.mark.parametrize(
    ("members", "attribute", "value"),
    [
        ({"id": 99}, "id", "99"),
        ({"in_reply_to_id": 7}, "in_reply_to_id", "7"),
        ({"replies_count": None}, "replies_count", 0),
        ({"sensitive": None, "tags": None}, "tags", ()),
        ({"replies_count": 3.0}, "replies_count", 3),
        (
            {"created_at": "2024-10-21T19:29:01"},
            "created_at",
            datetime(2024, 10, 21, 19, 29, 1, tzinfo=UTC),
        ),
        (
            {"created_at": "Mon, 21 Oct 2024 21:29:01 +0200"},
            "created_at",
            datetime(2024, 10, 21, 19, 29, 1, tzinfo=UTC),
        ),
        (
            {"created_at": "9999-12-31T23:59:59Z"},
            "created_at",
            datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        ),
        ({"content": "a\x00b"}, "content", "a\x00b"),
        ({"unknown": {"deep": [1]}}, "id", "1"),
    ],
)
def test_what_real_servers_send_is_understood(
    members: dict[str, object], attribute: str, value: object
) -> None:
    post = decode(status(**members))
    assert isinstance(post, Post)
    assert getattr(post, attribute) == value


def test_the_last_of_a_repeated_member_counts() -> None:
    post = decode(status()[:-1] + b',"id":"2"}')
    assert isinstance(post, Post)
    assert post.id == "2"


def test_a_boost_is_the_boosted_post_under_the_boosts_stamp() -> None:
    stamp = {"key": "k", "event": "new", "instance": "i", "observed_at": "2024-10-21T19:30:00Z"}
    inner = STATUS | {"id": "2", "content": "<p>x</p>"}
    post = decode(status(id="9", reblog=inner, mastostream=stamp))
    assert isinstance(post, Post)
    assert (post.id, post.key, post.content) == ("2", "k", "<p>x</p>")


def test_a_ten_megabyte_status_is_a_post() -> None:
    post = decode(status(content="x" * 10_000_000))
    assert isinstance(post, Post)
    assert len(post.content) == 10_000_000


def test_every_real_status_is_a_post_or_says_why_not(corpus: Sequence[bytes]) -> None:
    results = [decode(raw) for raw in corpus]
    rejected = [result for result in results if isinstance(result, Rejected)]
    assert len(results) > 1000
    assert len(rejected) <= 5
    assert all(result.reasons for result in rejected)
