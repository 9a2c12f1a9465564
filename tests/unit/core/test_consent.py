"""Whose posts are left out."""

from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Account, Post
from mastostream.core.consent import REASONS, ConsentPolicy, reason_to_leave_out
from mastostream.core.languages import in_languages
from mastostream.testing.strategies import posts

POLICIES = st.builds(
    ConsentPolicy,
    leave_out_noindex=st.booleans(),
    leave_out_bots=st.booleans(),
    languages=st.frozensets(st.sampled_from(("en", "de", "pt", "pt-BR", "und"))),
    visibilities=st.frozensets(st.sampled_from(("public", "unlisted", "private"))),
)
ALL = frozenset({"public", "unlisted", "private", "direct"})
VISIBLE = st.builds(attrs.evolve, posts(), visibility=st.sampled_from(sorted(ALL)))


def post(
    *, visibility: str = "public", noindex: bool | None = None, bot: bool = False, language: str
) -> Post:
    account = Account(acct="a", bot=bot, noindex=noindex)
    created_at = datetime(2024, 1, 1, tzinfo=UTC)
    return Post(
        id="1", created_at=created_at, account=account, visibility=visibility, language=language
    )


@given(VISIBLE, POLICIES)
def test_a_post_is_kept_exactly_if_no_reason_holds(some: Post, policy: ConsentPolicy) -> None:
    holds = {
        "visibility": some.visibility not in policy.visibilities,
        "noindex": policy.leave_out_noindex and some.account.noindex is True,
        "bot": policy.leave_out_bots and some.account.bot,
        "language": bool(policy.languages) and in_languages(some, policy.languages) is None,
    }
    first = next((reason for reason in REASONS if holds[reason]), None)
    assert reason_to_leave_out(some, policy) == first


@given(VISIBLE)
def test_a_policy_that_asks_for_nothing_keeps_all(some: Post) -> None:
    assert reason_to_leave_out(some, ConsentPolicy(visibilities=ALL)) is None


@given(VISIBLE)
def test_by_default_only_what_is_not_for_all_is_left_out(some: Post) -> None:
    public = some.visibility in ("public", "unlisted")
    assert reason_to_leave_out(some, ConsentPolicy()) == (None if public else "visibility")


@given(VISIBLE, POLICIES)
def test_a_stricter_policy_keeps_no_more(some: Post, policy: ConsentPolicy) -> None:
    if reason_to_leave_out(some, policy) is None:
        return
    stricter = attrs.evolve(policy, leave_out_noindex=True, leave_out_bots=True)
    assert reason_to_leave_out(some, stricter) is not None


def test_the_reasons_have_an_order() -> None:
    policy = ConsentPolicy(leave_out_noindex=True, leave_out_bots=True, languages=["en"])
    worst = post(visibility="direct", noindex=True, bot=True, language="de")
    reasons = []
    for better in (
        {},
        {"visibility": "public"},
        {"account": Account(acct="a", bot=True)},
        {"account": Account(acct="a")},
        {"language": "en"},
    ):
        worst = attrs.evolve(worst, **better)
        reasons.append(reason_to_leave_out(worst, policy))
    assert reasons == [*REASONS, None]


@pytest.mark.parametrize("noindex", [False, None])
def test_an_account_whose_server_says_nothing_did_not_opt_out(noindex: bool | None) -> None:
    policy = ConsentPolicy(leave_out_noindex=True)
    assert reason_to_leave_out(post(noindex=noindex, language="en"), policy) is None


@pytest.mark.parametrize(
    ("language", "wanted", "kept"),
    [
        ("pt-BR", ["pt"], True),
        ("pt", ["pt-BR"], False),
        ("pt_br", ["PT-br"], True),
        ("EN_us", [" En "], True),
        ("", ["und"], True),
        ("", ["en"], False),
        ("de", [], True),
    ],
)
def test_a_language_keeps_itself_and_what_is_more_special(
    language: str, wanted: list[str], kept: bool
) -> None:
    reason = reason_to_leave_out(post(language=language), ConsentPolicy(languages=wanted))
    assert (reason is None) == kept


@pytest.mark.parametrize("language", ["", " ", "English", "en,de", "*"])
def test_what_is_no_language_is_refused(language: str) -> None:
    with pytest.raises(ValueError, match="is no language: expected a tag of BCP 47"):
        ConsentPolicy(languages=["en", language])
