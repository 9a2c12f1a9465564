"""Hypothesis strategies for the core's models. Needs ``pip install 'mastostream[testing]'``."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from mastostream.core.models import MAX_COUNT, Account, Deletion, Post, Stamp, Tag

__all__ = ["accounts", "deletions", "posts", "stamps", "times"]

_text = st.text(max_size=40)
_name = st.text(min_size=1, max_size=20)
_counts = st.integers(0, 500) | st.integers(0, MAX_COUNT)


def times() -> st.SearchStrategy[datetime]:
    """Generate aware UTC datetimes of the years 1 to 9999."""
    return st.datetimes(timezones=st.just(UTC))


def accounts() -> st.SearchStrategy[Account]:
    """Generate accounts."""
    return st.builds(
        Account,
        acct=_text,
        id=_text,
        username=_text,
        display_name=_text,
        url=st.none() | _text,
        bot=st.booleans(),
        noindex=st.none() | st.booleans(),
    )


def stamps(event: str | None = None) -> st.SearchStrategy[Stamp]:
    """Generate stamps: of this event, or of ``new``, ``edit`` and ``refresh``."""
    events = st.sampled_from(("new", "edit", "refresh")) if event is None else st.just(event)
    return st.builds(Stamp, key=_name, event=events, instance=_text, observed_at=times())


def posts(
    created_at: st.SearchStrategy[datetime] | None = None,
    stamp: st.SearchStrategy[Stamp | None] | None = None,
) -> st.SearchStrategy[Post]:
    """Generate posts.

    Args:
        created_at: generates the times of creation; :func:`times` by default.
        stamp: generates the stamps; by default none or any of :func:`stamps`.
    """
    return st.builds(
        Post,
        id=_name,
        created_at=times() if created_at is None else created_at,
        account=accounts(),
        uri=_text,
        url=st.none() | _text,
        edited_at=st.none() | times(),
        content=_text,
        spoiler_text=_text,
        language=st.none() | st.sampled_from(("en", "de", "pt-BR", "EN", "")) | _text,
        visibility=_text,
        sensitive=st.booleans(),
        in_reply_to_id=st.none() | _text,
        replies_count=_counts,
        reblogs_count=_counts,
        favourites_count=_counts,
        quotes_count=_counts,
        tags=st.lists(st.builds(Tag, name=_text), max_size=4).map(tuple),
        mastostream=(st.none() | stamps()) if stamp is None else stamp,
    )


def deletions() -> st.SearchStrategy[Deletion]:
    """Generate deletions with a stamp of the event ``delete``."""
    return st.builds(Deletion, id=_name, uri=st.none() | _text, mastostream=stamps("delete"))
