"""Where posts come from."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import attrs

from mastostream.core.models import Event

__all__ = ["Sighting", "Source"]


@attrs.frozen(kw_only=True)
class Sighting:
    """A status that a source has seen.

    Attributes:
        raw: the status exactly as the server sent it: one JSON object.
        key: the post's key; of a boost, the boosted post's.
        event: what the source takes it for; a known post's ``new`` is no news to the collector.
        instance: the host name of the server that showed it.
        observed_at: when it was read, UTC.
    """

    raw: bytes
    key: str
    event: Event
    instance: str
    observed_at: datetime


class Source(Protocol):
    """One feed of one server, such as a hashtag's timeline. Used by one thread."""

    @property
    def name(self) -> str:
        """What this source is called in messages, metrics and stored cursors; unique and stable."""

    def fetch(self, cursor: str | None) -> "Fetched":
        """Ask once for what is new after the cursor (``None``: from now on).

        Raises:
            RetriableError: ask again later; ``retry_after_s`` where the server said when.
            FatalError: this source cannot go on; the message says what to do.
        """

    def close(self) -> None:
        """Let go; a second call does nothing."""


@attrs.frozen(kw_only=True)
class Fetched:
    """What one request, or one round of them, brought.

    Attributes:
        sightings: oldest first.
        cursor: where to go on once all of them are in the log; the source's own opaque text.
        complete: whether these posts follow what was known; ``False`` when posts may be missing in
            between, which is counted and reported.
        more: whether the server has more already; then the source is asked again at once.
    """

    sightings: Sequence[Sighting]
    cursor: str | None
    complete: bool = True
    more: bool = False
