"""The collector's state store: known posts, cursors of timelines, and the requests that were sent.

It is a SQLite file of its own, so that it works with every log. Its knowledge of posts comes from
the log, up to an offset that it keeps for each partition. Records that were logged just before a
crash are read again at the next start, so that a repeated post is recognised.

Posts are stored by a hash of their key (BLAKE2b, 128 bits), which keeps the file small and the
look-up fast. The probability that any two of ten million posts share a hash is 2**-82.
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
"""Rows of one table that are forgotten in one transaction, at most."""

_REQUESTS_KEPT_MS: Final = 1_000_000
"""How long requests are kept: longer than the longest period of a rate limit, 15 minutes."""

_VERSION: Final = 2
"""Version of the schema below."""

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
    """The stored state of a post.

    Attributes:
        seen_ms: its newest version, milliseconds since the epoch.
        edited_ms: when it was last edited, milliseconds since the epoch; 0 for never.
        state: logged, left out or deleted.
    """

    seen_ms: int
    edited_ms: int
    state: PostState


class CollectorStateStore:
    """A durable store in a SQLite file. Used by one thread; each method that writes is atomic."""

    def __init__(
        self, path: Path, *, key_by: str = "id", refresh_after_s: Sequence[float] = ()
    ) -> None:
        """Open the file.

        Args:
            path: the file; it is created if it does not exist.
            key_by: the member of a post that is its key, ``id`` or ``uri``.
            refresh_after_s: seconds after a post's first observation at which its counts are
                refreshed.

        Raises:
            ConfigurationError: the file was made with another ``key_by``.
            DamagedError, FatalError, RetriableError: see :func:`mastostream.database.connect`.
        """
        self._path = path
        self._has_names = key_by != "id"
        self._connection = connect(path, _SCHEMA, _VERSION)
        self._requests = connect(path, "", _VERSION)
        # The requests have to survive a crash of the process, but not one of the machine.
        self._requests.execute("PRAGMA synchronous = NORMAL")
        self._refreshes = RefreshQueue(path, self._connection, refresh_after_s)
        self._check_key(key_by)

    def cursors(self, names: Collection[str]) -> list[str]:
        """Return the cursors of these timelines, without those that have none yet."""
        query = "SELECT cursor FROM cursors WHERE timeline = ?"
        rows = (self._fetch_one(query, name) for name in names)
        return [str(row[0]) for row in rows if row is not None]

    def positions(self) -> dict[int, int]:
        """Return the next offset to read from the log, by partition."""
        with translated(self._path):
            rows = self._connection.execute("SELECT partition, next_offset FROM positions")
            return dict(rows.fetchall())

    def known(self, key: str) -> Known | None:
        """Return the stored state of a post; ``None`` if it is not known."""
        row = self._fetch_one(
            "SELECT seen_ms, edited_ms, state FROM known WHERE hash = ?", _hash(key)
        )
        return None if row is None else Known(row[0], row[1], PostState(row[2]))

    def key_of(self, server: str, post_id: str) -> str | None:
        """Return the key of the post that has this id on a server; ``None`` if it is not known."""
        if not self._has_names:
            return post_id if self.known(post_id) else None
        row = self._fetch_one("SELECT key FROM names WHERE server = ? AND id = ?", server, post_id)
        return None if row is None else row[0]

    def is_new_name(self, server: str, post_id: str) -> bool:
        """Whether no known post has this id on a server. Always ``False`` if ids are the keys."""
        if not self._has_names:
            return False
        return (
            self._fetch_one("SELECT 1 FROM names WHERE server = ? AND id = ?", server, post_id)
            is None
        )

    def has_tombstone(self, server: str, post_id: str) -> bool:
        """Whether this server has deleted the post before any server had shown it.

        Always ``False`` if ids are the keys: then the post is stored as deleted.
        """
        if not self._has_names:
            return False  # then the post is stored as deleted, see record_tombstone
        row = self._fetch_one("SELECT key FROM names WHERE server = ? AND id = ?", server, post_id)
        return row is not None and row[0] is None

    def record_tombstone(self, server: str, post_id: str, now_ms: int) -> None:
        """Store the delete of an unknown post, since the post itself may still arrive."""
        with self._writing():
            if self._has_names:
                row = (server, post_id, now_ms)
                self._connection.execute("INSERT OR IGNORE INTO names VALUES (?, ?, NULL, ?)", row)
            else:
                self._connection.execute(_KNOW, (_hash(post_id), now_ms, 0, PostState.DELETED))

    def remember(
        self,
        entries: Sequence[SeenEntry],
        positions: Mapping[int, int],
        cursors: Mapping[str, str],
        now_ms: int,
        *,
        prune: bool = True,
    ) -> None:
        """Store all of this in one transaction, and forget some old posts.

        Args:
            entries: records that the log holds, and posts that were left out.
            positions: the next offset to read from the log, by partition.
            cursors: cursors by timeline.
            now_ms: the time, milliseconds since the epoch.
            prune: whether to forget old posts.
        """
        connection = self._connection
        with self._writing():
            connection.executemany(
                _KNOW,
                [
                    (_hash(entry.key), entry.seen_ms, entry.edited_ms, entry.state)
                    for entry in entries
                ],
            )
            if self._has_names:
                connection.executemany(
                    "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?)",
                    [(entry.server, entry.id, entry.key, entry.seen_ms) for entry in entries],
                )
            for entry in entries:
                self._schedule_refresh(entry)
            connection.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?)", list(positions.items())
            )
            connection.executemany(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?)", list(cursors.items())
            )
            if prune:
                self._prune(now_ms)

    def seen_again(self, observations: Iterable[tuple[str, str, str, bool]], now_ms: int) -> None:
        """Keep known posts that a server shows from being forgotten, and store their ids there.

        Args:
            observations: key, server, the post's id on that server, and whether this is the first
                observation on the author's own server, which knows the counts best.
            now_ms: the time, milliseconds since the epoch.
        """
        with self._writing():
            for key, server, post_id, at_home in observations:
                self._connection.execute(
                    "UPDATE known SET seen_ms = max(seen_ms, ?) WHERE hash = ?",
                    (now_ms, _hash(key)),
                )
                if self._has_names:
                    row = (server, post_id, key, now_ms)
                    self._connection.execute(
                        "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?)", row
                    )
                    if at_home and not self._is_not_logged(key):
                        self._refreshes.prefer(key, server, post_id, now_ms)

    def _is_not_logged(self, key: str) -> bool:
        known = self.known(key)
        return known is None or known.state is not PostState.LOGGED

    def mark_refreshed(self, keys: Iterable[str], now_ms: int) -> None:
        """Schedule the next refresh of posts that a server has answered for, whatever it said."""
        with self._writing():
            for key in keys:
                self._refreshes.advance(key, now_ms)

    def expedite(self, keys: Iterable[str], now_ms: int) -> None:
        """Schedule a refresh of these posts' counts for ``now_ms`` at the latest.

        It sends no request itself.
        """
        with self._writing():
            for key in keys:
                self._refreshes.expedite(key, now_ms)

    @property
    def refreshes(self) -> RefreshQueue:
        """The queue of posts whose counts are to be refreshed."""
        return self._refreshes

    def lookback(self, timeline: str) -> tuple[int, int]:
        """Return the number of a timeline's last lookback, and when it ended.

        The time is milliseconds since the epoch. Both are 0 if there was none.
        """
        row = self._fetch_one("SELECT number, done_ms FROM overlaps WHERE timeline = ?", timeline)
        return (0, 0) if row is None else (row[0], row[1])

    def store_lookback(self, timeline: str, number: int, now_ms: int) -> None:
        """Store that the lookback of this number has ended at ``now_ms``."""
        with self._writing():
            self._connection.execute(
                "INSERT OR REPLACE INTO overlaps VALUES (?, ?, ?)", (timeline, number, now_ms)
            )

    def requests(self, server: str) -> list[tuple[int, bool]]:
        """Return the recent requests to a server, oldest first.

        Each is the time at which it was sent, milliseconds since the epoch, and whether it paged.
        """
        with translated(self._path):
            rows = self._connection.execute(
                "SELECT at_ms, paging FROM requests WHERE server = ? ORDER BY at_ms", (server,)
            )
            return [(at_ms, bool(paging)) for at_ms, paging in rows]

    def requested(self, server: str, now_ms: int, *, paging: bool) -> None:
        """Store that a request is about to be sent, and forget the old ones of this server."""
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
        row = self._fetch_one("SELECT value FROM facts WHERE name = 'key_by'")
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

    def _schedule_refresh(self, entry: SeenEntry) -> None:
        if entry.state is not PostState.LOGGED:
            self._refreshes.end(entry.key)
        elif entry.event == "new":
            self._refreshes.begin(entry.key, entry.server, entry.id, entry.seen_ms)
        elif self._refreshes.server_of(entry.key) == entry.server:
            self._refreshes.advance(entry.key, entry.seen_ms)

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

    def _fetch_one(self, query: str, *values: object) -> Any:
        with translated(self._path):
            return self._connection.execute(query, values).fetchone()


def _hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
