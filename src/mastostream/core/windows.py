"""Windows in event time, as views: their records depend on the posts, not on the order of arrival.

A window is ``[start, end)``, aligned to the epoch; windows follow each other (tumbling) or overlap
(hopping). A post is in the windows of its ``created_at``, once, with its newest version that can be
counted; a deleted post stays there and counts nothing. The Dataflow model calls this accumulating
results: each result replaces the one before it (Akidau and others, 2015, section 2.3).

What cannot be counted is told by a version alone, so that live runs, replays and restarts agree:
see :func:`not_countable`. All that is known of a post is its :class:`PostState`. Engines keep the
states, apply versions and deletions to them, and put the entries of :func:`entries` into windows.

All times are milliseconds since the epoch. The functions read no clock.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

import attrs
import msgspec

__all__ = [
    "AHEAD_MS",
    "HORIZON_MS",
    "Entry",
    "PostState",
    "WindowSpec",
    "add_deletion",
    "add_version",
    "counted_values",
    "decode_state",
    "encode_state",
    "entries",
    "entry_of",
    "newest_observation_ms",
    "not_countable",
    "windows_of",
]

AHEAD_MS: Final = 3_600_000
"""How far a post may be written after it was observed: one hour. The clocks of servers differ by
minutes."""

HORIZON_MS: Final = 7 * 24 * 3_600_000
"""Default of ``WindowSpec.horizon_ms``: 7 days. The collector reads posts again for one day."""

_MOST_DELETIONS: Final = 8
"""How many deletions are kept of a post. One server announces one; only a broken one announces
thousands, of which the newest are kept."""

_MOST_MOVES: Final = 8
"""How many other times of creation are kept of a post. Some servers round them to seconds, so that
a post that several servers show may have two."""


@attrs.frozen(kw_only=True)
class WindowSpec:
    """Which windows there are, and what counts in them. All are milliseconds.

    Attributes:
        size_ms: length of a window, above 0.
        slide_ms: distance between the starts of two windows: ``size_ms``, or a whole part of it.
        horizon_ms: how long after its creation a post may be observed and still count, at least 0.
    """

    size_ms: int = attrs.field(validator=attrs.validators.gt(0))
    slide_ms: int = attrs.field(
        default=attrs.Factory(lambda self: self.size_ms, takes_self=True),
        validator=attrs.validators.gt(0),
    )
    horizon_ms: int = attrs.field(default=HORIZON_MS, validator=attrs.validators.ge(0))

    def __attrs_post_init__(self) -> None:
        if self.size_ms % self.slide_ms:
            raise ValueError(f"{self.slide_ms} ms is not a whole part of {self.size_ms} ms")

    def starts_of(self, event_ms: int) -> range:
        """Return the starts of the windows that contain an event time, oldest first."""
        last = event_ms - event_ms % self.slide_ms
        return range(last - self.size_ms + self.slide_ms, last + 1, self.slide_ms)


class Entry(NamedTuple):
    """A post in a window.

    Attributes:
        observed_ms: when the newest of what is known of the post was observed.
        counts: ``False`` for a post that is deleted, or that another window has now.
        value: what the analysis keeps of the post, as JSON; ``b""`` where it does not count.
    """

    observed_ms: int
    counts: bool
    value: bytes


class PostState(msgspec.Struct, array_like=True, frozen=True):
    """What is known of a post: its newest version that can be counted, and its deletions.

    Attributes:
        created_ms: when the post was written; ``None`` while only deletions are known.
        observed_ms: when the newest version was observed.
        value: what the analysis keeps of the newest version.
        deleted_ms: when deletions were observed, oldest first; none is older than the version.
        moved_ms: other times of creation that versions of the post had.
    """

    created_ms: int | None = None
    observed_ms: int = 0
    value: msgspec.Raw = msgspec.Raw(b"null")
    deleted_ms: tuple[int, ...] = ()
    moved_ms: tuple[int, ...] = ()


_UNKNOWN: Final = PostState()
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(PostState).decode


def encode_state(state: PostState) -> bytes:
    """Return the state as JSON. All engines store it in this form."""
    return _encode(state)


def decode_state(data: bytes) -> PostState:
    """Return the state that :func:`encode_state` has encoded."""
    return _decode(data)


def not_countable(
    spec: WindowSpec, created_ms: int, observed_ms: int, bound_ms: int
) -> Literal["late", "ahead"] | None:
    """Return why a version of a post cannot be counted, ``None`` if it can.

    Args:
        spec: the rules of the windows.
        created_ms: when the post was written.
        observed_ms: when the version was observed.
        bound_ms: the same for a version with a stamp. Without one nobody says when it was observed,
            and it is the log's timestamp.

    Returns:
        ``late`` if it was observed more than ``horizon_ms`` after its creation, ``ahead`` if it was
        written more than :data:`AHEAD_MS` after ``bound_ms``.
    """
    if observed_ms - created_ms > spec.horizon_ms:
        return "late"
    return "ahead" if created_ms - bound_ms > AHEAD_MS else None


def add_version(
    state: PostState | None, created_ms: int, observed_ms: int, value: bytes
) -> PostState:
    """Return the state of a post of which one more version is known, which can be counted.

    The newest version counts. Of equal ones the later call counts, of a version and a deletion too.
    """
    if state is None or state.created_ms is None:
        deletions = () if state is None else state.deleted_ms
        return PostState(
            created_ms, observed_ms, msgspec.Raw(value), _after(deletions, observed_ms)
        )
    if observed_ms < state.observed_ms:
        if created_ms == state.created_ms or created_ms in state.moved_ms:
            return state
        moved = _moved(state.moved_ms, created_ms)
        return msgspec.structs.replace(state, moved_ms=moved)
    moved = state.moved_ms
    if created_ms != state.created_ms:
        moved = _moved((each for each in moved if each != created_ms), state.created_ms)
    return PostState(
        created_ms, observed_ms, msgspec.Raw(value), _after(state.deleted_ms, observed_ms), moved
    )


def add_deletion(state: PostState | None, observed_ms: int) -> PostState:
    """Return the state of a post of which one more deletion is known."""
    state = state or _UNKNOWN
    if observed_ms in state.deleted_ms or (
        state.created_ms is not None and observed_ms < state.observed_ms
    ):
        return state
    deletions = tuple(sorted((*state.deleted_ms, observed_ms)))[-_MOST_DELETIONS:]
    return msgspec.structs.replace(state, deleted_ms=deletions)


def windows_of(spec: WindowSpec, state: PostState) -> list[int]:
    """Return the starts of the windows that have a post, each once."""
    if state.created_ms is None:
        return []
    starts = list(spec.starts_of(state.created_ms))
    for moved_ms in state.moved_ms:
        starts += (start for start in spec.starts_of(moved_ms) if start not in starts)
    return starts


def entry_of(spec: WindowSpec, state: PostState, start_ms: int) -> Entry:
    """Return the entry of a post in one of its windows.

    A deletion that was observed more than ``horizon_ms`` after the post was written does not count.

    Args:
        spec: the rules of the windows.
        state: what is known of the post.
        start_ms: one of :func:`windows_of` the post.
    """
    created_ms, observed_ms = state.created_ms, state.observed_ms
    assert created_ms is not None  # noqa: S101 - otherwise no window has the post
    counts = start_ms <= created_ms < start_ms + spec.size_ms
    for deleted_ms in state.deleted_ms:
        if deleted_ms - created_ms <= spec.horizon_ms:
            observed_ms, counts = deleted_ms, False
    return Entry(observed_ms, counts, bytes(state.value) if counts else b"")


def entries(spec: WindowSpec, state: PostState | None) -> dict[int, Entry]:
    """Return the entries of a post, by the starts of the windows that have it."""
    if state is None:
        return {}
    return {start: entry_of(spec, state, start) for start in windows_of(spec, state)}


def counted_values(window: Mapping[str, Entry]) -> list[Any]:
    """Return the values of the posts of a window that count, in the order of their keys."""
    counted = (window[key].value for key in sorted(window) if window[key].counts)
    return msgspec.json.decode(b"[" + b",".join(counted) + b"]", type=list[Any])


def newest_observation_ms(window: Mapping[str, Entry]) -> int:
    """Return when the newest of what is known of a window's posts was observed."""
    return max(entry.observed_ms for entry in window.values())


def _after(deletions: tuple[int, ...], observed_ms: int) -> tuple[int, ...]:
    """Return the deletions that were observed after a version."""
    return tuple(each for each in deletions if each > observed_ms) if deletions else ()


def _moved(known: Iterable[int], created_ms: int) -> tuple[int, ...]:
    return tuple(sorted((*known, created_ms))[-_MOST_MOVES:])
