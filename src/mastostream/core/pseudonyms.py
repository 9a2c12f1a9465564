"""Pseudonymisation: replaces the names of people in a status by pseudonyms.

A pseudonym is the keyed BLAKE2b hash (RFC 7693) of an account's full name, ``name@host`` in lower
case. An account has the same pseudonym on every server that shows its posts. Without the key nobody
can compute the pseudonym of a name, so that names cannot be tried out. Whoever has the key can:
this is pseudonymity, not anonymity.
"""

import html
import re
from base64 import b32encode
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import attrs
import msgspec

from mastostream.core.accounts import PSEUDONYM_SCHEME

__all__ = ["KEY_BYTES", "pseudonym_of", "pseudonymize"]

KEY_BYTES: Final = (16, 64)
"""Shortest and longest key, in bytes: a shorter key could be guessed, and BLAKE2b does not take a
longer one."""

_DIGEST_BYTES: Final = 10
_LONGEST_NAME: Final = 200
"""Longest name that is searched for, in characters: it bounds the work on one text. Mastodon allows
its own users 30, and accepts longer names from other servers."""


def pseudonym_of(text: str, key: bytes) -> str:
    """Return the pseudonym of a name or an address: 16 letters and digits.

    Equal arguments give equal pseudonyms.

    Args:
        text: the full name, ``name@host`` in lower case, or the address.
        key: 16 to 64 secret bytes.

    Raises:
        ValueError: the key does not have 16 to 64 bytes.
    """
    shortest, longest = KEY_BYTES
    if not shortest <= len(key) <= longest:
        raise ValueError(f"expected a key of {shortest} to {longest} bytes, got {len(key)}")
    digest = blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=_DIGEST_BYTES)
    return b32encode(digest.digest()).decode("ascii").lower()


def pseudonymize(raw: bytes, key: bytes, host: str) -> bytes:
    """Return a status in which pseudonyms replace the names of people.

    An account keeps its flags, counts and dates, and has its pseudonym in place of its name and id;
    all other members are emptied or removed. The ``uri`` and ``url`` of the status become
    ``pseudonym:`` and the pseudonym of the ``uri``. In texts these are replaced:

    - of the accounts that the status lists: ``@name``, and display names of two words or more;
    - of all accounts: ``@name@host``, mail addresses, and links to profiles or to posts.

    What this does not hide: a reader of the text may recognise its author, and a search for the
    text may find the post. All other ways to name somebody in the text stay. Pictures, addresses of
    linked pages, and the post's ``id`` stay: the server that showed the post returns the original
    for this ``id``. Counts and dates may distinguish an account from all others. So the result is
    still personal data.

    Args:
        raw: one JSON object as a server sent it, without a stamp: a status, or a deletion, whose
            ``uri`` is replaced.
        key: 16 to 64 secret bytes.
        host: host of the accounts whose ``url``, ``uri`` and ``acct`` do not name one.

    Returns:
        A JSON object. If ``decode`` returns a post for ``raw``, it returns one for the result too.
        ``{}`` for bytes that are not a JSON object, or that are nested hundreds of levels deep,
        because names in them would not be found.

    Raises:
        ValueError: the key does not have 16 to 64 bytes.
    """
    pseudonym_of("", key)
    try:
        status = msgspec.json.decode(raw)
        if not isinstance(status, dict):
            return b"{}"
        status.pop("mastostream", None)  # only the collector stamps; a server's stamp is forged
        people = _People(key=key, host=host.lower())
        for person in _people_in("", status):
            people.add(person)
        return msgspec.json.encode(_status(status, people))
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return b"{}"


# The signs that end the name in a display name: "Ann Lee (she/her)", "Ann Lee | Berlin".
_BESIDE_A_NAME: Final = re.compile(r"[(\[|:]")
_PEOPLE_MEMBERS: Final = frozenset({"account", "accounts", "mentions"})
_NAME_MEMBERS: Final = frozenset({"acct", "username", "id"})
_EMPTIED: Final = frozenset({"author_name", "author_url", "display_name", "username"})
_DATE_MEMBERS: Final = frozenset({"created_at", "last_status_at"})


def _is_person(name: str, value: dict[str, Any]) -> bool:
    return "acct" in value or name in _PEOPLE_MEMBERS


