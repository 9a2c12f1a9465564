"""The durable queue of posts whose counts are to be refreshed: when, and from which server."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from mastostream.database import transaction, translated

__all__ = ["SCHEMA", "Due", "RefreshQueue"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS refreshes (
    key TEXT PRIMARY KEY,
    server TEXT NOT NULL,           -- the server to ask
    id TEXT NOT NULL,               -- the post's id on that server
    first_ms INTEGER NOT NULL,      -- when the post was first seen
    due_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS refreshes_by_due ON refreshes (server, due_ms);
"""


class Due(NamedTuple):
    """A post whose counts are due to be refreshed: its key, and its id on the server to ask."""

    key: str
    id: str


class RefreshQueue:
    """The table ``refreshes`` in the collector's state store."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, after_s: Sequence[float]
    ) -> None:
        """Use an open connection; it is not closed here.

        Args:
            path: the database's file, for messages.
            connection: the connection of the collector's state store.
            after_s: seconds after a post's first observation at which its counts are refreshed.
        """
        self._path = path
        self._connection = connection
        self._after_ms = sorted(int(seconds * 1000) for seconds in after_s)
        rows = connection.execute("SELECT DISTINCT server FROM refreshes")
        self._servers = {server for (server,) in rows}

    def begin(self, key: str, server: str, post_id: str, first_ms: int) -> None:
        """Schedule a post that was observed for the first time. Call it within a transaction."""
        if self._after_ms:
            self._servers.add(server)
            self._connection.execute(
                "INSERT OR IGNORE INTO refreshes VALUES (?, ?, ?, ?, ?)",
                (key, server, post_id, first_ms, first_ms + self._after_ms[0]),
            )

    def advance(self, key: str, done_ms: int) -> None:
        """Schedule the first refresh after ``done_ms``, if any. Call it within a transaction."""
        row = self._connection.execute(
            "SELECT first_ms FROM refreshes WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return
        times_ms = (row[0] + after_ms for after_ms in self._after_ms)
        due_ms = next((time_ms for time_ms in times_ms if time_ms > done_ms), None)
        if due_ms is None:
            self.end(key)
        else:
            self._connection.execute("UPDATE refreshes SET due_ms = ? WHERE key = ?", (due_ms, key))

    def end(self, key: str) -> None:
        """Refresh this post no more. Call it within a transaction."""
        self._connection.execute("DELETE FROM refreshes WHERE key = ?", (key,))

    def prune(self, before_ms: int, most: int) -> None:
        """Forget up to ``most`` posts of each server that have been due since before ``before_ms``.

        Such a server is not collected from any more.
        """
        for server in self._servers:
            self._connection.execute(
                "DELETE FROM refreshes WHERE key IN (SELECT key FROM refreshes "
                "WHERE server = ? AND due_ms < ? ORDER BY due_ms LIMIT ?)",
                (server, before_ms, most),
            )

    def due(self, server: str, now_ms: int, most: int) -> list[Due]:
        """Return up to ``most`` due posts of this server, those that are due longest first."""
        with translated(self._path):
            rows = self._connection.execute(
                "SELECT key, id FROM refreshes WHERE server = ? AND due_ms <= ? "
                "ORDER BY due_ms LIMIT ?",
                (server, now_ms, most),
            )
            return [Due(*row) for row in rows]

    def postpone(self, keys: Iterable[str], until_ms: int) -> None:
        """Refresh these posts no earlier than ``until_ms``."""
        with translated(self._path), transaction(self._connection):
            self._connection.executemany(
                "UPDATE refreshes SET due_ms = max(due_ms, ?) WHERE key = ?",
                [(until_ms, key) for key in keys],
            )

    def server_of(self, key: str) -> str | None:
        """Return the server to ask for a post's counts; ``None`` if no refresh is left."""
        with translated(self._path):
            row = self._connection.execute(
                "SELECT server FROM refreshes WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else str(row[0])

    def prefer(self, key: str, server: str, post_id: str, now_ms: int) -> None:
        """Ask this server for the post's counts from now on. Call it within a transaction.

        A post whose refreshes are all done is refreshed once more, now.
        """
        if self._after_ms:
            self._servers.add(server)
            self._connection.execute(
                "INSERT INTO refreshes VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "server = excluded.server, id = excluded.id",
                (key, server, post_id, now_ms - self._after_ms[-1], now_ms),
            )

    def expedite(self, key: str, due_ms: int) -> None:
        """Move a scheduled refresh to ``due_ms`` if it is later. Call it within a transaction."""
        self._connection.execute(
            "UPDATE refreshes SET due_ms = min(due_ms, ?) WHERE key = ?", (due_ms, key)
        )
