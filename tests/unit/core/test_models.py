"""A model that exists is one that the wire can carry: the constructors take nothing else."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Account, Deletion, Post, Rejected, Stamp, Tag, decode, encode

NOW = datetime(2024, 1, 1, tzinfo=UTC)
ACCOUNT = Account(acct="a")
STAMP = Stamp(key="k", observed_at=NOW)
DELETE = Stamp(key="k", event="delete", observed_at=NOW)
POST: dict[str, Any] = {"id": "1", "created_at": NOW, "account": ACCOUNT}


class Name(StrEnum):
    A = "a"


class Nowhere(tzinfo):
    """A zone that does not know its offset: Python takes such a time for one without a zone."""

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        return None


VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        2**40,
        2**40 + 1,
        1.0,
        "",
        "a",
        "new",
        "delete",
        "\ud800",
        Name.A,
        b"a",
        NOW,
        NOW.replace(tzinfo=None),
        NOW.replace(tzinfo=Nowhere()),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(2024, 1, 1, 9, tzinfo=timezone(timedelta(hours=9))),
        (),
        [],
        (Tag(name="a"),),
        [Tag(name="a")],
        ("a",),
        ACCOUNT,
        {"acct": "a"},
        STAMP,
        DELETE,
    ]
)


def members_of(model: type) -> st.SearchStrategy[dict[str, Any]]:
    names = [field.name for field in attrs.fields(model) if field.init]
    return st.dictionaries(st.sampled_from(names), VALUES, max_size=2)


@given(members_of(Post), members_of(Account), members_of(Stamp), members_of(Tag))
def test_a_post_that_can_be_made_survives_the_wire(
    post: dict[str, Any], account: dict[str, Any], stamp: dict[str, Any], tag: dict[str, Any]
) -> None:
    try:
        made = Post(
            **POST
            | {
                "account": Account(**{"acct": "a"} | account),
                "mastostream": Stamp(**{"key": "k", "observed_at": NOW} | stamp),
                "tags": (Tag(**{"name": "a"} | tag),),
            }
            | post
        )
    except (TypeError, ValueError):
        return
    assert decode(encode(made)) == made


@given(members_of(Deletion))
def test_a_deletion_that_can_be_made_survives_the_wire(members: dict[str, Any]) -> None:
    try:
        made = Deletion(**{"id": "1", "mastostream": DELETE} | members)
    except (TypeError, ValueError):
        return
    assert decode(encode(made)) == made


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"id": 5}, "expected str, got int"),
        ({"id": ""}, "expected a name, got an empty string"),
        ({"content": None}, "expected str, got NoneType"),
        ({"content": "\ud800"}, "expected Unicode text, got half a surrogate pair"),
        ({"url": 5}, "expected str, got int"),
        ({"in_reply_to_id": ""}, "expected a name, got an empty string"),
        ({"created_at": datetime(2024, 1, 1)}, "expected a time with a zone"),  # noqa: DTZ001 - the point
        ({"created_at": "2024-01-01T00:00:00Z"}, "expected datetime, got str"),
        ({"edited_at": 5}, "expected datetime, got int"),
        ({"replies_count": 1.0}, "expected int, got float"),
        ({"replies_count": True}, "expected int, got bool"),
        ({"replies_count": -1}, "expected a count from 0 to 1099511627776, got -1"),
        ({"quotes_count": 2**41}, "expected a count from 0 to 1099511627776, got 2199023255552"),
        ({"sensitive": 1}, "expected bool, got int"),
        ({"tags": ["a"]}, "expected tuple, got list"),
        ({"tags": ("a",)}, "expected Tag, got str"),
        ({"account": {"acct": "a"}}, "expected Account, got dict"),
        ({"mastostream": {"key": "k"}}, "expected Stamp, got dict"),
        ({"mastostream": DELETE}, "expected a Deletion for the event delete"),
    ],
)
def test_the_constructor_refuses_what_decode_refuses(members: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Post(**POST | members)


@pytest.mark.parametrize(
    ("model", "members"),
    [
        (Account, {"acct": ""}),
        (Account, {"acct": 5}),
        (Account, {"acct": "a", "bot": None}),
        (Account, {"acct": "a", "noindex": 0}),
        (Stamp, {"key": "", "observed_at": NOW}),
        (Stamp, {"key": "k", "observed_at": NOW, "event": "boost"}),
        (Tag, {"name": None}),
        (Deletion, {"id": "1", "mastostream": STAMP}),
        (Deletion, {"id": 1, "mastostream": DELETE}),
        (Deletion, {"id": "1", "mastostream": None}),
    ],
)
def test_so_do_the_others(model: type, members: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        model(**members)


def test_what_the_constructor_refuses_is_no_member_of_a_decoded_post() -> None:
    """A number in place of a name is rejected by both; ``decode`` says so without an exception."""
    assert isinstance(decode(b'{"id":1.5,"created_at":"2024-01-01T00:00:00Z"}'), Rejected)


def test_times_become_utc() -> None:
    tokyo = datetime(2024, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))
    assert Post(**POST | {"created_at": tokyo}).created_at is not tokyo
    assert Post(**POST | {"created_at": tokyo}).created_at.tzinfo is UTC
    assert Post(**POST | {"created_at": tokyo}).created_at == NOW
