"""Where records end up."""

from collections.abc import Sequence
from typing import Protocol

from mastostream.ports.log import Positions, Record

__all__ = ["ArchiveSink"]


class ArchiveSink(Protocol):
    """Keeps the records of one topic in files. Used by one thread."""

    def positions(self) -> Positions:
        """Return where to read on, per partition: after the last record that was taken."""

    def write(self, records: Sequence[Record]) -> None:
        """Take records, each partition's in order and without a gap after :meth:`positions`.

        They are kept for good once :meth:`flush` has finished their file: until then a restart
        reads them again.

        Raises:
            RetriableError: not now; read on at :meth:`positions`, which may have gone back.
        """

    def flush(self, *, force: bool = False) -> None:
        """Finish the files that are due by age, or all of them. Needs no traffic: call it often.

        Raises:
            RetriableError: not now; read on at :meth:`positions`, which may have gone back.
        """

    def close(self) -> None:
        """Finish all files and let go; called also after an error; a second call does nothing."""
