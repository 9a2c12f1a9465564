"""Messages within a Flink job: what one windowed analysis needs of one batch of records.

This module does not import Flink. A message is JSON, as the values that windows keep are JSON too.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from mastostream.core.analyses import Analysis
from mastostream.core.codec import decode
from mastostream.core.models import Rejected
from mastostream.core.windows import Arrival
from mastostream.engines.outputs import dead_letter
from mastostream.engines.per_post import Decoded
from mastostream.engines.window_outputs import arrivals_of
from mastostream.ports.log import NewRecord, Record

__all__ = ["WindowMessage", "WindowMessages", "decode_arrivals", "decode_message"]

_Packed = tuple[int, int, str, int, int, bool, Any]
"""A post in a message: partition, offset, key, event time and time of arrival in milliseconds since
1970, whether it is new, and the value that the window keeps."""

_encode: Final = msgspec.json.Encoder().encode


class WindowMessage(msgspec.Struct, array_like=True, frozen=True):
    """What one analysis gets from one batch.

    Attributes:
        arrivals: the posts of the batch in JSON, for :func:`decode_arrivals`.
        letters: the dead letters of the batch.
    """

    arrivals: msgspec.Raw
    letters: list[NewRecord]


_decode_message: Final = msgspec.json.Decoder(WindowMessage).decode
_decode_arrivals: Final = msgspec.json.Decoder(list[_Packed]).decode


def decode_message(data: bytes) -> WindowMessage:
    """Decode a message; its posts stay encoded."""
    return _decode_message(data)


def decode_arrivals(data: bytes) -> list[tuple[int, Arrival]]:
    """Decode the posts of a message, each with its offset."""
    return [
        (
            offset,
            Arrival(
                partition=partition,
                key=key,
                event_ms=event_ms,
                arrived_ms=arrived_ms,
                first=first,
                value=value,
            ),
        )
        for partition, offset, key, event_ms, arrived_ms, first, value in _decode_arrivals(data)
    ]


class WindowMessages:
    """Makes the messages: decodes each record once, and takes from it what each analysis keeps."""

    def __init__(
        self,
        analyses: Sequence[Analysis],
        topic: str,
        now_ms: Callable[[], int],
        *,
        tells_rejected: bool,
    ) -> None:
        """Prepare the analyses.

        Args:
            analyses: each has an aggregate.
            topic: the topic of the input, for dead letters.
            now_ms: returns the time of dead letters, in milliseconds since the epoch.
            tells_rejected: whether a record that cannot be decoded becomes a dead letter here. It
                does not where another function of the same job reads the same records.
        """
        self._analyses = tuple(analyses)
        self._topic = topic
        self._now_ms = now_ms
        self._tells_rejected = tells_rejected

    def messages(
        self,
        values: Iterable[bytes | None],
        partitions: Iterable[int],
        offsets: Iterable[int],
        keys: Iterable[str | None],
        timestamps_ms: Iterable[int],
    ) -> list[bytes | None]:
        """Return a message for each analysis; ``None`` where it would be empty.

        The arguments are columns, with one value for each record of the batch. Dead letters of
        records that cannot be decoded are in the message of the first analysis.
        """
        now_ms = self._now_ms()
        batch: list[Decoded] = []
        rejected: list[NewRecord] = []
        for value, partition, offset, key, timestamp_ms in zip(
            values, partitions, offsets, keys, timestamps_ms, strict=True
        ):
            record = Record(
                self._topic, int(partition), int(offset), int(timestamp_ms), key, value or b"", ()
            )
            item = decode(record.value)
            batch.append((record, item))
            if type(item) is Rejected and self._tells_rejected:
                rejected.append(dead_letter(record, "analyze", item.reasons, now_ms))
        messages: list[bytes | None] = []
        for analysis in self._analyses:
            arrivals, letters = arrivals_of(analysis, batch, now_ms)
            letters += rejected
            rejected = []
            packed = [_pack(record.offset, arrival) for record, arrival in arrivals]
            messages.append(_encode((packed, letters)) if packed or letters else None)
        return messages


def _pack(offset: int, arrival: Arrival) -> _Packed:
    return (
        arrival.partition,
        offset,
        arrival.key,
        arrival.event_ms,
        arrival.arrived_ms,
        arrival.first,
        arrival.value,
    )
