"""SQLite access that the log, the index and the collector's state store share.

Write-ahead logging lets several processes read while one writes. With ``synchronous=FULL`` a
transaction is on the disk when its commit returns, so it survives a crash of the process and of the
machine.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mastostream.exceptions import DamagedError, FatalError, RetriableError

__all__ = ["BUSY_TIMEOUT_S", "connect", "transaction", "translated"]

BUSY_TIMEOUT_S: Final = 30.0
"""How long a writer waits for another writer, in seconds. A transaction takes milliseconds."""


def connect(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Open an SQLite file and check its version; create the file and its tables if missing.

    Args:
        path: the file; its folder is created.
        schema: ``CREATE ... IF NOT EXISTS`` statements, each but the last with ``;`` at the end of
            its line.
        version: the layout that this program reads. ``PRAGMA user_version`` must be equal to it,
            or 0, as in a new file.

    Raises:
        DamagedError: the file is not an SQLite database, or is damaged.
        FatalError: the file has another version, or the folder cannot be written.
        RetriableError: the disk is full, or another process has held the file for longer than
            ``BUSY_TIMEOUT_S``.
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
    connection.execute("PRAGMA journal_size_limit = 67108864")  # 64 MiB
    with transaction(connection):
        layout = connection.execute("PRAGMA user_version").fetchone()[0]
        if layout not in (0, version):
            raise FatalError(
                f"{path} has layout {layout}, this program reads {version}: use the version of "
                "mastostream that wrote it, or choose another data folder"
            )
        for statement in schema.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version:d}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block as one write transaction; an exception rolls all of it back."""
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
    """Turn SQLite's errors into this package's; each message says what to do about this file.

    Raises:
        RetriableError: the disk is full, or another process holds the file.
        DamagedError: the file is damaged, or is not an SQLite database.
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
