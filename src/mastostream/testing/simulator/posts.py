"""A post as it was written, and as one server holds it."""

import math

import attrs

from mastostream.testing.simulator.accounts import Person

__all__ = ["Boost", "Counts", "SimulatedPost", "WrittenPost"]


@attrs.frozen(kw_only=True)
class Counts:
    """A post's engagement at one moment."""

    favourites: int
    reblogs: int
    replies: int
    quotes: int

    def times(self, share: float) -> "Counts":
        """Return a share of each, rounded down."""
        return Counts(
            favourites=int(self.favourites * share),
            reblogs=int(self.reblogs * share),
            replies=int(self.replies * share),
            quotes=int(self.quotes * share),
        )


@attrs.frozen(kw_only=True)
class WrittenPost:
    """A post on its own server. Moments are milliseconds since the epoch.

    Attributes:
        origin_id: its id there.
        order: tells apart what was written in the same millisecond.
        final: the counts that it grows to: ``final * (1 - exp(-age / growth_s))``, rounded down.
        edits: when its text changes.
        deleted_ms: when it goes; ``None`` for never.
        booster: who boosts it, and when; ``None`` for nobody.
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
        """Its name everywhere."""
        return f"https://{self.author.home}/users/{self.author.name}/statuses/{self.origin_id}"

    @property
    def url(self) -> str:
        """Its page."""
        return f"https://{self.author.home}/@{self.author.name}/{self.origin_id}"

    def counts_at(self, now_ms: int) -> Counts:
        """Return the engagement at this moment: 0 at first, never falling."""
        age_s = max(0, now_ms - self.created_ms) / 1000
        return self.final.times(1 - math.exp(-age_s / self.growth_s))

    def text(self, edits: int) -> str:
        """Return the text after so many edits."""
        return self.content + (f"<p>(edited, {edits})</p>" if edits else "")


@attrs.frozen(kw_only=True)
class SimulatedPost:
    """A post as one server holds it. Moments are milliseconds since the epoch.

    Attributes:
        at_home: whether this is the server that it was written on.
        id: the post's id on this server.
        number: the id's place in the order of ids.
        arrived_ms: when this server hears of it.
        edits: when this server hears of each edit; what it never hears of is left out.
        deleted_ms: when it goes from this server; ``None`` for never.
        share: of the engagement that this server knows of.
        quotes: whether it knows of quotes at all.
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
        """When it was written."""
        return self.written.created_ms

    @property
    def uri(self) -> str:
        """Its name everywhere."""
        return self.written.uri

    @property
    def tags(self) -> tuple[str, ...]:
        """Its hashtags, as they are written."""
        return self.written.tags

    def is_there(self, now_ms: int) -> bool:
        """Whether it can be read at this moment."""
        return self.arrived_ms <= now_ms and not self.is_gone(now_ms)

    def is_gone(self, now_ms: int) -> bool:
        """Whether it is deleted at this moment."""
        return self.deleted_ms is not None and self.deleted_ms <= now_ms

    def counts_at(self, now_ms: int) -> Counts:
        """Return the engagement at this moment: never falling."""
        counts = self.written.counts_at(now_ms)
        if self.share != 1:
            counts = counts.times(self.share)
        return counts if self.quotes else attrs.evolve(counts, quotes=0)

    def edits_at(self, now_ms: int) -> int:
        """Return how many edits show at this moment."""
        return sum(moment <= now_ms for moment in self.edits)

    def text_at(self, now_ms: int) -> str:
        """Return the text at this moment."""
        return self.written.text(self.edits_at(now_ms))

    def edited_ms_at(self, now_ms: int) -> int | None:
        """Return when it was last edited on its own server, as far as this one has heard."""
        edits = self.edits_at(now_ms)
        return self.written.edits[edits - 1] if edits else None


@attrs.frozen(kw_only=True)
class Boost:
    """A boost in a timeline: a wrapper without text, tags or counts of its own.

    Attributes:
        post: the post that is boosted, as the same server holds it.
    """

    post: SimulatedPost
    id: str
    number: int
    arrived_ms: int
    booster: Person

    @property
    def uri(self) -> str:
        """Its own name."""
        return f"https://{self.booster.home}/activities/{self.id}"

    def is_there(self, now_ms: int) -> bool:
        """Whether it can be read at this moment: it goes with the post."""
        return self.arrived_ms <= now_ms and self.post.is_there(now_ms)
