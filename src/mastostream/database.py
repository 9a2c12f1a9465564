"""One SQLite file, opened the same way by the log, the index and the collector's memory.

Write-ahead logging lets several processes read while one writes. ``synchronous=FULL``: what a
commit has returned for is on the disk, so it survives the end of the process and of the machine.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mastostream.exceptions import DamagedError, FatalError, RetriableError

__all__ = ["BUSY_TIMEOUT_S", "connect", "transaction", "translated"]

BUSY_TIMEOUT_S: Final = 30.0
"""How long a writer waits for another one. A transaction here takes milliseconds."""


def connect(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Open the file, make it and its tables where they are missing, and check it.

    Args:
        path: the file; its folder is created.
        schema: ``CREATE ... IF NOT EXISTS`` statements, separated by ``;`` at a line's end.
        version: what ``PRAGMA user_version`` must say, 0 of a new file apart.

    Raises:
        DamagedError: the file is no SQLite database, or a damaged one.
        FatalError: the file is of another version, or the folder cannot be written.
        RetriableError: the disk is full, or another process holds the file for too long.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FatalError(f"cannot create the folder {path.parent}: {error.strerror}") from error
    with translated(path):
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection, path, schema, version)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, schema: str, version: int) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    with transaction(connection):
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, version):
            raise FatalError(
                f"{path} has layout {found}, this program reads {version}: use the version of "
                "mastostream that wrote it, or choose another data folder"
            )
        for statement in schema.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version:d}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block as one write transaction: all of it, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, each saying what to do about this file.

    Raises:
        RetriableError: the disk is full, or the file is busy.
        DamagedError: the file is damaged or no database.
        FatalError: the file cannot be read or written.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from error


def _translate(error: sqlite3.Error, path: Path) -> Exception:
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return RetriableError(f"the disk is full: free some space where {path} is")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RetriableError(f"another process holds {path}: it will be tried again")
    if primary in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return DamagedError(
            f"{path} is damaged or no mastostream file ({error}): move it away to begin anew, "
            "or restore it from a copy"
        )
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return FatalError(f"cannot write {path} ({error}): check the folder and its permissions")
    if primary == sqlite3.SQLITE_IOERR:
        return RetriableError(f"the disk failed to read or write {path} ({error})")
    return FatalError(f"{path}: {error}")
