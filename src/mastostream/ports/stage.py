"""A stage of the pipeline, as the runner drives it and the views show it."""

from typing import Literal, Protocol

import attrs

__all__ = ["Stage", "StageHealth"]


class Stage(Protocol):
    """One part of the pipeline. All calls come from one thread."""

    @property
    def name(self) -> str:
        """What it is called in messages, metrics and views."""

    def step(self, timeout_s: float) -> int:
        """Do some work, waiting up to ``timeout_s`` for it; return how many records were done.

        Raises:
            RetriableError: call again later; nothing was lost.
            FatalError: this stage cannot go on.
        """

    def finish(self) -> None:
        """Store what is worth storing before a clean end."""

    def close(self) -> None:
        """Let go; called once, also after an error."""


@attrs.frozen(kw_only=True)
class StageHealth:
    """How a stage fares.

    Attributes:
        processed: records since the start.
        rate_per_s: records a second, over the last seconds.
        detail: what it is at, in a few words.
        error: the last error, while it lasts.
    """

    name: str
    state: Literal["starting", "running", "retrying", "failed", "stopped"]
    processed: int
    rate_per_s: float
    detail: str = ""
    error: str | None = None
