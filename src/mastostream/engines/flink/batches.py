"""What the vectorised function of a Flink job does with a batch of records. Flink is not needed.

One row comes for each record. Of a row go out, for each analysis, the key and the value of its one
record, which is how nearly all posts are; and whatever else there is (several records of one post,
dead letters), packed, for a second function to take apart.
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

__all__ = ["REST", "Batches", "column_names", "unpacked"]

REST: Final = "rest"
"""The column of what the others have no room for."""

Header = tuple[str, bytes]
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(list[tuple[str, str | None, bytes, list[Header]]]).decode


def column_names(analyses: Sequence[Analysis]) -> tuple[str, ...]:
    """Return what comes of a row: ``k0, v0, k1, v1 ..., rest``."""
    pairs = [(f"k{number}", f"v{number}") for number in range(len(analyses))]
    return (*(name for pair in pairs for name in pair), REST)


class Batches:
    """Hosts analyses that work post by post, as the local engine does."""

    def __init__(
        self,
        analyses: Sequence[Analysis],
        topic: str,
        now_ms: Callable[[], int],
        *,
        raises: bool = False,
    ) -> None:
        """Begin.

        Args:
            analyses: each with a function and a topic.
            topic: the input, for dead letters.
            now_ms: their time.
            raises: whether what a function raises is passed on, instead of a dead letter.
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
        """Return the columns that :func:`column_names` names, a row for each record.

        Raises:
            Exception: a function failed, and that is to be passed on.
        """
        found: list[list[object]] = [[] for _ in range(2 * len(self._hosts) + 1)]
        now_ms = self._now_ms()
        for value, partition, offset, key in zip(values, partitions, offsets, keys, strict=True):
            record = Record(self._topic, int(partition), int(offset), 0, key, value or b"", ())
            item = decode(record.value)
            rest: list[NewRecord] = []
            if type(item) is Rejected:
                rest.append(dead_letter(record, "analyze", item.reasons, now_ms))
            for number, host in enumerate(self._hosts):
                outputs = host.apply(((record, item),), now_ms)
                one = len(outputs) == 1 and outputs[0].topic == host.analysis.topic
                found[2 * number].append(outputs[0].key if one else None)
                found[2 * number + 1].append(outputs[0].value if one else None)
                if not one:
                    rest += outputs
            found[-1].append(_pack(rest) if rest else None)
        return found


def unpacked(rest: bytes) -> Iterator[tuple[str, str | None, bytes, Mapping[str, bytes]]]:
    """Yield topic, key, value and headers of each packed record."""
    for topic, key, value, headers in _unpack(rest):
        yield topic, key, value, dict(headers)
