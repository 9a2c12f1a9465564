"""Bytes to models and back."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Account, Deletion, Post, Rejected, Stamp, Tag, decode, encode
from mastostream.testing.strategies import deletions, posts

STATUS = {"id": "1", "created_at": "2024-10-21T19:29:01.175Z", "account": {"acct": "a"}}
STAMP = {"key": "k", "event": "new", "observed_at": "2024-10-21T19:30:00Z"}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
AT = datetime(2024, 10, 21, 19, 29, 1, tzinfo=UTC)
MEMBERS = st.sampled_from([field.name for field in attrs.fields(Post)])


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
        (status(account={"acct": ""}), "$.account.acct: missing"),
        (status(account={}), "$.account.acct: missing"),
        (status(account=[]), "$.account: expected object, got array"),
        (status(account=None), "$.account: missing"),
        (status(id=""), "$.id: expected a name, got an empty string"),
        (status(id=None), "$.id: missing"),
        (status(id=True), "$.id: expected str, got bool"),
        (status(id=1.5), "$.id: expected str, got float"),
        (status(created_at=None), "$.created_at: missing"),
        (status(created_at=1729538941), "$.created_at: expected a time, got int"),
        (status(created_at="1729538941"), "$.created_at: expected a time, got '1729538941'"),
        (status(created_at="16120104112"), "$.created_at: expected a time, got '16120104112'"),
        (status(reblog={"id": "2"}), "$.reblog.created_at: missing"),
        (status(mastostream="x"), "$.mastostream: expected object, got str"),
        (
            status(mastostream=STAMP | {"event": "boost"}),
            "$.mastostream.event: expected one of new, edit, refresh, delete",
        ),
        (
            status(mastostream=STAMP | {"key": ""}),
            "$.mastostream.key: expected a name, got an empty string",
        ),
        (
            status(mastostream=STAMP | {"observed_at": 0}),
            "$.mastostream.observed_at: expected a time, got int",
        ),
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
        ({"created_at": "2024-10-21T19:29:01"}, "created_at", AT),
        ({"created_at": "2024-10-21 19:29:01"}, "created_at", AT),
        ({"created_at": "2024-10-21t19:29:01z"}, "created_at", AT),
        ({"created_at": " 2024-10-21T19:29:01Z\n"}, "created_at", AT),
        ({"created_at": "20241021T192901Z"}, "created_at", AT),
        ({"created_at": "2024-W43-1T19:29:01Z"}, "created_at", AT),
        ({"created_at": "2024-10-21T19:29:01.0000000000000Z"}, "created_at", AT),
        ({"created_at": "2024-10-22T09:29:01+14:00"}, "created_at", AT),
        ({"created_at": "Mon, 21 Oct 2024 21:29:01 +0200"}, "created_at", AT),
        ({"created_at": "Mon Oct 21 19:29:01 +0000 2024"}, "created_at", AT),
        ({"created_at": "2024-12-31T23:59:60Z"}, "created_at", datetime(2025, 1, 1, tzinfo=UTC)),
        ({"created_at": "2024-12-31T24:00:00Z"}, "created_at", datetime(2025, 1, 1, tzinfo=UTC)),
        ({"created_at": "2024-12-31"}, "created_at", datetime(2024, 12, 31, tzinfo=UTC)),
        ({"created_at": "20241231"}, "created_at", datetime(2024, 12, 31, tzinfo=UTC)),
        (
            {"created_at": "9999-12-31T23:59:59Z"},
            "created_at",
            datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        ),
        ({"edited_at": "Mon, 21 Oct 2024 19:29:01 GMT"}, "edited_at", AT),
        ({"edited_at": ""}, "edited_at", None),
        ({"edited_at": False}, "edited_at", None),
        ({"edited_at": "0000-01-01T00:00:00.000Z"}, "edited_at", None),
        ({"edited_at": "9999-12-31T24:00:00Z"}, "edited_at", None),
        ({"replies_count": 3.0}, "replies_count", 3),
        ({"replies_count": 1e3}, "replies_count", 1000),
        ({"replies_count": -0.0}, "replies_count", 0),
        ({"replies_count": "12"}, "replies_count", 12),
        ({"replies_count": "1099511627776"}, "replies_count", 2**40),
        ({"replies_count": "1099511627777"}, "replies_count", 0),
        ({"replies_count": 10**30}, "replies_count", 0),
        ({"replies_count": "٣"}, "replies_count", 0),
        ({"replies_count": ""}, "replies_count", 0),
        ({"replies_count": 3.5}, "replies_count", 0),
        ({"replies_count": -1}, "replies_count", 0),
        ({"replies_count": True}, "replies_count", 0),
        ({"replies_count": []}, "replies_count", 0),
        (
            {"tags": {"0": {"name": "a"}, "2": {"name": "b"}}},
            "tags",
            (Tag(name="a"), Tag(name="b")),
        ),
        ({"tags": {}}, "tags", ()),
        ({"tags": {"name": "a"}}, "tags", ()),
        ({"tags": ""}, "tags", ()),
        ({"tags": False}, "tags", ()),
        ({"tags": ["a", "b"]}, "tags", (Tag(name="a"), Tag(name="b"))),
        (
            {"tags": [{"name": "#A"}, {"name": 2024}, {"name": None}, {"hashtag": "x"}, None, 5]},
            "tags",
            (Tag(name="#A"),),
        ),
        ({"reblog": False}, "id", "1"),
        ({"reblog": []}, "id", "1"),
        ({"reblog": {}}, "id", "1"),
        ({"reblog": ""}, "id", "1"),
        ({"in_reply_to_id": 0}, "in_reply_to_id", None),
        ({"in_reply_to_id": ""}, "in_reply_to_id", None),
        ({"in_reply_to_id": False}, "in_reply_to_id", None),
        ({"content": 42}, "content", ""),
        ({"content": {"en": "<p>x</p>"}}, "content", ""),
        ({"spoiler_text": False}, "spoiler_text", ""),
        ({"language": ["en"]}, "language", None),
        ({"uri": 5}, "uri", ""),
        ({"url": False}, "url", None),
        ({"visibility": None}, "visibility", "public"),
        ({"visibility": 5}, "visibility", ""),
        ({"sensitive": 1}, "sensitive", True),
        ({"sensitive": "true"}, "sensitive", True),
        ({"sensitive": "false"}, "sensitive", False),
        ({"sensitive": "yes"}, "sensitive", False),
        (
            {"account": {"acct": "a", "bot": 0, "noindex": 1}},
            "account",
            Account(acct="a", noindex=True),
        ),
        (
            {"account": {"acct": "a", "id": 77, "username": 5}},
            "account",
            Account(acct="a", id="77"),
        ),
        ({"account": {"acct": "a", "display_name": 404}}, "account", Account(acct="a")),
        ({"account": {"acct": "a", "created_at": 0}}, "account", Account(acct="a")),
        (
            {"account": {"acct": None, "username": "a"}},
            "account",
            Account(acct="a", username="a"),
        ),
        (
            {"mastostream": STAMP | {"instance": 5}},
            "mastostream",
            Stamp(key="k", observed_at=datetime(2024, 10, 21, 19, 30, tzinfo=UTC)),
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


@given(st.dictionaries(MEMBERS, JSON))
def test_only_id_account_and_time_of_creation_cost_a_post(members: dict[str, object]) -> None:
    for name in ("id", "created_at", "account", "reblog", "mastostream"):
        members.pop(name, None)
    assert isinstance(decode(status(**members)), Post)


def test_a_deletion_is_never_taken_for_a_post() -> None:
    stamp = STAMP | {"event": "delete"}
    deleted = decode(status(mastostream=stamp, reblog=STATUS, uri=5))
    assert isinstance(deleted, Deletion)
    assert (deleted.id, deleted.uri, deleted.key) == ("1", None, "k")


def test_a_long_wrong_value_takes_little_time() -> None:
    for text in ("9" * 5_000_000, "1-" * 2_500_000, "Mon, " * 1_000_000, "24:00" * 1_000_000):
        post = decode(status(edited_at=text, replies_count=text))
        assert isinstance(post, Post)
        assert (post.edited_at, post.replies_count) == (None, 0)


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
    assert len(rejected) <= 1  # a line that was garbled on its way
    assert all(result.reasons for result in rejected)
