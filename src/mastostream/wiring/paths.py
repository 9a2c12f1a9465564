"""The paths of a pipeline's data, its clock, and the locks that keep out a second process."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
from filelock import FileLock, Timeout

from mastostream.config import Settings
from mastostream.exceptions import BusyError, ConfigurationError, FatalError
from mastostream.ports.clock import Clock, ScaledClock, SystemClock

__all__ = ["DataPaths", "data_paths", "name_prefix", "stage_lock", "system_clock"]

_CLOCK: Final = "MASTOSTREAM_SIMULATED_CLOCK"
"""Environment variable that makes a process use the clock of a simulation."""


def system_clock() -> Clock:
    """Return the machine's clock, or the one of the simulation that this process is part of.

    Raises:
        ConfigurationError: the simulation's clock cannot be read.
    """
    text = os.environ.get(_CLOCK)
    if not text:
        return SystemClock()
    try:
        real_ms, simulated_ms, speed = text.split(",")
        return ScaledClock(int(real_ms), int(simulated_ms), float(speed))
    except ValueError:
        raise ConfigurationError(
            f"{_CLOCK}={text!r}: expected three numbers: milliseconds since 1970 by the machine's "
            "clock, by the simulation's, and the speed"
        ) from None


@attrs.frozen(kw_only=True)
class DataPaths:
    """The paths of one pipeline's data.

    Attributes:
        folder: the data folder.
        log: the SQLite file of the log and the index.
        collector_state: the SQLite file of the collector's state store.
        archive: the archive's folder, a path or a URL.
        locks: the folder of the stages' lock files.
    """

    folder: Path
    log: Path
    collector_state: Path
    archive: str
    locks: Path


def name_prefix(settings: Settings) -> str:
    """Return the prefix that tells this pipeline's names from others' on the same Kafka."""
    return settings.kafka.topic_prefix if settings.log == "kafka" else ""


def data_paths(settings: Settings) -> DataPaths:
    """Return the paths of the data; nothing is created.

    Pipelines with different prefixes on one Kafka have separate files in one folder, since the
    state store of a collector says which posts are in its own topic.
    """
    folder, prefix = Path(settings.data), name_prefix(settings)
    return DataPaths(
        folder=folder,
        log=folder / f"{prefix}mastostream.sqlite3",
        collector_state=folder / f"{prefix}collector.sqlite3",
        archive=settings.archive.folder or str(folder / "archive"),
        locks=folder / "locks",
    )


@contextmanager
def stage_lock(settings: Settings, stages: Sequence[str]) -> Iterator[None]:
    """Hold the locks of these stages: no second process runs them on the same data folder.

    With the log in Kafka, processes share the other stages' work, so only the collector is locked:
    its state store is in the data folder.

    Raises:
        BusyError: another process holds one of the locks.
        FatalError: the folder cannot be written.
    """
    if settings.log == "kafka":
        stages = [stage for stage in stages if stage == "collect"]
    folder, prefix = data_paths(settings).locks, name_prefix(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FatalError(f"cannot write {folder.parent}: {error.strerror}") from error
    locks = [FileLock(folder / f"{prefix}{stage}.lock") for stage in stages]
    taken: list[FileLock] = []
    try:
        for lock, stage in zip(locks, stages, strict=True):
            owner = folder / f"{prefix}{stage}.pid"
            try:
                lock.acquire(timeout=0)
            except Timeout:
                pid = owner.read_text().strip() if owner.is_file() else "unknown"
                raise BusyError(
                    f"another process (pid {pid}) already runs '{stage}' on {folder.parent}: "
                    "stop it, or choose another folder with --data"
                ) from None
            taken.append(lock)
            owner.write_text(f"{os.getpid()}\n")
        yield
    finally:
        for lock in taken:
            lock.release()
