"""What happens on the simulated server: who writes what, when, and how much it is liked.

Everything follows from the seed. Time comes as an argument, in milliseconds since the epoch.
"""

import math
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import msgspec

from mastostream.testing.simulator import texts

__all__ = ["GROWTH_S", "Counts", "SimulatedPost", "World", "generate_statuses"]

GROWTH_S: Final = 900.0
"""Time constant of engagement: after a quarter of an hour 63 % of the final counts are there."""

_ACCOUNTS: Final = 400


@attrs.frozen(kw_only=True)
class Counts:
    """A post's engagement at one moment."""

    favourites: int
    reblogs: int
    replies: int
    quotes: int


@attrs.frozen(kw_only=True)
class SimulatedPost:
    """A post as the world knows it.

    Attributes:
        final: the counts that it grows to: ``final * (1 - exp(-age / growth_s))``, rounded down.
        edited_ms: when its text changes; ``None`` for never.
        deleted_ms: when it goes; ``None`` for never.
    """

    id: str
    created_ms: int
    account: int
    language: str
    tags: tuple[str, ...]
    content: str
    final: Counts
    growth_s: float
    edited_ms: int | None
    deleted_ms: int | None

    def counts_at(self, now_ms: int) -> Counts:
        """Return the engagement at this moment: 0 at first, never falling."""
        age_s = max(0, now_ms - self.created_ms) / 1000
        share = 1 - math.exp(-age_s / self.growth_s)
        return Counts(
            **{name: int(count * share) for name, count in attrs.asdict(self.final).items()}
        )

    def is_there(self, now_ms: int) -> bool:
        """Whether it can be read at this moment."""
        return self.created_ms <= now_ms and (self.deleted_ms is None or now_ms < self.deleted_ms)


