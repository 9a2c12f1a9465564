r"""A parser of server-sent events, for bytes that arrive in pieces.

The format is the HTML standard's (section 9.2.6), with one exception: only ``\n`` ends a line.
Mastodon sends U+2028 and U+0085 as they are, and every byte of a status has to be kept.
"""

from typing import Final

from mastostream.exceptions import RetriableError

__all__ = ["MAX_EVENT_BYTES", "SseParser"]

MAX_EVENT_BYTES: Final = 32 * 2**20
"""The longest event that is read. Mastodon has no limit of its own; one event took 5 MB."""


class SseParser:
    """Parses one stream. It holds an unfinished event, but never more than ``max_event_bytes``."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """Start at the beginning of a stream.

        Args:
            max_event_bytes: the longest event that is read, in bytes.
        """
        self._max_event_bytes = max_event_bytes
        self._pieces: list[bytes] = []  # pieces of a line, which are joined once, at its end
        self._pieces_bytes = 0
        self._event = ""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> list[tuple[str, bytes]]:
        r"""Return the name and the data of every event that these bytes complete.

        The name is ``message`` if none was sent. Several lines of data are joined by ``\n``. A
        ``\r`` before the end of a line is dropped. Comments (heartbeats) and unknown fields are
        ignored. An unfinished event is kept until the rest of it arrives.

        Raises:
            RetriableError: an event is too long. The parser cannot be used any more.
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
            line = raw[:-1] if raw.endswith(b"\r") else raw
            if not line:
                if self._data:
                    events.append((self._event or "message", b"\n".join(self._data)))
                    self._data = []
                    self._data_bytes = 0
                self._event = ""
                continue
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
                self._data_bytes += len(line)
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
