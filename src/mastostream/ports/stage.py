"""The stage port: a part of the pipeline that the runner drives and the views show."""

from typing import Literal, Protocol

import attrs

__all__ = ["Stage", "StageHealth"]


class Stage(Protocol):
    """A part of the pipeline. Used by one thread."""

    @property
    def name(self) -> str:
        """The name in messages, metrics and views."""

    def step(self, timeout_s: float) -> int:
        """Do some work, waiting up to ``timeout_s`` for it; return how many records were processed.

        Raises:
            RetriableError: nothing was lost; call it again later.
            FatalError: this stage cannot continue.
        """

    def finish(self) -> None:
        """Store unfinished work before a clean end."""

    def close(self) -> None:
        """Release all resources; called once, after an error too."""


@attrs.frozen(kw_only=True)
class StageHealth:
    """The condition of a stage.

    Attributes:
        name: the stage's name.
        state: what the stage is doing.
        processed: records that it has processed since the start.
        rate_per_s: records that it processes per second, over the last seconds.
        detail: its current work, in a few words.
        trouble: why it does not do its work although it runs, such as a server that cannot be
            reached; empty if it does.
        error: the last error; ``None`` once it is over.
    """

    name: str
    state: Literal["starting", "running", "retrying", "failed", "stopped"]
    processed: int
    rate_per_s: float
    detail: str = ""
    trouble: str = ""
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it does its work."""
        return self.state not in ("failed", "retrying") and not self.trouble