class World:
    """Generates posts as time goes on and keeps the latest."""

    def __init__(
        self,
        *,
        seed: int = 1,
        posts_per_s: float = 3.0,
        start_ms: int = 0,
        host: str = "social.example",
        keep: int = 50_000,
        growth_s: float = GROWTH_S,
    ) -> None:
        """Begin at ``start_ms``.

        Args:
            seed: the same seed, the same posts.
            posts_per_s: on average; bursts bring five times as many.
            start_ms: no post is older.
            host: the server's name.
            keep: how many posts are remembered.
            growth_s: time constant of engagement.
        """
        self.host = host
        self.posts: deque[SimulatedPost] = deque(maxlen=keep)
        self._seed = seed
        self._rate = posts_per_s
        self._growth_s = growth_s
        self._next_second = start_ms // 1000
        self._coming: deque[SimulatedPost] = deque()
        self._accounts = [_account(seed, number, host) for number in range(_ACCOUNTS)]

    def advance(self, now_ms: int) -> None:
        """Let everything happen up to this moment."""
        while self._next_second * 1000 <= now_ms:
            self._coming.extend(self._second(self._next_second))
            self._next_second += 1
        while self._coming and self._coming[0].created_ms <= now_ms:
            self.posts.append(self._coming.popleft())

    def timeline(self, tag: str, now_ms: int) -> list[SimulatedPost]:
        """Return the posts with this hashtag that can be read now, newest first."""
        wanted = tag.lower()
        return [
            post for post in reversed(self.posts) if wanted in post.tags and post.is_there(now_ms)
        ]

    def find(self, post_id: str, now_ms: int) -> SimulatedPost | None:
        """Return the post of this id, if it can be read now."""
        if not post_id.isdecimal():
            return None
        position = bisect_right(self.posts, int(post_id), key=lambda post: int(post.id)) - 1
        if position < 0 or self.posts[position].id != post_id:
            return None
        post = self.posts[position]
        return post if post.is_there(now_ms) else None

    def status(self, post: SimulatedPost, now_ms: int) -> dict[str, Any]:
        """Return the post as Mastodon's API shows it at this moment."""
        counts = post.counts_at(now_ms)
        edited = post.edited_ms is not None and now_ms >= post.edited_ms
        account = self._accounts[post.account]
        url = f"https://{self.host}/@{account['username']}/{post.id}"
        return {
            "id": post.id,
            "created_at": _iso(post.created_ms),
            "in_reply_to_id": None,
            "in_reply_to_account_id": None,
            "sensitive": False,
            "spoiler_text": "",
            "visibility": "public",
            "language": post.language,
            "uri": f"https://{self.host}/users/{account['username']}/statuses/{post.id}",
            "url": url,
            "replies_count": counts.replies,
            "reblogs_count": counts.reblogs,
            "favourites_count": counts.favourites,
            "quotes_count": counts.quotes,
            "edited_at": _iso(post.edited_ms or 0) if edited else None,
            "content": post.content + ("<p>(edited)</p>" if edited else ""),
            "reblog": None,
            "quote": None,
            "application": {"name": "Web", "website": None},
            "account": account,
            "media_attachments": [],
            "mentions": [],
            "tags": [{"name": tag, "url": f"https://{self.host}/tags/{tag}"} for tag in post.tags],
            "emojis": [],
            "card": None,
            "poll": None,
            "filtered": [],
        }

    def _second(self, second: int) -> list[SimulatedPost]:
        rng = random.Random(f"{self._seed}:{second}")
        burst = 5.0 if random.Random(f"{self._seed}:burst:{second // 20}").random() < 0.08 else 0.8
        expected = self._rate * burst
        count = int(expected) + (rng.random() < expected % 1)
        moments = sorted(rng.randrange(1000) for _ in range(count))
        return [self._post(rng, second * 1000 + ms, order) for order, ms in enumerate(moments)]

    def _post(self, rng: random.Random, created_ms: int, order: int) -> SimulatedPost:
        popular = min(200, int(rng.paretovariate(0.9)) - 1)
        tags = tuple(dict.fromkeys(_tag(rng) for _ in range(rng.randrange(1, 5))))
        spoken = texts.language(rng)
        fate = rng.random()
        return SimulatedPost(
            id=str((created_ms << 16) + order),
            created_ms=created_ms,
            account=min(_ACCOUNTS - 1, int(rng.paretovariate(0.6)) - 1),
            language=spoken,
            tags=tags,
            content=texts.content(rng, spoken, tags, self.host),
            final=Counts(
                favourites=popular,
                reblogs=popular // 3,
                replies=popular // 5,
                quotes=popular // 12,
            ),
            growth_s=self._growth_s,
            edited_ms=created_ms + rng.randrange(60_000, 600_000) if fate < 0.02 else None,
            deleted_ms=created_ms + rng.randrange(60_000, 600_000) if fate > 0.99 else None,
        )


def generate_statuses(
    count: int, *, seed: int = 1, start_ms: int = 1_750_000_000_000, posts_per_s: float = 50.0
) -> Iterator[bytes]:
    """Yield this many different statuses of about 3.4 kB as compact JSON, oldest first.

    Each is an hour old: its counts have grown. Memory stays flat.
    """
    world = World(seed=seed, posts_per_s=posts_per_s, start_ms=start_ms, keep=10_000)
    now_ms = start_ms
    while True:
        world.posts.clear()
        world.advance(now_ms)
        for post in world.posts:
            if count == 0:
                return
            count -= 1
            yield msgspec.json.encode(world.status(post, post.created_ms + 3_600_000))
        now_ms += 1_000


def _tag(rng: random.Random) -> str:
    return texts.TAGS[min(len(texts.TAGS) - 1, int(rng.paretovariate(0.8)) - 1)]


def _iso(ms: int) -> str:
    time = datetime.fromtimestamp(ms / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _account(seed: int, number: int, host: str) -> dict[str, Any]:
    rng = random.Random(f"{seed}:account:{number}")
    name = f"{texts.user_name(rng)}_{number}"
    remote = rng.random() < 0.4
    home = f"town{rng.randrange(30)}.example" if remote else host
    image = f"https://files.{host}/accounts/{number:03}/original/{rng.randbytes(8).hex()}.png"
    return {
        "id": str(100_000_000_000_000_000 + number),
        "username": name,
        "acct": f"{name}@{home}" if remote else name,
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
