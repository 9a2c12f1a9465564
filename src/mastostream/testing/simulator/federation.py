"""How a post gets from its own server to another: a little later, now and then much later."""

import math
import random
from typing import Final

from mastostream.testing.simulator.families import Family
from mastostream.testing.simulator.ids import post_number, spell
from mastostream.testing.simulator.posts import Boost, SimulatedPost, WrittenPost
from mastostream.testing.simulator.traffic_profile import TrafficProfile

__all__ = ["deliver", "deliver_boost"]

_SOONEST_LATE_S: Final = 4.0
_BOOST_ORDER: Final = 40_000
"""Keeps the ids of boosts apart from those of posts of the same millisecond."""


def deliver(
    post: WrittenPost,
    host: str,
    family: Family,
    traffic_profile: TrafficProfile,
    rng: random.Random,
) -> SimulatedPost | None:
    """Return the post as this server holds it; ``None`` where it is deleted before it arrives.

    An edit that was made before the post arrives comes with it.
    """
    at_home = post.author.home == host
    arrived_ms = post.created_ms if at_home else post.created_ms + _travel_ms(traffic_profile, rng)
    deleted_ms = post.deleted_ms
    if deleted_ms is not None and not at_home:
        if deleted_ms <= arrived_ms:
            return None
        deleted_ms = max(arrived_ms + 1, deleted_ms + _usual_ms(traffic_profile, rng))
    edits: list[int] = []
    heard_ms = arrived_ms
    for edited_ms in post.edits:
        if not at_home and edited_ms > arrived_ms:
            heard_ms = max(heard_ms, edited_ms + _usual_ms(traffic_profile, rng))
        elif at_home:
            heard_ms = edited_ms
        if deleted_ms is None or heard_ms < deleted_ms:
            edits.append(heard_ms)
    number = post_number(family, host, post.created_ms, post.order)
    return SimulatedPost(
        written=post,
        at_home=at_home,
        id=post.origin_id if at_home else spell(family, number),
        number=number,
        arrived_ms=arrived_ms,
        edits=tuple(edits),
        deleted_ms=deleted_ms,
        share=1.0 if at_home else traffic_profile.remote_counts,
        quotes=family != "gotosocial",
    )


def deliver_boost(
    post: SimulatedPost,
    host: str,
    family: Family,
    traffic_profile: TrafficProfile,
    rng: random.Random,
) -> Boost | None:
    """Return the post's boost as this server shows it; ``None`` where it shows none."""
    if post.written.booster is None or family == "gotosocial":
        return None
    booster, boosted_ms = post.written.booster
    travel_ms = 0 if booster.home == host else _usual_ms(traffic_profile, rng)
    number = post_number(family, host, boosted_ms, _BOOST_ORDER)
    return Boost(
        post=post,
        id=spell(family, number),
        number=number,
        arrived_ms=max(post.arrived_ms, boosted_ms + travel_ms),
        booster=booster,
    )


def _travel_ms(traffic_profile: TrafficProfile, rng: random.Random) -> int:
    if rng.random() >= traffic_profile.late_share:
        return _usual_ms(traffic_profile, rng)
    soonest_s = min(_SOONEST_LATE_S, traffic_profile.latest_s)
    return int(
        1000 * soonest_s * math.exp(rng.random() * math.log(traffic_profile.latest_s / soonest_s))
    )


def _usual_ms(traffic_profile: TrafficProfile, rng: random.Random) -> int:
    return int(1000 * rng.uniform(*traffic_profile.delay_s))
