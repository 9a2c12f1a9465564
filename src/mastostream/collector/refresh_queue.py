"""Which posts' counts are to be read again, when, and from whom. Durable."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from mastostream.database import transaction, translated

__all__ = ["SCHEMA", "Due", "RefreshQueue"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS refreshes (
    key TEXT PRIMARY KEY,
    server TEXT NOT NULL,           -- whom to ask
    id TEXT NOT NULL,               -- the post's id there
    first_ms INTEGER NOT NULL,      -- when the post was first seen
    due_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS refreshes_by_due ON refreshes (server, due_ms);
"""


class Due(NamedTuple):
    """A post whose counts are to be read again."""

    key: str
    id: str


class RefreshQueue:
    """A table in the collector's memory."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, after_s: Sequence[float]
    ) -> None:
        """Use a connection that is open.

        Args:
            path: the file, for messages.
            connection: of the collector's memory.
            after_s: when counts are read again, after a post's first sight.
        """
        self._path = path
        self._connection = connection
        self._after_ms = sorted(int(seconds * 1000) for seconds in after_s)
        rows = connection.execute("SELECT DISTINCT server FROM refreshes")
        self._servers = {server for (server,) in rows}

    def begin(self, key: str, server: str, post_id: str, first_ms: int) -> None:
        """A post was seen for the first time. Within a transaction."""
        if self._after_ms:
            self._servers.add(server)
            self._connection.execute(
                "INSERT OR IGNORE INTO refreshes VALUES (?, ?, ?, ?, ?)",
                (key, server, post_id, first_ms, first_ms + self._after_ms[0]),
            )

    def advance(self, key: str, done_ms: int) -> None:
        """Its counts were read: what was due before is done with. Within a transaction."""
        row = self._connection.execute(
            "SELECT first_ms FROM refreshes WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return
        due = (row[0] + after_ms for after_ms in self._after_ms)
        due_ms = next((each for each in due if each > done_ms), None)
        if due_ms is None:
            self.end(key)
        else:
            self._connection.execute("UPDATE refreshes SET due_ms = ? WHERE key = ?", (due_ms, key))

    def end(self, key: str) -> None:
        """It is gone. Within a transaction."""
        self._connection.execute("DELETE FROM refreshes WHERE key = ?", (key,))

    def prune(self, before_ms: int, most: int) -> None:
        """Forget what has been due since then: nobody asks that server any more."""
        for server in self._servers:
            self._connection.execute(
                "DELETE FROM refreshes WHERE key IN (SELECT key FROM refreshes "
                "WHERE server = ? AND due_ms < ? ORDER BY due_ms LIMIT ?)",
                (server, before_ms, most),
            )

    def due(self, server: str, now_ms: int, most: int) -> list[Due]:
        """Return posts that are to be read again from this server now, longest due first."""
        with translated(self._path):
            rows = self._connection.execute(
                "SELECT key, id FROM refreshes WHERE server = ? AND due_ms <= ? "
                "ORDER BY due_ms LIMIT ?",
                (server, now_ms, most),
            )
            return [Due(*row) for row in rows]

    def postpone(self, keys: Iterable[str], until_ms: int) -> None:
        """Read these again no earlier than that."""
        with translated(self._path), transaction(self._connection):
            self._connection.executemany(
                "UPDATE refreshes SET due_ms = max(due_ms, ?) WHERE key = ?",
                [(until_ms, key) for key in keys],
            )

    def server_of(self, key: str) -> str | None:
        """Return who is asked for this post's counts; ``None`` once that is over."""
        with translated(self._path):
            row = self._connection.execute(
                "SELECT server FROM refreshes WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else str(row[0])

    def prefer(self, key: str, server: str, post_id: str, now_ms: int) -> None:
        """Ask this server from now on, and once more where all is done. Within a transaction."""
        if self._after_ms:
            self._servers.add(server)
            self._connection.execute(
                "INSERT INTO refreshes VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "server = excluded.server, id = excluded.id",
                (key, server, post_id, now_ms - self._after_ms[-1], now_ms),
            )

    def expedite(self, key: str, due_ms: int) -> None:
        """Read it again at that moment at the latest. Within a transaction."""
        self._connection.execute(
            "UPDATE refreshes SET due_ms = min(due_ms, ?) WHERE key = ?", (due_ms, key)
        )
