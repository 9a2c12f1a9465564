"""The HTML that server families make of hashtags, mentions, links and quotes.

The forms are those that running servers send in the member ``content`` of a status.
"""

from html import escape
from typing import Final, Literal, get_args
from urllib.parse import quote

__all__ = ["FAMILIES", "Family", "hashtag", "link", "listed_name", "mention", "quoted"]

Family = Literal["mastodon", "gotosocial", "pleroma", "friendica", "misskey"]
"""A family of servers. Akkoma writes what Pleroma does, Hubzilla what Friendica does."""

FAMILIES: Final[tuple[Family, ...]] = get_args(Family)

_MASTODON_REL: Final = "nofollow noopener"
_GOTOSOCIAL_REL: Final = "nofollow noreferrer noopener"
_SHOWN: Final = 30
"""How many characters of an address Mastodon shows (``app/lib/text_formatter.rb``)."""


def hashtag(family: Family, host: str, name: str) -> str:
    """Return a hashtag as HTML; ``name`` has no ``#``."""
    shown, path = escape(name), quote(name)
    forms: dict[Family, str] = {
        "mastodon": (
            f'<a href="https://{host}/tags/{path}" class="mention hashtag" rel="tag">'
            f"#<span>{shown}</span></a>"
        ),
        "gotosocial": (
            f'<a href="https://{host}/tags/{path}" class="mention hashtag" '
            f'rel="tag {_GOTOSOCIAL_REL}" target="_blank">#<span>{shown}</span></a>'
        ),
        "pleroma": (
            f'<a class="hashtag" data-tag="{escape(listed_name("pleroma", name))}" '
            f'href="https://{host}/tag/{path}" rel="tag ugc">#{shown}</a>'
        ),
        "friendica": (
            f'#<a href="https://{host}/search?tag={path}" class="mention hashtag" '
            f'rel="noopener noreferrer" target="_blank"><span>{shown}</span></a>'
        ),
        "misskey": f'<a href="https://{host}/tags/{path}" rel="tag">#{shown}</a>',
    }
    return forms[family]


def listed_name(family: Family, name: str) -> str:
    """Return the name of a hashtag as the family's API lists it: some send it in lower case."""
    # Not `lower`, which would know the final sigma of Greek: such servers do not.
    return "".join(map(str.lower, name)) if family in ("pleroma", "friendica") else name


def mention(family: Family, host: str, username: str) -> str:
    """Return a mention of an account as HTML."""
    forms: dict[Family, str] = {
        "mastodon": (
            f'<span class="h-card" translate="no"><a href="https://{host}/@{username}" '
            f'class="u-url mention">@<span>{username}</span></a></span>'
        ),
        "gotosocial": (
            f'<span class="h-card"><a href="https://{host}/@{username}" class="u-url mention" '
            f'rel="{_GOTOSOCIAL_REL}" target="_blank">@<span>{username}</span></a></span>'
        ),
        "pleroma": (
            f'<span class="h-card"><a class="u-url mention" data-user="A1b2" '
            f'href="https://{host}/users/{username}" rel="ugc">@<span>{username}</span></a></span>'
        ),
        "friendica": (
            f'@<a href="https://{host}/profile/{username}" class="u-url mention" '
            f'rel="noopener noreferrer" target="_blank"><span class="mention">{username}</span></a>'
        ),
        "misskey": f'<a href="https://{host}/@{username}" class="u-url mention">@{username}</a>',
    }
    return forms[family]


def link(family: Family, address: str) -> str:
    """Return a link to an ``https`` address as HTML; Mastodon hides parts of a long one."""
    href = escape(address)
    if family != "mastodon":
        return f'<a href="{href}" rel="{_GOTOSOCIAL_REL}" target="_blank">{href}</a>'
    shown = address.removeprefix("https://")
    css_class = "ellipsis" if len(shown) > _SHOWN else ""
    return (
        f'<a href="{href}" target="_blank" rel="{_MASTODON_REL}" translate="no">'
        f'<span class="invisible">https://</span>'
        f'<span class="{css_class}">{escape(shown[:_SHOWN])}</span>'
        f'<span class="invisible">{escape(shown[_SHOWN:])}</span></a>'
    )


def quoted(family: Family, address: str) -> str:
    """Return the line that stands for a quoted post where the reader's server shows no quotes."""
    css_class = ' class="quote-inline"' if family in ("mastodon", "gotosocial") else ""
    return f"<p{css_class}>RE: {link(family, address)}</p>"
