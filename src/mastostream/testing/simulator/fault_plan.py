"""Faults by chance: which happens when follows from a seed and the clock."""

import math
import random
from functools import lru_cache
from typing import Final, Literal, NamedTuple, get_args

import attrs

__all__ = ["FAULT_KINDS", "FaultKind", "FaultPlan"]

FaultKind = Literal[
    # each answer
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
"""What can go wrong.

- ``rate_limited``, ``rate_limited_bare``: 429, with and without headers.
- ``server_error``: 503. ``slow``: an answer takes 15 s. ``cut``: the connection closes in the
  middle of the body. ``truncated``: half of the JSON, as if it were the whole.
- ``closed_feed``: timelines answer ``[]`` and ``timelines_access`` says that they are disabled.
- ``no_lookup``: ``statuses?id[]=`` does not exist (404; GoToSocial: 405).
- ``no_streaming``: nor do streams (404); those that are open break.
- ``silent_streams``: heartbeats go on, events are lost.
- ``dead_streams``: those that are open stay open, and nothing at all is sent on them any more.
- ``cut_streams``: all streams break. ``ended_streams``: all end cleanly, as with a revoked token.
- ``overtaking_deletes``: new posts and edits come 2.5 s late, deletions at once.
- ``swapped_events``: each new post and edit comes up to 2.5 s late, in another order.
- ``unavailable``: all streams break, all requests get 503.
- ``restart``: all connections break, and the port refuses. What happens meanwhile is never
  streamed.
"""

FAULT_KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)


class _Episode(NamedTuple):
    kind: FaultKind
    begin_ms: int
    end_ms: int


@attrs.frozen(kw_only=True)
class FaultPlan:
    """One fault in each stretch of time.

    Attributes:
        seed: another seed, other faults.
        kinds: those to choose from.
        every_s: how long a stretch is, on the server's clock.
        lasting_s: from and to: how long a fault lasts; it ends with the stretch at the latest.
        until_ms: no fault from this moment on; ``None`` for ever.
    """

    seed: int = 1
    kinds: tuple[FaultKind, ...] = FAULT_KINDS
    every_s: float = attrs.field(default=600.0, validator=attrs.validators.gt(0))
    lasting_s: tuple[float, float] = (5.0, 120.0)
    until_ms: int | None = None

    def active(self, now_ms: int) -> FaultKind | None:
        """Return what happens at this moment; ``None`` for nothing."""
        if self.until_ms is not None and now_ms >= self.until_ms:
            return None
        episode = _episode(self, now_ms // int(self.every_s * 1000))
        return episode.kind if episode.begin_ms <= now_ms < episode.end_ms else None

    def next_change_ms(self, now_ms: int) -> float:
        """Return when something begins or ends next, at the latest; infinity for never."""
        if self.until_ms is not None and now_ms >= self.until_ms:
            return math.inf
        number = now_ms // int(self.every_s * 1000)
        moments = (*_episode(self, number)[1:], *_episode(self, number + 1)[1:])
        return min(moment for moment in moments if moment > now_ms)


@lru_cache(maxsize=64)
def _episode(plan: FaultPlan, number: int) -> _Episode:
    rng = random.Random(f"{plan.seed}:{number}")
    stretch_ms = int(plan.every_s * 1000)
    shortest_s, longest_s = plan.lasting_s
    lasts_s = shortest_s * math.exp(rng.random() * math.log(longest_s / shortest_s))
    begin_ms = number * stretch_ms + int(rng.random() * stretch_ms / 2)
    end_ms = min(begin_ms + int(lasts_s * 1000), (number + 1) * stretch_ms)
    return _Episode(rng.choice(plan.kinds), begin_ms, end_ms)
