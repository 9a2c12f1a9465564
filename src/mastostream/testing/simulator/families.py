"""The server software that is simulated: its families share one API and differ in its details."""

from typing import Final, Literal

__all__ = ["VERSIONS", "Family"]

Family = Literal["mastodon", "gotosocial"]

VERSIONS: Final[dict[Family, str]] = {
    "mastodon": "4.5.1",
    "gotosocial": "3.5.3+0.20.0-rc1+git-57cb4fe",
}
"""The version in ``/api/v2/instance``. GoToSocial's begins with the Mastodon version it follows."""
