"""The windows of an analysis, in tables of SQLite: of a log's own file, or of a temporary one."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from mastostream.ports.log import WindowChanges

__all__ = ["SCHEMA", "WindowTables"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS window_posts (
    analysis TEXT NOT NULL,
    key TEXT NOT NULL,
    changed_ms INTEGER NOT NULL,             -- when the log took what changed it, since 1970
    state BLOB NOT NULL,                     -- JSON: all that is known of the post
    PRIMARY KEY (analysis, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS window_posts_by_change ON window_posts (analysis, changed_ms);
CREATE TABLE IF NOT EXISTS window_members (
    analysis TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (analysis, start_ms, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS window_notes (
    analysis TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    to_write INTEGER NOT NULL,               -- 1: has to be written; 0: will not be corrected
    PRIMARY KEY (analysis, start_ms)
) WITHOUT ROWID;
"""

_MOST_KEYS: Final = 500
"""How many keys one query looks for."""


class WindowTables:
    """A :class:`ports.log.WindowStore`, and the way to change it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        analysis: str,
        translated: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Use the tables of :data:`SCHEMA`, which have to exist.

        Args:
            connection: the database.
            analysis: the name of the analysis.
            translated: makes a context that turns SQLite's errors into this package's.
        """
        self._connection = connection
        self._analysis = analysis
        self._translated = translated

    def posts(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        for first in range(0, len(keys), _MOST_KEYS):
            some = keys[first : first + _MOST_KEYS]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, state FROM window_posts WHERE analysis = ? AND key IN ({marks})"  # noqa: S608 - marks only
            found |= self._rows(query, *some)
        return found

    def window(self, start_ms: int) -> Mapping[str, bytes]:
        query = (
            "SELECT key, state FROM window_members JOIN window_posts USING (analysis, key) "
            "WHERE analysis = ? AND start_ms = ?"
        )
        return self._rows(query, start_ms)

    def windows(self) -> Mapping[int, bool]:
        notes = self._rows("SELECT start_ms, to_write FROM window_notes WHERE analysis = ?")
        return {start_ms: bool(to_write) for start_ms, to_write in notes.items()}

    def unchanged_since(self, before_ms: int, most: int) -> Mapping[str, bytes]:
        query = "SELECT key, state FROM window_posts WHERE analysis = ? AND changed_ms < ? LIMIT ?"
        return self._rows(query, before_ms, most)

    def change(self, changes: WindowChanges) -> None:
        """Apply changes, within the transaction that is open."""
        name, execute = self._analysis, self._connection.executemany
        execute(
            "INSERT OR REPLACE INTO window_posts (analysis, key, state, changed_ms) "
            "VALUES (?, ?, ?, ?)",
            ((name, key, *known) for key, known in changes.posts.items() if known is not None),
        )
        execute(
            "DELETE FROM window_posts WHERE analysis = ? AND key = ?",
            ((name, key) for key, known in changes.posts.items() if known is None),
        )
        execute(
            "INSERT OR IGNORE INTO window_members VALUES (?, ?, ?)",
            ((name, *member) for member, has in changes.members.items() if has),
        )
        execute(
            "DELETE FROM window_members WHERE analysis = ? AND start_ms = ? AND key = ?",
            ((name, *member) for member, has in changes.members.items() if not has),
        )
        execute(
            "INSERT OR REPLACE INTO window_notes VALUES (?, ?, ?)",
            ((name, start, note) for start, note in changes.windows.items() if note is not None),
        )
        execute(
            "DELETE FROM window_notes WHERE analysis = ? AND start_ms = ?",
            ((name, start) for start, note in changes.windows.items() if note is None),
        )

    def _rows(self, query: str, *values: object) -> dict[Any, Any]:
        with self._translated():
            return dict(self._connection.execute(query, (self._analysis, *values)))
