"""What the collector remembers: posts, where each timeline stands, and what requests went.

It is a SQLite file of its own, so that it serves every log. All that it knows of posts it has read
from the log, up to a position that it keeps: what was logged just before a crash is read again at
the next start, so a repeat is recognised.

Posts are known by a hash of their key (BLAKE2b, 128 bits: two of ten million meet with a
probability of 2**-82), which keeps the file small and the look-up fast.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from mastostream.collector.observation import PostState, SeenEntry
from mastostream.collector.refresh_queue import SCHEMA as REFRESHES
from mastostream.collector.refresh_queue import RefreshQueue
from mastostream.database import connect, transaction, translated
from mastostream.exceptions import ConfigurationError

__all__ = ["CollectorStateStore", "Known"]

KEEP_MS: Final = 8 * 86_400_000
"""A post is forgotten when nothing was heard of it for 8 days."""

_PRUNE_STEP: Final = 2_000
_REQUESTS_KEPT_MS: Final = 1_000_000
_VERSION: Final = 2
_SCHEMA: Final = (
    """
CREATE TABLE IF NOT EXISTS known (
    hash BLOB PRIMARY KEY,          -- of the key
    seen_ms INTEGER NOT NULL,       -- its newest version
    edited_ms INTEGER NOT NULL,     -- 0: never
    state INTEGER NOT NULL          -- 0 logged, 1 left out, 2 deleted
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS known_by_age ON known (seen_ms);
CREATE TABLE IF NOT EXISTS names (
    server TEXT NOT NULL,
    id TEXT NOT NULL,               -- a post's id on that server
    key TEXT,                       -- null: it was deleted before it was seen
    seen_ms INTEGER NOT NULL,
    PRIMARY KEY (server, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS names_by_age ON names (seen_ms);
CREATE TABLE IF NOT EXISTS cursors (timeline TEXT PRIMARY KEY, cursor TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS overlaps (
    timeline TEXT PRIMARY KEY,
    number INTEGER NOT NULL,        -- how many there have been
    done_ms INTEGER NOT NULL        -- when the last one ended
);
CREATE TABLE IF NOT EXISTS positions (
    partition INTEGER PRIMARY KEY,
    next_offset INTEGER NOT NULL    -- the log's records before it are known
);
CREATE TABLE IF NOT EXISTS requests (
    server TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    paging INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS requests_by_time ON requests (server, at_ms);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
    + REFRESHES
)
_KNOW: Final = (
    "INSERT INTO known VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
    "seen_ms = max(seen_ms, excluded.seen_ms), edited_ms = max(edited_ms, excluded.edited_ms), "
    "state = max(state, excluded.state)"
)


class Known(NamedTuple):
    """What is known of a post."""

    seen_ms: int
    edited_ms: int
    state: PostState


class CollectorStateStore:
    """Used by one thread. Each ``remember`` is one transaction."""

    def __init__(
        self, path: Path, *, key_by: str = "id", refresh_after_s: Sequence[float] = ()
    ) -> None:
        """Open the file.

        Args:
            path: the file; made where it is missing.
            key_by: what posts are called, ``id`` or ``uri``.
            refresh_after_s: when counts are read again, after a post's first sight.

        Raises:
            ConfigurationError: the file knows posts by another name.
            DamagedError, FatalError, RetriableError: as :func:`mastostream.database.connect`.
        """
        self._path = path
        self._has_names = key_by != "id"
        self._connection = connect(path, _SCHEMA, _VERSION)
        self._requests = connect(path, "", _VERSION)
        # What requests went has to survive the end of the process, not that of the machine.
        self._requests.execute("PRAGMA synchronous = NORMAL")
        self._refreshes = RefreshQueue(path, self._connection, refresh_after_s)
        self._check_key(key_by)

    def cursors(self, names: Collection[str]) -> list[str]:
        """Return where these timelines stand; those that never were read are left out."""
        found = (self._one("SELECT cursor FROM cursors WHERE timeline = ?", name) for name in names)
        return [str(row[0]) for row in found if row is not None]

    def positions(self) -> dict[int, int]:
        """Return up to where the log has been read."""
        with translated(self._path):
            rows = self._connection.execute("SELECT partition, next_offset FROM positions")
            return dict(rows.fetchall())

    def known(self, key: str) -> Known | None:
        """Return what is known of a post."""
        row = self._one("SELECT seen_ms, edited_ms, state FROM known WHERE hash = ?", _hash(key))
        return None if row is None else Known(row[0], row[1], PostState(row[2]))

    def key_of(self, server: str, post_id: str) -> str | None:
        """Return the key of the post that has this id on a server; ``None`` where none is known."""
        if not self._has_names:
            return post_id if self.known(post_id) else None
        row = self._one("SELECT key FROM names WHERE server = ? AND id = ?", server, post_id)
        return None if row is None else row[0]

    def is_new_name(self, server: str, post_id: str) -> bool:
        """Whether it is not known yet what post has this id on a server."""
        if not self._has_names:
            return False
        return self._one("SELECT 1 FROM names WHERE server = ? AND id = ?", server, post_id) is None

    def deleted_unseen(self, server: str, post_id: str) -> bool:
        """Whether this server has deleted that post before anybody had seen it."""
        if not self._has_names:
            return False  # the post itself is known as deleted
        row = self._one("SELECT key FROM names WHERE server = ? AND id = ?", server, post_id)
        return row is not None and row[0] is None

    def record_tombstone(self, server: str, post_id: str, now_ms: int) -> None:
        """A post was deleted that nobody has seen yet: its first sight may come after that."""
        with self._writing():
            if self._has_names:
                row = (server, post_id, now_ms)
                self._connection.execute("INSERT OR IGNORE INTO names VALUES (?, ?, NULL, ?)", row)
            else:
                self._connection.execute(_KNOW, (_hash(post_id), now_ms, 0, PostState.DELETED))

    def remember(
        self,
        traces: Sequence[SeenEntry],
        positions: Mapping[int, int],
        cursors: Mapping[str, str],
        now_ms: int,
        *,
        prune: bool = True,
    ) -> None:
        """Store all of it, or nothing; then forget a little of what is old."""
        connection = self._connection
        with self._writing():
            connection.executemany(
                _KNOW,
                [(_hash(each.key), each.seen_ms, each.edited_ms, each.state) for each in traces],
            )
            if self._has_names:
                connection.executemany(
                    "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?)",
                    [(each.server, each.id, each.key, each.seen_ms) for each in traces],
                )
            for each in traces:
                self._schedule(each)
            connection.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?)", list(positions.items())
            )
            connection.executemany(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?)", list(cursors.items())
            )
            if prune:
                self._prune(now_ms)

    def seen_again(self, sights: Iterable[tuple[str, str, str, bool]], now_ms: int) -> None:
        """Known posts are shown by a server: keep them from being forgotten, learn their ids there.

        Args:
            sights: key, server, the post's id there, and whether this is the first sight on the
                server where the author lives: it knows the counts best.
            now_ms: the time.
        """
        with self._writing():
            for key, server, post_id, at_home in sights:
                self._connection.execute(
                    "UPDATE known SET seen_ms = max(seen_ms, ?) WHERE hash = ?",
                    (now_ms, _hash(key)),
                )
                if self._has_names:
                    row = (server, post_id, key, now_ms)
                    self._connection.execute(
                        "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?)", row
                    )
                    if at_home and not self._is_gone(key):
                        self._refreshes.prefer(key, server, post_id, now_ms)

    def _is_gone(self, key: str) -> bool:
        known = self.known(key)
        return known is None or known.state is not PostState.LOGGED

    def answered(self, keys: Iterable[str], now_ms: int) -> None:
        """A server has answered for these posts' counts, whatever it said."""
        with self._writing():
            for key in keys:
                self._refreshes.advance(key, now_ms)

    def expedite(self, keys: Iterable[str], now_ms: int) -> None:
        """Read the counts of these posts again now."""
        with self._writing():
            for key in keys:
                self._refreshes.expedite(key, now_ms)

    @property
    def refreshes(self) -> RefreshQueue:
        """What is to be read again."""
        return self._refreshes

    def overlap(self, timeline: str) -> tuple[int, int]:
        """Return how many overlaps there have been, and when the last one ended."""
        row = self._one("SELECT number, done_ms FROM overlaps WHERE timeline = ?", timeline)
        return (0, 0) if row is None else (row[0], row[1])

    def overlapped(self, timeline: str, number: int, now_ms: int) -> None:
        """An overlap has ended."""
        with self._writing():
            self._connection.execute(
                "INSERT OR REPLACE INTO overlaps VALUES (?, ?, ?)", (timeline, number, now_ms)
            )

    def requests(self, server: str) -> list[tuple[int, bool]]:
        """Return when the latest requests went, oldest first, and whether each paged."""
        with translated(self._path):
            rows = self._connection.execute(
                "SELECT at_ms, paging FROM requests WHERE server = ? ORDER BY at_ms", (server,)
            )
            return [(at_ms, bool(paging)) for at_ms, paging in rows]

    def requested(self, server: str, now_ms: int, *, paging: bool) -> None:
        """A request is about to go."""
        with translated(self._path), transaction(self._requests):
            self._requests.execute(
                "INSERT INTO requests VALUES (?, ?, ?)", (server, now_ms, paging)
            )
            self._requests.execute(
                "DELETE FROM requests WHERE server = ? AND at_ms < ?",
                (server, now_ms - _REQUESTS_KEPT_MS),
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        self._requests.close()

    def _check_key(self, key_by: str) -> None:
        row = self._one("SELECT value FROM facts WHERE name = 'key_by'")
        if row is None:
            with self._writing():
                self._connection.execute("INSERT INTO facts VALUES ('key_by', ?)", (key_by,))
        elif row[0] != key_by:
            self.close()
            raise ConfigurationError(
                f"the posts in {self._path.parent} are called by their {row[0]}, these settings "
                f"call them by their {key_by}: choose another data folder, or set key = "
                f'"{row[0]}" in [collect]'
            )

    def _schedule(self, trace: SeenEntry) -> None:
        if trace.state is not PostState.LOGGED:
            self._refreshes.end(trace.key)
        elif trace.event == "new":
            self._refreshes.begin(trace.key, trace.server, trace.id, trace.seen_ms)
        elif self._refreshes.server_of(trace.key) == trace.server:
            self._refreshes.advance(trace.key, trace.seen_ms)

    def _prune(self, now_ms: int) -> None:
        limits = (now_ms - KEEP_MS, _PRUNE_STEP)
        self._refreshes.prune(*limits)
        self._connection.execute(
            "DELETE FROM known WHERE hash IN "
            "(SELECT hash FROM known WHERE seen_ms < ? ORDER BY seen_ms LIMIT ?)",
            limits,
        )
        if self._has_names:
            self._connection.execute(
                "DELETE FROM names WHERE (server, id) IN "
                "(SELECT server, id FROM names WHERE seen_ms < ? ORDER BY seen_ms LIMIT ?)",
                limits,
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with translated(self._path), transaction(self._connection):
            yield

    def _one(self, query: str, *values: object) -> Any:
        with translated(self._path):
            return self._connection.execute(query, values).fetchone()


def _hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
