"""A hashtag's timeline, read page by page.

The bare first page is asked for (its limit is 300 requests in 5 minutes); only where it does not
reach a post that is known does the source page up from its cursor (those requests are limited to
300 in 15 minutes). Ids are opaque: they are compared for equality, and the order is the server's.
"""

import hashlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from mastostream.ports.clock import Clock
from mastostream.ports.source import Fetched, IsKnown, Sighting
from mastostream.sources.mastodon.client import PAGE, MastodonClient

__all__ = ["HashtagSource"]

MAX_PAGES: Final = 25
"""Pages read in one round: 1,000 posts. What is left is read in the next round."""

_logger = logging.getLogger(__name__)


class _Identity(msgspec.Struct):
    id: str | int
    uri: str = ""
    reblog: "_Identity | None" = None


_identify: Final = msgspec.json.Decoder(_Identity).decode


class HashtagSource:
    """A :class:`ports.source.Source`: one hashtag of one server."""

    def __init__(
        self,
        client: MastodonClient,
        tag: str,
        *,
        clock: Clock,
        key_by: Literal["id", "uri"] = "id",
    ) -> None:
        """Follow a hashtag.

        Args:
            client: the server; closed with the source.
            tag: with or without ``#``.
            clock: the time of sightings.
            key_by: ``id`` where one server is followed, ``uri`` where several are.
        """
        self._client = client
        self._tag = tag.removeprefix("#")
        self._clock = clock
        self._key_by = key_by

    @property
    def name(self) -> str:
        """``mastodon.social#news``."""
        return f"{self._client.host}#{self._tag}"

    def fetch(self, cursor: str | None, is_known: IsKnown) -> Fetched:
        page = self._page()
        if not page:
            return Fetched(sightings=(), cursor=cursor)
        newest = page[0][0]
        reaches = cursor is None or len(page) < PAGE or self._reaches(page, cursor, is_known)
        if reaches:
            return Fetched(sightings=_oldest_first(page), cursor=newest)
        assert cursor is not None  # noqa: S101 - otherwise the page reaches all that is wanted
        return self._climb(page, cursor) or self._descend(page, cursor, is_known)

    def close(self) -> None:
        self._client.close()

    def _reaches(
        self, page: Sequence[tuple[str, Sighting]], cursor: str, is_known: IsKnown
    ) -> bool:
        return any(post_id == cursor or is_known(sighting.key) for post_id, sighting in page)

    def _climb(self, top: Sequence[tuple[str, Sighting]], cursor: str) -> Fetched | None:
        """Read upwards from the cursor until the first page is reached."""
        top_ids = {post_id for post_id, _ in top}
        found: list[Sighting] = []
        anchor = cursor
        for _ in range(MAX_PAGES):
            page = self._page(min_id=anchor)
            if not page:
                break
            found += _oldest_first(page)
            anchor = page[0][0]
            if any(post_id in top_ids for post_id, _ in page):
                break
        else:
            _logger.warning("%s: more than %d posts behind, going on", self.name, len(found))
            return Fetched(sightings=found, cursor=anchor, complete=False)
        if not found:
            return None  # a cursor that the server does not know any more is answered by []
        return Fetched(sightings=(*found, *_oldest_first(top)), cursor=top[0][0])

    def _descend(
        self, top: Sequence[tuple[str, Sighting]], cursor: str, is_known: IsKnown
    ) -> Fetched:
        """Read downwards until something known, for servers that do not know the cursor."""
        found = list(top)
        complete = False
        for _ in range(MAX_PAGES):
            page = self._page(max_id=found[-1][0])
            found += page
            complete = not page or self._reaches(page, cursor, is_known)
            if complete:
                break
        if not complete:
            _logger.warning("%s: posts older than %d pages are missing", self.name, MAX_PAGES)
        return Fetched(sightings=_oldest_first(found), cursor=top[0][0], complete=complete)

    def _page(
        self, *, min_id: str | None = None, max_id: str | None = None
    ) -> list[tuple[str, Sighting]]:
        bodies = self._client.hashtag_page(self._tag, min_id=min_id, max_id=max_id)
        observed_at = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        return [self._sighting(raw, observed_at) for raw in bodies]

    def _sighting(self, raw: bytes, observed_at: datetime) -> tuple[str, Sighting]:
        try:
            identity = _identify(raw)
        except msgspec.MsgspecError:
            # No status at all: it goes into the log as it is and becomes a dead letter there.
            post_id = key = f"unreadable:{hashlib.sha256(raw).hexdigest()}"
        else:
            post = identity.reblog or identity
            post_id = str(identity.id)
            key = post.uri if self._key_by == "uri" and post.uri else str(post.id)
        sighting = Sighting(
            raw=raw,
            key=key or f"unreadable:{hashlib.sha256(raw).hexdigest()}",
            event="new",
            instance=self._client.host,
            observed_at=observed_at,
        )
        return post_id, sighting


def _oldest_first(page: Sequence[tuple[str, Sighting]]) -> list[Sighting]:
    return [sighting for _, sighting in reversed(page)]
