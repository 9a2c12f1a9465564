"""An analysis that works post by post."""

from collections.abc import Iterable, Sequence
from typing import Any

from mastostream.core.analyses import Analysis
from mastostream.core.codec import encode
from mastostream.core.models import Deletion, Post, Rejected
from mastostream.engines.outputs import (
    dead_letter,
    each,
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
    """Hosts one analysis: its position, and what it brings."""

    def __init__(
        self, analysis: Analysis, progress: Progress | None, *, raises: bool = False
    ) -> None:
        """Begin.

        Args:
            analysis: with a function.
            progress: where it stands.
            raises: whether :meth:`apply` passes on what the function raises.
        """
        self.analysis = analysis
        self.positions = dict(progress.positions) if progress else {}
        self.shown: list[object] = []
        self._raises = raises

    def apply(self, batch: Iterable[Decoded], now_ms: int) -> list[NewRecord]:
        """Return the records, and the dead letters, that these posts give.

        Raises:
            Exception: the function failed, and that is to be passed on.
        """
        function, topic = self.analysis.function, self.analysis.topic
        assert function is not None  # noqa: S101 - the engine sorts analyses by their kind
        outputs: list[NewRecord] = []
        for record, item in batch:
            if type(item) is Post:
                try:
                    result: Any = function(item)
                    if result is None:
                        continue
                    if topic is None:
                        self.shown.extend(each(result))
                    elif has_key(type(result)) and type(result.key) is str:  # type: ignore[arg-type]  # mypy: a class is not hashable
                        outputs.append(new_record((topic, result.key, encode(result), ())))
                    elif is_one(type(result)):  # type: ignore[arg-type]  # mypy: a class is not hashable
                        outputs.append(to_record(topic, result, item, record.value))
                    else:
                        outputs += [to_record(topic, one, item, record.value) for one in result]
                except Exception as error:
                    if self._raises:
                        raise
                    stage = f"analyze:{self.analysis.name}"
                    outputs.append(dead_letter(record, stage, (explain(error),), now_ms))
            elif type(item) is Deletion and topic is not None:
                outputs.append(NewRecord(topic, item.key, record.value))
        return outputs

    def due(self, now_s: float) -> bool:  # noqa: ARG002 - as for a windowed analysis
        """Whether its progress has to be stored now: always."""
        return True

    def progress(self) -> Progress:
        """How far it has come."""
        return Progress(positions=dict(self.positions))

    def take_shown(self) -> Sequence[object]:
        """Hand over the results that are only shown."""
        shown, self.shown = self.shown, []
        return shown
