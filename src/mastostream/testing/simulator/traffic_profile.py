"""How the people of a simulated Fediverse write, and how fast its servers hear of it."""

from typing import Any, Final, Self

import attrs

__all__ = ["GROWTH_S", "TrafficProfile"]

GROWTH_S: Final = 900.0
"""Time constant of engagement: after a quarter of an hour 63 % of the final counts are there."""


def _share(default: float) -> Any:
    at_least, at_most = attrs.validators.ge(0.0), attrs.validators.le(1.0)
    return attrs.field(default=default, validator=[at_least, at_most])


@attrs.frozen(kw_only=True)
class TrafficProfile:
    """What happens how often. Times in seconds, shares from 0 to 1.

    Attributes:
        posts_per_s: on average, of all servers together.
        burst: how many times as many come in the 8 % of the time that are a burst; at most 12.
        day_night: how much nights (UTC) are quieter than days: 0 for not at all, 1 for silence.
        growth_s: time constant of engagement.
        delay_s: from and to: how long a post, an edit or a deletion takes to other servers.
        late_share: posts that take longer to a server than that ...
        latest_s: ... and how long at most.
        outside_share: posts that were written on a server that is not among the simulated ones.
        remote_counts: the share of a post's engagement that is known on other servers than its own.
        edit_share: posts that are edited, some of them several times, within ``changes_within_s``.
        delete_share: posts that are deleted, within ``changes_within_s``.
        hasty_share: posts that are edited or deleted within 2 s.
        boost_share: posts of which a boost shows in the hashtag timelines, as on Pleroma; servers
            of the family ``gotosocial`` never show any.
        separator_share: posts with a raw U+2028 in the text, which is no end of a line.
    """

    posts_per_s: float = attrs.field(default=3.0, validator=attrs.validators.gt(0))
    burst: float = attrs.field(
        default=5.0, validator=[attrs.validators.ge(1), attrs.validators.le(12)]
    )
    day_night: float = _share(0.0)
    growth_s: float = attrs.field(default=GROWTH_S, validator=attrs.validators.gt(0))
    delay_s: tuple[float, float] = (0.1, 3.0)
    late_share: float = _share(0.02)
    latest_s: float = attrs.field(default=10_800.0, validator=attrs.validators.gt(0))
    outside_share: float = _share(0.25)
    remote_counts: float = _share(1 / 3)
    changes_within_s: float = attrs.field(default=36_000.0, validator=attrs.validators.gt(60))
    edit_share: float = _share(0.02)
    delete_share: float = _share(0.01)
    hasty_share: float = _share(0.002)
    boost_share: float = _share(0.0)
    separator_share: float = _share(0.01)

    @classmethod
    def of_one_server(cls) -> Self:
        """Return the habits around one server by itself: it knows everything, and at once."""
        return cls(delay_s=(0.0, 0.0), late_share=0.0, outside_share=0.4, remote_counts=1.0)
