"""Posts: as written on their own server, and as each server holds its copy."""

import math

import attrs

from mastostream.testing.simulator.accounts import Person

__all__ = ["Boost", "Counts", "SimulatedPost", "WrittenPost"]


@attrs.frozen(kw_only=True)
class Counts:
    """A post's engagement counts at one time."""

    favourites: int
    reblogs: int
    replies: int
    quotes: int

    def scaled(self, share: float) -> "Counts":
        """Return each count times ``share``, rounded down."""
        return Counts(
            favourites=int(self.favourites * share),
            reblogs=int(self.reblogs * share),
            replies=int(self.replies * share),
            quotes=int(self.quotes * share),
        )


@attrs.frozen(kw_only=True)
class WrittenPost:
    """A post as its author wrote it, on its own server. Times are milliseconds since the epoch.

    Attributes:
        origin_id: id of the post on its own server.
        order: number of the post among those of the same millisecond, from 0.
        created_ms: creation time.
        author: the author; ``author.home`` is the post's own server.
        language: language code of the text.
        tags: hashtags as they are written, without ``#``.
        content: HTML of the text before any edit.
        final: counts that the engagement approaches: at each age they are
            ``final * (1 - exp(-age / growth_s))``, rounded down.
        growth_s: time constant of that growth, in seconds.
        edits: times of the edits, ascending.
        deleted_ms: time of the deletion; ``None`` for never.
        booster: author of a boost and the time of that boost; ``None`` where there is none.
    """

    origin_id: str
    order: int
    created_ms: int
    author: Person
    language: str
    tags: tuple[str, ...]
    content: str
    final: Counts
    growth_s: float
    edits: tuple[int, ...] = ()
    deleted_ms: int | None = None
    booster: tuple[Person, int] | None = None

    @property
    def uri(self) -> str:
        """The post's ActivityPub uri, the same on all servers."""
        return f"https://{self.author.home}/users/{self.author.name}/statuses/{self.origin_id}"

    @property
    def url(self) -> str:
        """URL of the post's page on its own server."""
        return f"https://{self.author.home}/@{self.author.name}/{self.origin_id}"

    def counts_at(self, now_ms: int) -> Counts:
        """Return the engagement at this time: 0 at creation, never falling."""
        age_s = max(0, now_ms - self.created_ms) / 1000
        return self.final.scaled(1 - math.exp(-age_s / self.growth_s))

    def text(self, edits: int) -> str:
        """Return the HTML of the text after this number of edits."""
        return self.content + (f"<p>(edited, {edits})</p>" if edits else "")


@attrs.frozen(kw_only=True)
class SimulatedPost:
    """A post as one server holds it. Times are milliseconds since the epoch.

    Attributes:
        written: the post on its own server.
        at_home: whether this server is the post's own server.
        id: id of the post on this server, as text.
        number: the same id as an integer; timelines are sorted by it.
        arrived_ms: time when the post reaches this server.
        edits: times when its edits reach this server; edits that never reach it are left out.
        deleted_ms: time when this server deletes the post; ``None`` for never.
        share: share of the engagement that this server knows of, from 0 to 1.
        quotes: whether this server counts quotes.
    """

    written: WrittenPost
    at_home: bool
    id: str
    number: int
    arrived_ms: int
    edits: tuple[int, ...]
    deleted_ms: int | None
    share: float
    quotes: bool = True

    @property
    def created_ms(self) -> int:
        """Creation time of the post."""
        return self.written.created_ms

    @property
    def uri(self) -> str:
        """The post's ActivityPub uri, the same on all servers."""
        return self.written.uri

    @property
    def tags(self) -> tuple[str, ...]:
        """Hashtags as they are written, without ``#``."""
        return self.written.tags

    def is_visible(self, now_ms: int) -> bool:
        """Whether this server shows the post at this time."""
        return self.arrived_ms <= now_ms and not self.is_deleted(now_ms)

    def is_deleted(self, now_ms: int) -> bool:
        """Whether this server has deleted the post by this time."""
        return self.deleted_ms is not None and self.deleted_ms <= now_ms

    def counts_at(self, now_ms: int) -> Counts:
        """Return the engagement that this server shows at this time; it never falls."""
        counts = self.written.counts_at(now_ms)
        if self.share != 1:
            counts = counts.scaled(self.share)
        return counts if self.quotes else attrs.evolve(counts, quotes=0)

    def edits_at(self, now_ms: int) -> int:
        """Return how many edits have reached this server by this time."""
        return sum(edit_ms <= now_ms for edit_ms in self.edits)

    def text_at(self, now_ms: int) -> str:
        """Return the HTML that this server shows at this time."""
        return self.written.text(self.edits_at(now_ms))

    def edited_ms_at(self, now_ms: int) -> int | None:
        """Return when the last edit that has reached this server was made; ``None`` for none."""
        edits = self.edits_at(now_ms)
        return self.written.edits[edits - 1] if edits else None


@attrs.frozen(kw_only=True)
class Boost:
    """A boost in a timeline: a wrapper without text, tags or counts of its own.

    Attributes:
        post: the boosted post, as the same server holds it.
        id: id of the boost on this server, as text.
        number: the same id as an integer.
        arrived_ms: time when the boost reaches this server, milliseconds since the epoch.
        booster: the author of the boost.
    """

    post: SimulatedPost
    id: str
    number: int
    arrived_ms: int
    booster: Person

    @property
    def uri(self) -> str:
        """The boost's own uri."""
        return f"https://{self.booster.home}/activities/{self.id}"

    def is_visible(self, now_ms: int) -> bool:
        """Whether this server shows the boost at this time; a boost is deleted with its post."""
        return self.arrived_ms <= now_ms and self.post.is_visible(now_ms)
