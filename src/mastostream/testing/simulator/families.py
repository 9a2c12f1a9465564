"""Which software a simulated server runs. They speak the same API, and do not."""

from typing import Final, Literal

__all__ = ["VERSIONS", "Family"]

Family = Literal["mastodon", "gotosocial"]

VERSIONS: Final[dict[Family, str]] = {
    "mastodon": "4.5.1",
    "gotosocial": "3.5.3+0.20.0-rc1+git-57cb4fe",
}
"""What each says in ``/api/v2/instance``; GoToSocial's claims a Mastodon version first."""
