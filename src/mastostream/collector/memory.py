"""What the collector remembers: which posts it has logged, and where each source stands.

It is a SQLite file of its own, so that it serves every log. All that it knows of posts it has read
from the log, up to a position that it keeps: what was logged just before a crash is read again at
the next start, so a repeat is recognised.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

from mastostream.database import connect, transaction, translated

__all__ = ["CollectorMemory"]

KEEP_MS: Final = 8 * 86_400_000
"""A post is forgotten when no source has shown it for 8 days."""

_DAY_MS: Final = 86_400_000
_PRUNE_STEP: Final = 2_000
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS known (key TEXT PRIMARY KEY, seen_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS known_by_age ON known (seen_ms);
CREATE TABLE IF NOT EXISTS cursors (source TEXT PRIMARY KEY, cursor TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS positions (
    partition INTEGER PRIMARY KEY,
    next_offset INTEGER NOT NULL  -- the log's records before it are known
)
"""


class CollectorMemory:
    """Used by one thread. Each ``remember`` is one transaction."""

    def __init__(self, path: Path) -> None:
        """Open the file. Errors as :func:`mastostream.database.connect`."""
        self._path = path
        self._connection = connect(path, _SCHEMA, _VERSION)

    def cursor(self, source: str) -> str | None:
        """Return where this source stands."""
        with translated(self._path):
            row = self._connection.execute(
                "SELECT cursor FROM cursors WHERE source = ?", (source,)
            ).fetchone()
        return None if row is None else str(row[0])

    def positions(self) -> dict[int, int]:
        """Return up to where the log has been read."""
        with translated(self._path):
            rows = self._connection.execute("SELECT partition, next_offset FROM positions")
            return dict(rows.fetchall())

    def known(self, keys: Collection[str], now_ms: int) -> set[str]:
        """Return which of these have been logged; they are kept from being forgotten."""
        found: set[str] = set()
        stale: list[tuple[int, str]] = []
        with translated(self._path):
            for key in keys:
                row = self._connection.execute(
                    "SELECT seen_ms FROM known WHERE key = ?", (key,)
                ).fetchone()
                if row is not None:
                    found.add(key)
                    if row[0] < now_ms - _DAY_MS:
                        stale.append((now_ms, key))
            if stale:
                with transaction(self._connection):
                    self._connection.executemany(
                        "UPDATE known SET seen_ms = ? WHERE key = ?", stale
                    )
        return found

    def remember(
        self,
        keys: Iterable[str],
        positions: Mapping[int, int],
        cursors: Mapping[str, str],
        now_ms: int,
    ) -> None:
        """Store all of it, or nothing."""
        with translated(self._path), transaction(self._connection):
            self._connection.executemany(
                "INSERT OR REPLACE INTO known VALUES (?, ?)", [(key, now_ms) for key in keys]
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?)", list(positions.items())
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?)", list(cursors.items())
            )
            self._connection.execute(
                "DELETE FROM known WHERE key IN "
                "(SELECT key FROM known WHERE seen_ms < ? ORDER BY seen_ms LIMIT ?)",
                (now_ms - KEEP_MS, _PRUNE_STEP),
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
