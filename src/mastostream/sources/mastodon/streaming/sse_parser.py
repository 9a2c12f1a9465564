r"""Server-sent events, from bytes that come in pieces.

The format is the HTML standard's (section 9.2.6), but for one thing: a line ends at ``\n`` alone.
Mastodon sends U+2028 and U+0085 as they are, and a status is kept as it was sent, byte by byte.
"""

from typing import Final

from mastostream.exceptions import RetriableError

__all__ = ["MAX_EVENT_BYTES", "SseParser"]

MAX_EVENT_BYTES: Final = 32 * 2**20
"""The longest event that is read. Mastodon has no limit of its own; 5 MB have been seen."""


class SseParser:
    """Holds what has come of an event so far: never more than it may be long."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """Begin a stream.

        Args:
            max_event_bytes: the longest event that is read.
        """
        self._max_event_bytes = max_event_bytes
        self._pieces: list[bytes] = []  # of a line: it is put together once, at its end
        self._pieces_bytes = 0
        self._event = ""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> list[tuple[str, bytes]]:
        r"""Return the events that these bytes complete: each one's name and data.

        The name is ``message`` where none was sent; several lines of data are joined by ``\n``. A
        ``\r`` before the end of a line is dropped. Comments (heartbeats) and what is no field of
        an event are passed over. Half an event stays, until the rest of it comes.

        Raises:
            RetriableError: one event is longer than it may be. Read no further.
        """
        end = chunk.rfind(b"\n")
        if end < 0:
            self._keep(chunk)
            return []
        lines = b"".join((*self._pieces, chunk[:end])).split(b"\n")
        self._pieces.clear()
        self._pieces_bytes = 0
        events = self._events(lines)
        self._keep(chunk[end + 1 :])
        return events

    def _events(self, lines: list[bytes]) -> list[tuple[str, bytes]]:
        events: list[tuple[str, bytes]] = []
        for raw in lines:
            connection = raw[:-1] if raw.endswith(b"\r") else raw
            if not connection:
                if self._data:
                    events.append((self._event or "message", b"\n".join(self._data)))
                    self._data = []
                    self._data_bytes = 0
                self._event = ""
                continue
            field, _, value = connection.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
                self._data_bytes += len(connection)
                self._check()
            elif field == b"event":
                self._event = value.removeprefix(b" ").decode(errors="replace")
        return events

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._pieces_bytes += len(piece)
        self._check()

    def _check(self) -> None:
        if self._pieces_bytes + self._data_bytes > self._max_event_bytes:
            raise RetriableError(f"an event of more than {self._max_event_bytes} bytes came")
