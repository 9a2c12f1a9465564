"""Generated authors: accounts on a home server, and how each server's API shows them."""

import random
from typing import Any, Final

import attrs

from mastostream.testing.simulator import texts
from mastostream.testing.simulator.families import Family

__all__ = ["OUTSIDE", "People", "Person"]

OUTSIDE: Final = tuple(f"town{number}.example" for number in range(30))
"""Host names of servers that have authors but are not simulated: they answer no request."""

_ID_MS: Final = 1_525_900_000_000
"""Creation time in the ids of all accounts, milliseconds since the epoch (May 2018)."""

_NOT_IN_GOTOSOCIAL: Final = ("uri", "noindex", "indexable", "hide_collections")


@attrs.frozen(kw_only=True)
class Person:
    """An author, with an account on one server.

    Attributes:
        home: host name of the author's server.
        number: number of the account on that server, from 0.
        name: user name, without the host.
    """

    home: str
    number: int
    name: str


class People:
    """All authors. The same seed gives the same authors."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._people: dict[tuple[str, int], Person] = {}
        self._accounts: dict[tuple[str, int, str], dict[str, Any]] = {}

    def person(self, home: str, number: int) -> Person:
        """Return the author with this account number on a server."""
        person = self._people.get((home, number))
        if person is None:
            rng = random.Random(f"{self._seed}:name:{home}:{number}")
            name = f"{texts.user_name(rng)}_{number}"
            person = self._people[home, number] = Person(home=home, number=number, name=name)
        return person

    def account(self, person: Person, host: str, family: Family) -> dict[str, Any]:
        """Return the author's account as a server's API shows it. The caller must not change it."""
        key = (person.home, person.number, host)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _account(self._seed, person, host)
            if family == "gotosocial":
                for member in _NOT_IN_GOTOSOCIAL:
                    del account[member]
        return account


def _account(seed: int, person: Person, host: str) -> dict[str, Any]:
    rng = random.Random(f"{seed}:account:{person.home}:{person.number}")
    home, name = person.home, person.name
    image = (
        f"https://files.{home}/accounts/{person.number:03}/original/{rng.randbytes(8).hex()}.png"
    )
    place = random.Random(f"{host}:{home}").getrandbits(20)
    return {
        "id": str((_ID_MS << 16) + (place << 10) + person.number),
        "username": name,
        "acct": name if home == host else f"{name}@{home}",
        "display_name": name.replace("_", " ").title(),
        "locked": False,
        "bot": rng.random() < 0.08,
        "discoverable": True,
        "indexable": False,
        "group": False,
        "created_at": "2023-01-01T00:00:00.000Z",
        "note": texts.profile_note(rng, home),
        "url": f"https://{home}/@{name}",
        "uri": f"https://{home}/users/{name}",
        "avatar": image,
        "avatar_static": image,
        "header": image.replace("original", "header"),
        "header_static": image.replace("original", "header"),
        "followers_count": int(rng.paretovariate(0.7)),
        "following_count": rng.randrange(500),
        "statuses_count": rng.randrange(5000),
        "last_status_at": "2025-01-01",
        "hide_collections": False,
        "noindex": rng.random() < 0.1,
        "emojis": [],
        "roles": [],
        "fields": [
            {
                "name": label,
                "value": f'<a href="https://{home}/{label}" rel="nofollow noopener me">{home}</a>',
                "verified_at": None,
            }
            for label in ("site", "code", "photos")
        ],
    }
