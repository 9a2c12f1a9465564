"""Traffic profile of a simulated Fediverse: rates of posts and changes, delays of federation."""

from typing import Any, Final, Self

import attrs

__all__ = ["GROWTH_S", "TrafficProfile"]

GROWTH_S: Final = 900.0
"""Default time constant of engagement: after this many seconds, 63 % of the counts are there."""


def _share_field(default: float) -> Any:
    at_least, at_most = attrs.validators.ge(0.0), attrs.validators.le(1.0)
    return attrs.field(default=default, validator=[at_least, at_most])


@attrs.frozen(kw_only=True)
class TrafficProfile:
    """How often things happen and how long they take.

    Attributes named ``..._s`` are seconds; a share is a fraction from 0 to 1, of all posts unless
    it says otherwise.

    Attributes:
        posts_per_s: average rate of new posts, of all servers together.
        burst: rate within a burst, as a multiple of ``posts_per_s``, from 1 to 12. Bursts take 8 %
            of the time.
        day_night: how much quieter nights (UTC) are than days: 0 for no difference, 1 for silence.
        growth_s: time constant of the growth of engagement counts.
        delay_s: shortest and longest usual delay until a post, an edit or a deletion reaches
            another server.
        late_share: share of deliveries to another server that take longer than ``delay_s``.
        latest_s: longest delay of such a late delivery.
        outside_share: share of posts written on servers that are not simulated themselves.
        remote_counts: share of a post's engagement that servers other than its own know of.
        edit_share: share of posts that are edited within ``changes_within_s``, some repeatedly.
        delete_share: share of posts that are deleted within ``changes_within_s``.
        changes_within_s: time after creation within which edits and deletions happen; above 60.
        hasty_share: share of posts that are edited or deleted within 2 s.
        boost_share: share of posts whose boost stands in the hashtag timelines, as on Pleroma.
            Servers of the family ``gotosocial`` never show boosts there.
        separator_share: share of posts with a raw U+2028 (line separator) in the text, which a
            parser must not take for the end of a line.
    """

    posts_per_s: float = attrs.field(default=3.0, validator=attrs.validators.gt(0))
    burst: float = attrs.field(
        default=5.0, validator=[attrs.validators.ge(1), attrs.validators.le(12)]
    )
    day_night: float = _share_field(0.0)
    growth_s: float = attrs.field(default=GROWTH_S, validator=attrs.validators.gt(0))
    delay_s: tuple[float, float] = (0.1, 3.0)
    late_share: float = _share_field(0.02)
    latest_s: float = attrs.field(default=10_800.0, validator=attrs.validators.gt(0))
    outside_share: float = _share_field(0.25)
    remote_counts: float = _share_field(1 / 3)
    changes_within_s: float = attrs.field(default=36_000.0, validator=attrs.validators.gt(60))
    edit_share: float = _share_field(0.02)
    delete_share: float = _share_field(0.01)
    hasty_share: float = _share_field(0.002)
    boost_share: float = _share_field(0.0)
    separator_share: float = _share_field(0.01)

    @classmethod
    def of_one_server(cls) -> Self:
        """Return the profile of a single server: federation has no delay and loses no counts."""
        return cls(delay_s=(0.0, 0.0), late_share=0.0, outside_share=0.4, remote_counts=1.0)
