"""Federation: delivers posts from their own server to others, usually in seconds, some in hours."""

import math
import random
from typing import Final

from mastostream.testing.simulator.families import Family
from mastostream.testing.simulator.ids import post_number, spell
from mastostream.testing.simulator.posts import Boost, SimulatedPost, WrittenPost
from mastostream.testing.simulator.traffic_profile import TrafficProfile

__all__ = ["deliver", "deliver_boost"]

_SOONEST_LATE_S: Final = 4.0
"""Shortest delay of a late delivery."""

_BOOST_ORDER: Final = 40_000
"""Order of a boost in its millisecond: high enough that its id is never that of a post."""


def deliver(
    post: WrittenPost,
    host: str,
    family: Family,
    traffic_profile: TrafficProfile,
    rng: random.Random,
) -> SimulatedPost | None:
    """Return the post as this server holds it; ``None`` where it is deleted before it arrives.

    Edits that were made before the post arrives arrive with it.
    """
    at_home = post.author.home == host
    arrived_ms = post.created_ms if at_home else post.created_ms + _delay_ms(traffic_profile, rng)
    deleted_ms = post.deleted_ms
    if deleted_ms is not None and not at_home:
        if deleted_ms <= arrived_ms:
            return None
        deleted_ms += _usual_delay_ms(traffic_profile, rng)
    edits: list[int] = []
    received_ms = arrived_ms
    for edited_ms in post.edits:
        if not at_home and edited_ms > arrived_ms:
            received_ms = max(received_ms, edited_ms + _usual_delay_ms(traffic_profile, rng))
        elif at_home:
            received_ms = edited_ms
        if deleted_ms is None or received_ms < deleted_ms:
            edits.append(received_ms)
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
    """Return the boost of the post as this server shows it; ``None`` where there is none."""
    if post.written.booster is None or family == "gotosocial":
        return None
    booster, boosted_ms = post.written.booster
    delay_ms = 0 if booster.home == host else _usual_delay_ms(traffic_profile, rng)
    number = post_number(family, host, boosted_ms, _BOOST_ORDER)
    return Boost(
        post=post,
        id=spell(family, number),
        number=number,
        arrived_ms=max(post.arrived_ms, boosted_ms + delay_ms),
        booster=booster,
    )


def _delay_ms(traffic_profile: TrafficProfile, rng: random.Random) -> int:
    if rng.random() >= traffic_profile.late_share:
        return _usual_delay_ms(traffic_profile, rng)
    soonest_s = min(_SOONEST_LATE_S, traffic_profile.latest_s)
    return int(
        1000 * soonest_s * math.exp(rng.random() * math.log(traffic_profile.latest_s / soonest_s))
    )


def _usual_delay_ms(traffic_profile: TrafficProfile, rng: random.Random) -> int:
    return int(1000 * rng.uniform(*traffic_profile.delay_s))
