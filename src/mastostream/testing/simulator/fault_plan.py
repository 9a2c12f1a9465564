"""Random faults over time: a seed and the clock determine which fault is active."""

import math
import random
from functools import lru_cache
from typing import Final, Literal, NamedTuple, get_args

import attrs

__all__ = ["FAULT_KINDS", "FaultKind", "FaultPlan"]

FaultKind = Literal[
    # single responses
    "rate_limited",
    "rate_limited_bare",
    "server_error",
    "slow",
    "cut",
    "truncated",
    "closed_feed",
    "no_lookup",
    # streams
    "no_streaming",
    "silent_streams",
    "dead_streams",
    "cut_streams",
    "ended_streams",
    "overtaking_deletes",
    "swapped_events",
    # the whole server
    "unavailable",
    "restart",
]
"""The kinds of faults.

- ``rate_limited``, ``rate_limited_bare``: status 429, with and without rate limit headers.
- ``server_error``: status 503. ``slow``: a response takes 15 s. ``cut``: the connection closes in
  the middle of the body. ``truncated``: half of the JSON is sent as if it were complete.
- ``closed_feed``: timelines are ``[]``, and ``timelines_access`` says that they are disabled.
- ``no_lookup``: ``statuses?id[]=`` does not exist (404). On GoToSocial it never exists (405).
- ``no_streaming``: streams do not exist (404); open streams break.
- ``silent_streams``: open streams send heartbeats, but no events.
- ``dead_streams``: streams that are open when the fault begins stay open, and send nothing at all
  any more.
- ``cut_streams``: all streams break. ``ended_streams``: all streams end cleanly, as with a revoked
  token.
- ``overtaking_deletes``: new posts and edits are sent 2.5 s late, deletions at once.
- ``swapped_events``: each new post and edit is sent up to 2.5 s late, in another order.
- ``unavailable``: all streams break, and all requests get status 503.
- ``restart``: all connections break, and the port refuses new ones. Events of this time are never
  streamed.
"""

FAULT_KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
"""All kinds of faults."""


class _Episode(NamedTuple):
    kind: FaultKind
    begin_ms: int
    end_ms: int


@attrs.frozen(kw_only=True)
class FaultPlan:
    """One fault in each interval of the server's clock.

    Attributes:
        seed: another seed gives other faults.
        kinds: the kinds to choose from.
        every_s: length of an interval, in seconds; above 0.
        lasting_s: shortest and longest duration of a fault, in seconds. A fault ends with its
            interval at the latest.
        until_ms: time from which there are no faults any more, milliseconds since the epoch;
            ``None`` for no end.
    """

    seed: int = 1
    kinds: tuple[FaultKind, ...] = FAULT_KINDS
    every_s: float = attrs.field(default=600.0, validator=attrs.validators.gt(0))
    lasting_s: tuple[float, float] = (5.0, 120.0)
    until_ms: int | None = None

    def active(self, now_ms: int) -> FaultKind | None:
        """Return the fault that is active at this time; ``None`` where there is none."""
        if self.until_ms is not None and now_ms >= self.until_ms:
            return None
        episode = _episode(self, now_ms // int(self.every_s * 1000))
        return episode.kind if episode.begin_ms <= now_ms < episode.end_ms else None

    def next_change_ms(self, now_ms: int) -> float:
        """Return the next time at which a fault may start or end; infinity for never."""
        if self.until_ms is not None and now_ms >= self.until_ms:
            return math.inf
        number = now_ms // int(self.every_s * 1000)
        changes_ms = (*_episode(self, number)[1:], *_episode(self, number + 1)[1:])
        return min(change_ms for change_ms in changes_ms if change_ms > now_ms)


@lru_cache(maxsize=64)
def _episode(plan: FaultPlan, number: int) -> _Episode:
    rng = random.Random(f"{plan.seed}:{number}")
    interval_ms = int(plan.every_s * 1000)
    shortest_s, longest_s = plan.lasting_s
    duration_s = shortest_s * math.exp(rng.random() * math.log(longest_s / shortest_s))
    begin_ms = number * interval_ms + int(rng.random() * interval_ms / 2)
    end_ms = min(begin_ms + int(duration_s * 1000), (number + 1) * interval_ms)
    return _Episode(rng.choice(plan.kinds), begin_ms, end_ms)
