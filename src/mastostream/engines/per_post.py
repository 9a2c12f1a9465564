"""Runs an analysis that works post by post: its function gets one post at a time."""

from collections.abc import Iterable, Sequence
from typing import Any

from mastostream.core.analyses import Analysis
from mastostream.core.codec import encode
from mastostream.core.models import Deletion, Post, Rejected
from mastostream.engines.outputs import (
    Calls,
    as_sequence,
    dead_letter,
    explain,
    has_key,
    is_one,
    new_record,
    to_record,
)
from mastostream.ports.log import NewRecord, Progress, Record

__all__ = ["Decoded", "PerPost"]

Decoded = tuple[Record, Post | Deletion | Rejected]


class PerPost:
    """Runs one analysis, and keeps its positions and the results that are only shown.

    Attributes:
        analysis: the analysis; it has a function.
        positions: the offset of the next record to read, by partition.
        shown: results of an analysis without a topic, until :meth:`take_shown`.
        calls: how often the function was called, and failed.
    """

    def __init__(
        self, analysis: Analysis, progress: Progress | None, *, raises: bool = False
    ) -> None:
        """Start from the stored progress.

        Args:
            analysis: an analysis with a function.
            progress: how far it has read; ``None`` for an analysis that has read nothing yet.
            raises: whether :meth:`apply` raises what the function raises, instead of writing a
                dead letter.
        """
        self.analysis = analysis
        self.positions = dict(progress.positions) if progress else {}
        self.shown: list[object] = []
        self.calls = Calls("posts")
        self._raises = raises

    def apply(self, batch: Iterable[Decoded], now_ms: int, now_s: float = 0.0) -> list[NewRecord]:  # noqa: ARG002 - Windowed.apply uses it
        """Return the records and the dead letters that these posts give.

        A deletion goes to the topic of the analysis as it is.

        Args:
            batch: records, each with what was decoded from it.
            now_ms: the time of dead letters, in milliseconds since the epoch.
            now_s: not used.

        Raises:
            Exception: the function failed, and ``raises`` is set.
        """
        function, topic = self.analysis.function, self.analysis.topic
        assert function is not None  # noqa: S101 - the engine sorts analyses by their kind
        outputs: list[NewRecord] = []
        for record, item in batch:
            if type(item) is Post:
                self.calls.done += 1
                try:
                    result: Any = function(item)
                    if result is None:
                        continue
                    if topic is None:
                        self.shown.extend(as_sequence(result))
                    elif has_key(type(result)) and type(result.key) is str:  # type: ignore[arg-type]  # mypy: a class is not hashable
                        outputs.append(new_record((topic, result.key, encode(result), ())))
                    elif is_one(type(result)):  # type: ignore[arg-type]  # mypy: a class is not hashable
                        outputs.append(to_record(topic, result, item, record.value))
                    else:
                        outputs += [to_record(topic, part, item, record.value) for part in result]
                except Exception as error:
                    if self._raises:
                        raise
                    self.calls.failed += 1
                    self.calls.error = explain(error)
                    stage = f"analyze:{self.analysis.name}"
                    outputs.append(dead_letter(record, stage, (self.calls.error,), now_ms))
            elif type(item) is Deletion and topic is not None:
                outputs.append(NewRecord(topic, item.key, record.value))
        return outputs

    def due(self, now_s: float) -> bool:  # noqa: ARG002 - Windowed.due uses it
        """Whether the progress has to be stored now: always."""
        return True

    def progress(self) -> Progress:
        """How far the analysis has read."""
        return Progress(positions=dict(self.positions))

    def complaints(self) -> list[str]:
        """Return what is wrong with the analysis; nothing if it works for nine posts of ten."""
        return [self.calls.complaint] if self.calls.complaint else []

    def take_shown(self) -> Sequence[object]:
        """Return the results that are only shown, and forget them."""
        shown, self.shown = self.shown, []
        return shown
