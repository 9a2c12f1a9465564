"""The archive sink port: it keeps raw records in files."""

from collections.abc import Sequence
from typing import Protocol

from mastostream.ports.log import Positions, Record

__all__ = ["ArchiveSink"]


class ArchiveSink(Protocol):
    """Keeps the records of one topic in files. Used by one thread.

    Several sinks may write to one archive: a partition belongs to the sink that is the first to
    finish its next file.
    """

    def reload(self) -> None:
        """Abandon all open files, and read the positions of the archive.

        It has to be called before any other method, and again whenever partitions were assigned or
        revoked, since other sinks may have written them meanwhile.

        Raises:
            RetriableError: the archive cannot be read now; call it again.
            DamagedError: the offsets of the archive's files have a gap or an overlap.
            FatalError: the archive cannot be used.
        """

    def positions(self) -> Positions:
        """Return the next offset to write, by partition: the one after the last record written.

        Raises:
            RetriableError, DamagedError, FatalError: see :meth:`reload`.
        """

    def write(self, records: Sequence[Record]) -> None:
        """Write records from :meth:`positions` on, in the order of their offsets by partition.

        Offsets may have holes, which belong to no record. Records are durable once :meth:`flush`
        has finished their file; after a restart before that, they have to be written again.

        Raises:
            RetriableError: the archive cannot be written now, or another sink has written a
                partition. Continue at :meth:`positions`, which may have changed.
        """

    def flush(self, *, force: bool = False) -> Positions:
        """Finish the files that are old enough, or all. Call it often, even without records.

        Returns the positions up to which this sink has finished files since :meth:`reload`: all
        records before them are durable.

        Raises:
            RetriableError: see :meth:`write`.
        """

    def close(self) -> None:
        """Finish all files and release them; called after an error too; may be called again."""
