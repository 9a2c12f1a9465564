"""From a topic to the archive."""

from typing import Final

from mastostream.ports.log import LogReader
from mastostream.ports.sink import ArchiveSink

__all__ = ["Archiver"]

BATCH: Final = 1_000


class Archiver:
    """Keeps every record of a topic. A :class:`ports.stage.Stage`.

    Delivery: exactly once. The archive's own files say where to go on; the reader's committed
    position is for those who want to know how far it is.
    """

    def __init__(self, reader: LogReader, sink: ArchiveSink) -> None:
        """Go on where the archive ends; reader and sink are closed with the archiver."""
        self.archived = 0
        self._reader = reader
        self._sink = sink
        self._failed = True

    @property
    def name(self) -> str:
        """``archive``."""
        return "archive"

    def step(self, timeout_s: float) -> int:
        """Archive one batch; after a RetriableError, go back to where the archive ends."""
        if self._failed:
            self._reader.seek(self._sink.positions())
        self._failed = True
        records = self._reader.read(BATCH, timeout_s)
        if records:
            self._sink.write(records)
        self._sink.flush()
        self._failed = False
        self.archived += len(records)
        return len(records)

    def finish(self) -> None:
        """Finish the open files, so that all that was read is kept."""
        self._sink.flush(force=True)
        positions = self._sink.positions()
        if positions:
            self._reader.commit(positions)

    def close(self) -> None:
        """Close sink and reader."""
        self._sink.close()
        self._reader.close()
