"""Messages within a Flink job, about posts and about windows.

This module does not import Flink. The first step of the job decodes records in batches. Of each
post it gives one message for each windowed analysis, in a row with two columns for each analysis:
the key of the post, and the message. Late records and dead letters are packed into one more column,
as :mod:`batches` does.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from mastostream.core.analyses import Analysis
from mastostream.core.codec import decode
from mastostream.core.models import Rejected
from mastostream.core.windows import Entry
from mastostream.engines.flink.batches import packed
from mastostream.engines.outputs import dead_letter
from mastostream.engines.window_outputs import sightings_of, spec_of
from mastostream.ports.log import NewRecord, Record

__all__ = [
    "PostMessage",
    "WindowMessages",
    "decode_entry",
    "decode_message",
    "encode_entry",
    "encode_message",
]

PostMessage = tuple[int, int | None, bytes]
"""A version of a post, or its deletion: when it was observed, when the post was written (``None``
for a deletion), and what the analysis keeps of it, as JSON. Times are milliseconds since 1970."""

_encoder: Final = msgspec.msgpack.Encoder()
_decode_message: Final = msgspec.msgpack.Decoder(PostMessage).decode
_decode_entry: Final = msgspec.msgpack.Decoder(Entry).decode


def encode_message(message: PostMessage) -> bytes:
    """Encode a message about a post."""
    return _encoder.encode(message)


def decode_message(data: bytes) -> PostMessage:
    """Decode what :func:`encode_message` has encoded."""
    message: PostMessage = _decode_message(data)
    return message


def encode_entry(entry: Entry) -> bytes:
    """Encode the entry of a post in a window, for messages and for Flink's state."""
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Decode what :func:`encode_entry` has encoded."""
    return _decode_entry(data)


class WindowMessages:
    """Makes the messages: decodes each record once, and takes from it what each analysis keeps."""

    def __init__(
        self,
        analyses: Sequence[Analysis],
        topic: str,
        now_ms: Callable[[], int],
        *,
        horizon_ms: int,
        tells_rejected: bool,
    ) -> None:
        """Prepare the analyses.

        Args:
            analyses: each has an aggregate.
            topic: the topic of the input, for dead letters.
            now_ms: returns the time of dead letters, in milliseconds since the epoch.
            horizon_ms: how long after its creation a post may be observed and still count.
            tells_rejected: whether a record that cannot be decoded becomes a dead letter here. It
                does not where another function of the same job reads the same records.
        """
        self._analyses = [(analysis, spec_of(analysis, horizon_ms)) for analysis in analyses]
        self._topic = topic
        self._now_ms = now_ms
        self._tells_rejected = tells_rejected

    def columns(
        self,
        values: Iterable[bytes | None],
        partitions: Iterable[int],
        offsets: Iterable[int],
        keys: Iterable[str | None],
        timestamps_ms: Iterable[int],
    ) -> list[list[object]]:
        """Return the columns that :func:`batches.column_names` names, with a row for each record.

        The arguments are columns too, with one value for each record of the batch. An analysis to
        which a record says nothing has ``None`` in its columns.
        """
        columns: list[list[object]] = [[] for _ in range(2 * len(self._analyses) + 1)]
        now_ms = self._now_ms()
        for value, partition, offset, key, timestamp_ms in zip(
            values, partitions, offsets, keys, timestamps_ms, strict=True
        ):
            record = Record(
                self._topic, int(partition), int(offset), int(timestamp_ms), key, value or b"", ()
            )
            item = decode(record.value)
            rest: list[NewRecord] = []
            if type(item) is Rejected and self._tells_rejected:
                rest.append(dead_letter(record, "analyze", item.reasons, now_ms))
            for number, (analysis, spec) in enumerate(self._analyses):
                found = sightings_of(analysis, spec, ((record, item),), now_ms)
                rest += found.records
                post = message = None
                for sighting in found.sightings:
                    post = sighting.key
                    message = encode_message(
                        (sighting.observed_ms, sighting.created_ms, sighting.value)
                    )
                columns[2 * number].append(post)
                columns[2 * number + 1].append(message)
            columns[-1].append(packed(rest))
        return columns
