"""Statuses: posts as a server's API shows them, and a generator of any number of them."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import msgspec

from mastostream.testing.simulator.accounts import People
from mastostream.testing.simulator.families import Family
from mastostream.testing.simulator.federation import deliver
from mastostream.testing.simulator.posts import Boost, SimulatedPost
from mastostream.testing.simulator.traffic_profile import TrafficProfile
from mastostream.testing.simulator.writing import WINDOW_MS, Writer

__all__ = ["generate_statuses", "iso", "render"]

_NOT_IN_GOTOSOCIAL: Final = ("filtered", "quote", "quotes_count")
_HOST: Final = "social.example"
_HOUR_MS: Final = 3_600_000


def iso(ms: int) -> str:
    """Return a time as Mastodon writes it: UTC, with milliseconds and ``Z``."""
    time = datetime.fromtimestamp(ms / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def render(
    entry: SimulatedPost | Boost, host: str, family: Family, people: People, now_ms: int
) -> dict[str, Any]:
    """Return the status that a server's API shows for a post or a boost at this time."""
    if isinstance(entry, SimulatedPost):
        return _post(entry, host, family, people, now_ms)
    post = _post(entry.post, host, family, people, now_ms)
    wrapper: dict[str, Any] = {
        "id": entry.id,
        "created_at": iso(entry.arrived_ms),
        "uri": entry.uri,
        "url": entry.uri,
        "content": "",
        "edited_at": None,
        "reblog": post,
        "account": people.account(entry.booster, host, family),
        "tags": [],
    }
    counts = ("replies_count", "reblogs_count", "favourites_count", "quotes_count")
    return post | wrapper | dict.fromkeys(counts, 0)


def _post(
    post: SimulatedPost, host: str, family: Family, people: People, now_ms: int
) -> dict[str, Any]:
    written = post.written
    counts = post.counts_at(now_ms)
    edited_ms = post.edited_ms_at(now_ms)
    status = {
        "id": post.id,
        "created_at": iso(written.created_ms),
        "in_reply_to_id": None,
        "in_reply_to_account_id": None,
        "sensitive": False,
        "spoiler_text": "",
        "visibility": "public",
        "language": written.language,
        "uri": written.uri,
        "url": written.url,
        "replies_count": counts.replies,
        "reblogs_count": counts.reblogs,
        "favourites_count": counts.favourites,
        "quotes_count": counts.quotes,
        "edited_at": None if edited_ms is None else iso(edited_ms),
        "content": post.text_at(now_ms),
        "reblog": None,
        "quote": None,
        "application": {"name": "Web", "website": None} if post.at_home else None,
        "account": people.account(written.author, host, family),
        "media_attachments": [],
        "mentions": [],
        "tags": [{"name": tag, "url": f"https://{host}/tags/{tag}"} for tag in written.tags],
        "emojis": [],
        "card": None,
        "poll": None,
        "filtered": [],
    }
    if family == "gotosocial":
        for member in _NOT_IN_GOTOSOCIAL:
            del status[member]
        status["content_type"] = "text/plain"
        status["interaction_policy"] = {
            name: {"always": ["public"], "with_approval": []}
            for name in ("can_favourite", "can_reply", "can_reblog")
        }
    return status


def generate_statuses(
    count: int, *, seed: int = 1, start_ms: int = 1_750_000_000_000, posts_per_s: float = 50.0
) -> Iterator[bytes]:
    """Yield this many different statuses of about 3.4 kB as compact JSON, oldest first.

    Each status shows its post an hour after creation, so its counts have grown. Memory use does
    not depend on ``count``.
    """
    traffic_profile = attrs.evolve(TrafficProfile.of_one_server(), posts_per_s=posts_per_s)
    people = People(seed)
    writer = Writer(seed, {_HOST: "mastodon"}, traffic_profile, people)
    rng = random.Random(seed)
    window = start_ms // WINDOW_MS
    while True:
        for post in writer.window(window):
            delivered = deliver(post, _HOST, "mastodon", traffic_profile, rng)
            if delivered is None or post.created_ms < start_ms:
                continue
            if count <= 0:
                return
            count -= 1
            status = _post(delivered, _HOST, "mastodon", people, post.created_ms + _HOUR_MS)
            yield msgspec.json.encode(status)
        window += 1
