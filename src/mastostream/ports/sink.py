"""Where raw records are kept."""

from collections.abc import Sequence
from typing import Protocol

from mastostream.ports.log import Positions, Record

__all__ = ["ArchiveSink"]


class ArchiveSink(Protocol):
    """Keeps the records of one topic in files. Used by one thread.

    Several sinks may write one archive: a partition belongs to whoever gets its next file finished.
    """

    def reload(self) -> None:
        """Give up the files that are open and read back what is kept: called before all else.

        Also when partitions have come or gone, since others may have gone on with them.

        Raises:
            RetriableError: not now; call it again.
            DamagedError: what is kept has a gap or an overlap.
            FatalError: the archive cannot be used.
        """

    def positions(self) -> Positions:
        """Return where to read on, per partition: after the last record that was taken.

        Raises:
            RetriableError, DamagedError, FatalError: as :meth:`reload`.
        """

    def write(self, records: Sequence[Record]) -> None:
        """Take records, each partition's in order, from :meth:`positions` on.

        Offsets may have holes: what is missing there are no records. They are kept for good once
        :meth:`flush` has finished their file: until then a restart reads them again.

        Raises:
            RetriableError: not now, or another writer has gone on with a partition; read on at
                :meth:`positions`, which may have changed.
        """

    def flush(self, *, force: bool = False) -> Positions:
        """Finish the files that are due by age, or all of them. Needs no traffic: call it often.

        Returns what this writer has finished since :meth:`reload`: all before these positions is
        kept for good.

        Raises:
            RetriableError: as :meth:`write`.
        """

    def close(self) -> None:
        """Finish all files and let go; called also after an error; a second call does nothing."""
