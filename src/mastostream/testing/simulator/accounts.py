"""Who writes: people with a home server, and how other servers show them."""

import random
from typing import Any, Final

import attrs

from mastostream.testing.simulator import texts
from mastostream.testing.simulator.families import Family

__all__ = ["OUTSIDE", "People", "Person"]

OUTSIDE: Final = tuple(f"town{number}.example" for number in range(30))
"""Servers that nobody can ask."""

_ID_MS: Final = 1_525_900_000_000
_NOT_IN_GOTOSOCIAL: Final = ("uri", "noindex", "indexable", "hide_collections")


@attrs.frozen(kw_only=True)
class Person:
    """Somebody with an account on a server."""

    home: str
    number: int
    name: str


class People:
    """Everybody. The same seed, the same people."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._people: dict[tuple[str, int], Person] = {}
        self._shown: dict[tuple[str, int, str], dict[str, Any]] = {}

    def person(self, home: str, number: int) -> Person:
        """Return a server's account of this number."""
        found = self._people.get((home, number))
        if found is None:
            rng = random.Random(f"{self._seed}:name:{home}:{number}")
            name = f"{texts.user_name(rng)}_{number}"
            found = self._people[home, number] = Person(home=home, number=number, name=name)
        return found

    def account(self, person: Person, host: str, family: Family) -> dict[str, Any]:
        """Return the account as a server shows it. The caller must not change it."""
        key = (person.home, person.number, host)
        found = self._shown.get(key)
        if found is None:
            found = self._shown[key] = _account(self._seed, person, host)
            if family == "gotosocial":
                for member in _NOT_IN_GOTOSOCIAL:
                    del found[member]
        return found


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
