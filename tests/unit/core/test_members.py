"""What is made of wrong members: the rules, the documentation and ``decode`` say the same."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from mastostream import Account, Post, Rejected, Stamp, decode
from mastostream.core.members import ACCOUNT, POST, STAMP, Member, table

DATA = Path(__file__).parents[3] / "docs" / "data.md"
STAMP_SENT = {"key": "k", "event": "new", "observed_at": "2024-10-21T19:30:00Z"}
STATUS: dict[str, Any] = {
    "id": "1",
    "created_at": "2024-10-21T19:29:01.175Z",
    "account": {"acct": "a"},
    "mastostream": STAMP_SENT,
}
RULES = [
    *(((), name, rule) for name, rule in POST.items()),
    *((("account",), name, rule) for name, rule in ACCOUNT.items()),
    *((("mastostream",), name, rule) for name, rule in STAMP.items()),
]


def test_the_documentation_has_the_table_of_the_rules() -> None:
    assert "\n".join(table()) in DATA.read_text(encoding="utf-8")


def test_every_member_of_the_models_has_a_rule() -> None:
    apart = {"account", "mastostream", "reblog"}
    assert set(POST) | apart == {field.name for field in attrs.fields(Post)}
    assert set(ACCOUNT) == {field.name for field in attrs.fields(Account)}
    assert set(STAMP) == {field.name for field in attrs.fields(Stamp)}


@pytest.mark.parametrize(("inside", "name", "rule"), RULES)
def test_a_value_that_cannot_be_read_costs_what_the_rule_says(
    inside: tuple[str, ...], name: str, rule: Member
) -> None:
    """An array of arrays is what no rule can repair."""
    status = json.loads(json.dumps(STATUS))
    (status[inside[0]] if inside else status)[name] = [[5]]
    post = decode(json.dumps(status))
    if rule.needed:
        assert isinstance(post, Rejected)
        assert [reason.partition(":")[0] for reason in post.reasons] == [
            ".".join(("$", *inside, name))
        ]
        return
    assert isinstance(post, Post)
    model = getattr(post, inside[0]) if inside else post
    default = getattr(attrs.fields(type(model)), name).default
    expected = default if rule.wrong is None else rule.wrong
    assert getattr(model, name) == expected


@pytest.mark.parametrize("name", ["id", "account", "created_at"])
def test_a_status_without_a_member_that_is_needed_is_rejected(name: str) -> None:
    status = {key: value for key, value in STATUS.items() if key != name}
    rejected = decode(json.dumps(status))
    assert isinstance(rejected, Rejected)
    assert rejected.reasons == (f"$.{name}: missing",)
