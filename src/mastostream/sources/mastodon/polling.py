"""A hashtag's timeline, read page by page.

The bare first page is asked for (its limit is 300 requests in 5 minutes); only where it has no post
in common with the last page that was read does the source page up from there (those requests are
limited to 300 in 15 minutes). Ids are opaque: they are compared for equality, and the order is the
server's.
"""

import hashlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from mastostream.ports.clock import Clock
from mastostream.ports.source import Fetched, Sighting
from mastostream.sources.mastodon.client import MastodonClient

__all__ = ["HashtagSource"]

PAGES_UP: Final = 5
"""Pages read upwards in one round: few, as a round that is cut short is read again from its start.
What is left is read in the next round, at once."""

PAGES_DOWN: Final = 25
"""Pages read downwards in one round, which must reach what is known: 1,000 posts."""

_logger = logging.getLogger(__name__)


_Item = tuple[str, Sighting]
"""A post's id in the timeline, and the post."""


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

    def fetch(self, cursor: str | None) -> Fetched:
        page = self._page()
        if not page:
            return Fetched(sightings=(), cursor=cursor)
        if cursor is None or _ids(page) & set(cursor.split()):
            return Fetched(sightings=_oldest_first(page), cursor=_cursor(page))
        return self._climb(page, cursor) or self._descend(page, cursor)

    def close(self) -> None:
        self._client.close()

    def _climb(self, top: Sequence[_Item], cursor: str) -> Fetched | None:
        """Read upwards from the cursor, as far as the first page.

        ``None``: the server does not know the cursor any more, or does not heed ``min_id``.
        """
        found: list[Sighting] = []
        anchor, *_ = cursor.split()
        for _ in range(PAGES_UP):
            page = self._page(min_id=anchor)
            if not page or _ids(page) == _ids(top):
                return None
            found += _oldest_first(page)
            if _ids(page) & _ids(top):
                return Fetched(sightings=(*found, *_oldest_first(top)), cursor=_cursor(top))
            anchor = page[0][0]
        _logger.info("%s: more than %d posts behind, catching up", self.name, len(found))
        return Fetched(sightings=found, cursor=_cursor(page), more=True)

    def _descend(self, top: Sequence[_Item], cursor: str) -> Fetched:
        """Read downwards until the cursor is reached, or the end."""
        found = list(top)
        for _ in range(PAGES_DOWN):
            page = self._page(max_id=found[-1][0])
            if page and page[-1] == found[-1]:
                break  # it does not heed max_id
            found += page
            if not page or _ids(page) & set(cursor.split()):
                return Fetched(sightings=_oldest_first(found), cursor=_cursor(top))
        _logger.warning("%s: posts are missing before the last %d", self.name, len(found))
        return Fetched(sightings=_oldest_first(found), cursor=_cursor(top), complete=False)

    def _page(self, *, min_id: str | None = None, max_id: str | None = None) -> list[_Item]:
        bodies = self._client.hashtag_page(self._tag, min_id=min_id, max_id=max_id)
        observed_at = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        return [self._sighting(raw, observed_at) for raw in bodies]

    def _sighting(self, raw: bytes, observed_at: datetime) -> _Item:
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


def _ids(page: Sequence[_Item]) -> set[str]:
    return {post_id for post_id, _ in page}


def _cursor(page: Sequence[_Item]) -> str:
    """The ids of a page, newest first, with a space between.

    One is enough to go on after; the others are there for when it is deleted. That a post is
    known would not do: it may have come by another hashtag, ahead of posts that did not.
    """
    return " ".join(post_id for post_id, _ in page)


def _oldest_first(page: Sequence[_Item]) -> list[Sighting]:
    return [sighting for _, sighting in reversed(page)]
