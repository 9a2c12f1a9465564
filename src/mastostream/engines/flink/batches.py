"""Runs analyses on the columns of a batch of records, for a vectorised function of Flink.

This module does not import Flink. The result has one row for each record. For each analysis a row
has the key and the value of its output, since nearly all posts give one record. Whatever else there
is (several records of one post, dead letters) is packed into one more column, which a second
function of the job unpacks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from mastostream.core.analyses import Analysis
from mastostream.core.codec import decode
from mastostream.core.models import Rejected
from mastostream.engines.outputs import dead_letter
from mastostream.engines.per_post import PerPost
from mastostream.ports.log import NewRecord, Record

__all__ = ["REST", "Batches", "column_names", "packed", "unpacked"]

REST: Final = "rest"
"""The column of packed records: those that do not fit into the columns of an analysis."""

Header = tuple[str, bytes]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[tuple[str, str | None, bytes, list[Header]]]).decode


def column_names(analyses: Sequence[Analysis]) -> tuple[str, ...]:
    """Return the names of the result's columns: ``k0, v0, k1, v1 ..., rest``.

    ``k0`` and ``v0`` are the key and the value of the first analysis.
    """
    pairs = [(f"k{number}", f"v{number}") for number in range(len(analyses))]
    return (*(name for pair in pairs for name in pair), REST)


class Batches:
    """Runs analyses that work post by post, as the local engine does."""

    def __init__(
        self,
        analyses: Sequence[Analysis],
        topic: str,
        now_ms: Callable[[], int],
        *,
        raises: bool = False,
    ) -> None:
        """Prepare the analyses.

        Args:
            analyses: each has a function and a topic.
            topic: the topic of the input, for dead letters.
            now_ms: returns the time of dead letters, in milliseconds since the epoch.
            raises: whether :meth:`columns` raises what a function raises, instead of writing a
                dead letter.
        """
        self._hosts = [PerPost(analysis, None, raises=raises) for analysis in analyses]
        self._topic = topic
        self._now_ms = now_ms

    def columns(
        self,
        values: Iterable[bytes | None],
        partitions: Iterable[int],
        offsets: Iterable[int],
        keys: Iterable[str | None],
    ) -> list[list[object]]:
        """Return the columns that :func:`column_names` names, with a row for each record.

        The arguments are columns too, with the values, partitions, offsets and keys of the records.

        Raises:
            Exception: a function failed, and ``raises`` is set.
        """
        columns: list[list[object]] = [[] for _ in range(2 * len(self._hosts) + 1)]
        now_ms = self._now_ms()
        for value, partition, offset, key in zip(values, partitions, offsets, keys, strict=True):
            record = Record(self._topic, int(partition), int(offset), 0, key, value or b"", ())
            item = decode(record.value)
            rest: list[NewRecord] = []
            if type(item) is Rejected:
                rest.append(dead_letter(record, "analyze", item.reasons, now_ms))
            for number, host in enumerate(self._hosts):
                outputs = host.apply(((record, item),), now_ms)
                is_single = len(outputs) == 1 and outputs[0].topic == host.analysis.topic
                columns[2 * number].append(outputs[0].key if is_single else None)
                columns[2 * number + 1].append(outputs[0].value if is_single else None)
                if not is_single:
                    rest += outputs
            columns[-1].append(packed(rest))
        return columns


def packed(records: Sequence[NewRecord]) -> bytes | None:
    """Pack records into the column :data:`REST`; ``None`` without records."""
    return _encode(records) if records else None


def unpacked(rest: bytes) -> Iterator[tuple[str, str | None, bytes, Mapping[str, bytes]]]:
    """Yield topic, key, value and headers of each packed record."""
    for topic, key, value, headers in _decode(rest):
        yield topic, key, value, dict(headers)
