"""Records as Parquet: the columns of a post, and the record's bytes as they were."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, Final

from mastostream.compression import Compression
from mastostream.core.codec import decode
from mastostream.core.hashtags import hashtag_counts
from mastostream.core.models import Deletion, Post
from mastostream.exceptions import DamagedError, MissingExtraError
from mastostream.ports.filesystem import NewFile
from mastostream.ports.log import Record
from mastostream.sinks.archive.formats import AbandonableFile

try:
    import pyarrow as pa  # type: ignore[import-untyped]  # it has no type information
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # as above
except ImportError as error:
    raise MissingExtraError("The archive as Parquet", "hdfs") from error

__all__ = ["SCHEMA", "ParquetRecords", "ParquetTables", "joined", "parquet_tables", "row_of"]

_TIME: Final = pa.timestamp("us", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", _TIME, nullable=False),
        pa.field("key", pa.string()),
        pa.field("event", pa.string()),
        pa.field("instance", pa.string()),
        pa.field("observed_at", _TIME),
        pa.field("id", pa.string()),
        pa.field("uri", pa.string()),
        pa.field("url", pa.string()),
        pa.field("created_at", _TIME),
        pa.field("edited_at", _TIME),
        pa.field("account", pa.string()),
        pa.field("display_name", pa.string()),
        pa.field("bot", pa.bool_()),
        pa.field("language", pa.string()),
        pa.field("visibility", pa.string()),
        pa.field("content", pa.string()),
        pa.field("replies_count", pa.int64()),
        pa.field("reblogs_count", pa.int64()),
        pa.field("favourites_count", pa.int64()),
        pa.field("quotes_count", pa.int64()),
        pa.field("hashtags", pa.list_(pa.string())),
        pa.field("raw", pa.binary(), nullable=False),
    ]
)
"""``timestamp`` is when the log took the record; ``hashtags`` are normalised, in first-seen order.
A deletion has only what it knows; what is no post has ``offset``, ``timestamp`` and ``raw``."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
GROUP_ROWS: Final = 20_000
GROUP_BYTES: Final = 32 * 2**20
"""A row group is written at this many rows or bytes: it is what a writer holds in memory."""


def row_of(record: Record) -> dict[str, object]:
    """Return a record's columns; those that are left out are null."""
    row: dict[str, object] = {
        "offset": record.offset,
        "timestamp": _EPOCH + timedelta(milliseconds=record.timestamp_ms),
        "raw": record.value,
    }
    item = decode(record.value)
    if isinstance(item, Deletion):
        row |= {
            "key": item.key,
            "event": item.mastostream.event,
            "instance": item.mastostream.instance,
            "observed_at": item.observed_at,
            "id": item.id,
            "uri": item.uri,
        }
    elif isinstance(item, Post):
        row |= _columns(item)
    return row


def _columns(post: Post) -> dict[str, object]:
    return {
        "key": post.key,
        "event": post.event,
        "instance": post.instance,
        "observed_at": post.observed_at,
        "id": post.id,
        "uri": post.uri,
        "url": post.url,
        "created_at": post.created_at,
        "edited_at": post.edited_at,
        "account": post.account.acct,
        "display_name": post.account.display_name,
        "bot": post.account.bot,
        "language": post.language,
        "visibility": post.visibility,
        "content": post.content,
        "replies_count": post.replies_count,
        "reblogs_count": post.reblogs_count,
        "favourites_count": post.favourites_count,
        "quotes_count": post.quotes_count,
        "hashtags": [each.tag for each in hashtag_counts(post)],
    }


class ParquetTables:
    """Writes tables of :data:`SCHEMA` into one file, with a checksum of each page."""

    def __init__(self, file: NewFile, compression: Compression, *, hashing: bool) -> None:
        self._gate = AbandonableFile(file, hashing=hashing)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._gate, mode="w"),
            SCHEMA,
            compression=compression.upper(),
            write_page_checksum=True,
        )

    def add(self, table: Any) -> None:
        """Write a row group."""
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def finish(self) -> str | None:
        """Write what makes the file readable; return its checksum. The file stays open."""
        self._writer.close()
        return self._gate.digest()

    def give_up(self) -> None:
        """Forget what is left."""
        self._gate.shut()
        with suppress(Exception):  # a row group may have been cut in the middle
            self._writer.close()


class ParquetRecords:
    """A :class:`formats.RecordWriter`."""

    def __init__(
        self,
        file: NewFile,
        compression: Compression,
        *,
        hashing: bool,
        group_rows: int = GROUP_ROWS,
    ) -> None:
        self._group_rows = group_rows
        self._tables = ParquetTables(file, compression, hashing=hashing)
        self._rows: list[dict[str, object]] = []
        self._size_bytes = 0

    def add(self, record: Record) -> int:
        self._rows.append(row_of(record))
        self._size_bytes += len(record.value)
        if len(self._rows) >= self._group_rows or self._size_bytes >= GROUP_BYTES:
            self._write()
        return len(record.value)

    def finish(self) -> str | None:
        if self._rows:
            self._write()
        return self._tables.finish()

    def give_up(self) -> None:
        self._rows.clear()
        self._tables.give_up()

    def _write(self) -> None:
        self._tables.add(pa.Table.from_pylist(self._rows, schema=SCHEMA))
        self._rows.clear()
        self._size_bytes = 0


def parquet_tables(file: BinaryIO, name: str, columns: list[str] | None = None) -> Iterator[Any]:
    """Return a file's row groups as tables, each page checked.

    Raises:
        DamagedError: it is no Parquet file, or a damaged one, or not one of an archive.
    """
    try:
        # A thread of pyarrow's that still holds a Python file when Python ends aborts it. Both of
        # its pools are left out: that for I/O (pre_buffer, which 25 turned on) and that for CPUs.
        reader = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False)
        if not set(columns or SCHEMA.names) <= set(reader.schema_arrow.names):
            raise DamagedError(f"{name} has not the columns of an archive: move it away")
        for number in range(reader.num_row_groups):
            yield reader.read_row_group(number, columns=columns, use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedError(f"{name} is damaged: {error}") from error


def joined(tables: Sequence[Any]) -> Any:
    """Return several tables as one, with the columns of :data:`SCHEMA`."""
    return pa.concat_tables(
        [table.select(SCHEMA.names).cast(SCHEMA) for table in tables]
    ).combine_chunks()