def _people_in(name: str, value: object) -> Iterator[dict[str, Any]]:
    """Yield every account in a status, in the order of its JSON."""
    if isinstance(value, dict):
        if _is_person(name, value):
            yield value
        for member, inner in value.items():
            yield from _people_in(member, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _people_in(name, inner)


@attrs.frozen
class _People:
    """The accounts in a status, and their pseudonyms.

    Attributes:
        key: the secret key.
        host: host of the accounts that do not name one.
        names: ``name`` and ``name@host`` in lower case, to pseudonym.
        ids: account id on the server that showed the post, to pseudonym.
        shown: regular expression of a display name of two words or more, to pseudonym.
    """

    key: bytes = attrs.field(repr=False)
    host: str
    names: dict[str, str] = attrs.field(factory=dict)
    ids: dict[str, str] = attrs.field(factory=dict)
    shown: dict[str, str] = attrs.field(factory=dict)

    def add(self, person: dict[str, Any]) -> None:
        """Add the names by which texts may refer to this account."""
        pseudonym = self.of_person(person)
        if person.get("id") is not None:
            self.ids[str(person["id"])] = pseudonym
        shown = str(person.get("display_name") or "")[:_LONGEST_NAME]
        words = _BESIDE_A_NAME.split(shown, maxsplit=1)[0].split()
        if len(words) > 1:
            pattern = r"\s++".join(map(re.escape, words))
            self.shown[rf"(?<!\w){pattern}(?!\w)"] = pseudonym
        name, hosts = _name_and_hosts(person, self.host)
        if name:
            self.names.setdefault(name, pseudonym)
            for host in hosts[1:]:
                self.names.setdefault(f"{name}@{host}", pseudonym)
            self.names[f"{name}@{hosts[0]}"] = pseudonym

    def of_person(self, person: dict[str, Any]) -> str:
        """Return the pseudonym of an account object."""
        name, hosts = _name_and_hosts(person, self.host)
        return pseudonym_of(f"{name}@{hosts[0]}", self.key)

    def of(self, name: str, host: str) -> str:
        """Return the pseudonym of ``name@host``: that of the account in the status, if it is one.

        An account may have several hosts, and has one pseudonym for all of them.
        """
        full = f"{name}@{host}".lower()
        return self.names.get(full) or pseudonym_of(full, self.key)


def _name_and_hosts(person: dict[str, Any], local: str) -> tuple[str, list[str]]:
    """Return the name of an account, and its hosts: the first is the same on all servers.

    The host in ``acct`` may differ from that in ``url``; the account's own server leaves it out.
    """
    acct = str(person.get("acct") or person.get("username") or "").lower()
    name, _, host = acct.partition("@")
    hosts = (_host(person.get("url")), _host(person.get("uri")), host or local)
    return name, list(filter(None, hosts)) or [""]


def _host(url: object) -> str:
    if not isinstance(url, str):
        return ""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _status(status: dict[str, Any], people: _People) -> dict[str, Any]:
    rewritten = {name: _rewrite(name, value, people) for name, value in status.items()}
    address = status.get("uri") or status.get("url")
    for name in ("uri", "url"):
        if status.get(name) is not None:
            pseudonym = pseudonym_of(str(address), people.key)
            rewritten[name] = PSEUDONYM_SCHEME + pseudonym if address else ""
    return rewritten


def _rewrite(name: str, value: Any, people: _People) -> Any:
    if isinstance(value, list):
        return [_rewrite(name, inner, people) for inner in value]
    if isinstance(value, dict):
        return _object(name, value, people)
    if name.endswith(("account_id", "account_ids")):
        return None if value is None else people.ids.get(str(value))
    return _string(name, value, people) if isinstance(value, str) else value


def _object(name: str, value: dict[str, Any], people: _People) -> dict[str, Any]:
    if _is_person(name, value):
        return _person(value, people)
    if name == "authors":  # the authors of a linked page
        value = value | {"name": "", "url": ""}
    if "account" in value:
        return _status(value, people)
    if "title" in value and _profile(str(value.get("url")), people):  # a linked page about a person
        value = {k: "" if isinstance(v, str) and k != "url" else v for k, v in value.items()}
    return {member: _rewrite(member, inner, people) for member, inner in value.items()}


def _string(name: str, value: str, people: _People) -> str:
    if name.endswith("acct"):
        account, _, host = value.partition("@")
        return people.of(account, host or people.host)
    return "" if name in _EMPTIED else _text(value, people)


def _person(person: dict[str, Any], people: _People) -> dict[str, Any]:
    """Return an account with the members that are known to name nobody; the others are emptied."""
    pseudonym = people.of_person(person)
    kept: dict[str, Any] = {}
    for name, value in person.items():
        if name in _NAME_MEMBERS:
            kept[name] = pseudonym
        elif isinstance(value, dict):
            kept[name] = _person(value, people) if _is_person(name, value) else {}
        elif isinstance(value, list):
            kept[name] = []
        elif isinstance(value, str):
            kept[name] = value if name in _DATE_MEMBERS else ""
        elif value is None or isinstance(value, bool) or name.endswith("_count"):
            kept[name] = value
    return kept


# All quantifiers are possessive (`++`, `*+`, `?+`): no text can make the search backtrack.
_AT: Final = r"(?:@|\uff20|%40|&\#0*+64;|&\#x0*+40;|&commat;)"
_NAME: Final = r"\w++(?:[.-]\w++)*+"
_HANDLE: Final = _NAME.replace(r"\w", r"(?:(?!https?://)\w)")  # a URL ends a name
_IN_TEXT: Final = rf"""
    (?P<at> {_AT} ) (?P<tags> (?:<[^<>]*+>)*+ ) (?P<name> {_HANDLE} )
    (?: {_AT} (?P<host> {_NAME} (?: :\d++ )?+ ) )?+
    | (?<!\w) (?<!\w[.-]) (?P<mail_name> {_NAME} ) (?P<mail_at> {_AT} ) (?P<mail_host> {_NAME} )
    """
_IN_HTML: Final = rf"""
    (?P<anchor> <a\s[^<>]*+> ) (?P<inside> (?: [^<] | <(?!/?a\b) )*+ ) </a\s*+>
    | (?P<url> https?://[^\s"'<>]++ )
    | {_IN_TEXT}
    """
_in_text: Final = re.compile(_IN_TEXT, re.VERBOSE | re.IGNORECASE)
_in_html: Final = re.compile(_IN_HTML, re.VERBOSE | re.IGNORECASE)
_SIGNS: Final = ("@", "://", "&", "%40", "\uff20")
_HREF: Final = re.compile(r"""\bhref\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s>"']++)""", re.IGNORECASE)
_AROUND: Final = ".,;:!?()[]{}\"'*_~"


def _text(text: str, people: _People) -> str:
    if any(sign in text for sign in _SIGNS):
        text = _in_html.sub(lambda match: _replace_in_html(match, people), text)
    for pattern, pseudonym in people.shown.items():
        text = re.sub(pattern, pseudonym, text, flags=re.IGNORECASE)
    return text


def _replace_in_html(match: re.Match[str], people: _People) -> str:
    if match["anchor"]:
        return _link(match["anchor"], match["inside"], people)
    if not match["url"]:
        return _replace_in_text(match, people)
    pseudonym = _profile(match["url"], people)
    if pseudonym:
        return PSEUDONYM_SCHEME + pseudonym
    return _in_text.sub(lambda part: _replace_in_text(part, people), match["url"])


def _replace_in_text(match: re.Match[str], people: _People) -> str:
    name, at, host = match["mail_name"], match["mail_at"], match["mail_host"]
    if name:
        is_host = host.rpartition(".")[1] and host.rpartition(".")[2].isalpha()
        return people.of(name, host) if is_host else name + _handle(at, host, people)
    at = match["at"] + _text(match["tags"], people)
    if match["host"]:
        return at + people.of(match["name"], match["host"])
    return _handle(at, match["name"], people)


def _handle(at: str, name: str, people: _People) -> str:
    """Replace ``@name`` if the status lists an account of this name.

    Dots and hyphens may be part of a name or follow it: the longest name that is known is taken.
    """
    end = len(name)
    while end > 0:
        pseudonym = people.names.get(name[:end].lower())
        if pseudonym:
            return at + pseudonym + name[end:]
        shorter = min(end, _LONGEST_NAME)
        end = max(name.rfind(".", 0, shorter), name.rfind("-", 0, shorter))
    return at + name


def _link(anchor: str, inside: str, people: _People) -> str:
    """Replace a link to a profile or a post as a whole: servers may split the name in its text."""
    target = _HREF.search(anchor)
    pseudonym = _profile(target[1].strip("\"'"), people) if target else None
    if pseudonym:
        return f'<a href="{PSEUDONYM_SCHEME}{pseudonym}">@{pseudonym}</a>'
    return f"{_text(anchor, people)}{_text(inside, people)}</a>"


def _profile(url: str, people: _People) -> str | None:
    """Return the pseudonym of the account whose profile or post is at an address, or ``None``.

    The address names an account by ``/@name`` (Mastodon and most other software), by
    ``/users/name`` (ActivityPub ids of much software), or by a path segment that is the name of an
    account in the status, on that account's host.
    """
    address = html.unescape(url)
    host = _host(address)
    path = address.partition("://")[2].partition("?")[0].partition("#")[0]
    before = ""
    for segment in unquote(path).lower().split("/")[1:]:
        name, _, at_host = segment.lstrip("@").rstrip(_AROUND).partition("@")
        known = people.names.get(f"{name.strip(_AROUND)}@{at_host or host}")
        if known and before not in ("tag", "tags"):
            return known
        if name and (segment.startswith("@") or before == "users"):
            return people.of(name, at_host or host)
        before = segment
    return None
