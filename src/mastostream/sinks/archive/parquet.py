"""Parquet files of an archive: the columns of a post, and the unchanged bytes of the record."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, Final

from mastostream.compression import Compression
from mastostream.core.accounts import account_name
from mastostream.core.codec import decode
from mastostream.core.hashtags import hashtag_counts
from mastostream.core.languages import stated_language
from mastostream.core.models import Deletion, Post
from mastostream.exceptions import DamagedError, MissingExtraError
from mastostream.ports.filesystem import NewFile
from mastostream.ports.log import Record
from mastostream.sinks.archive.formats import AbandonableFile

try:
    import pyarrow as pa  # type: ignore[import-untyped]  # it has no type information
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it has no type information
except ImportError as error:
    raise MissingExtraError("The archive as Parquet", "hdfs") from error

__all__ = ["SCHEMA", "ParquetRecords", "ParquetTables", "concat_tables", "parquet_tables", "row_of"]

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
"""The columns of a file. ``timestamp`` is when the log took the record. ``hashtags`` are normalised
and in the order of their first use. A deletion fills only the columns that it has a value for. A
record that is neither a post nor a deletion fills only ``offset``, ``timestamp`` and ``raw``."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
GROUP_ROWS: Final = 20_000
"""A row group is written once it has this many rows. A writer holds one row group in memory."""

GROUP_BYTES: Final = 32 * 2**20
"""A row group is also written once its values have this many bytes."""


def row_of(record: Record) -> dict[str, object]:
    """Return the columns of a record; a column that is left out is null."""
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
        "account": account_name(post),
        "display_name": post.account.display_name,
        "bot": post.account.bot,
        "language": stated_language(post),
        "visibility": post.visibility,
        "content": post.content,
        "replies_count": post.replies_count,
        "reblogs_count": post.reblogs_count,
        "favourites_count": post.favourites_count,
        "quotes_count": post.quotes_count,
        "hashtags": [use.tag for use in hashtag_counts(post)],
    }


class ParquetTables:
    """Writes tables with the columns of :data:`SCHEMA` into one file; each page gets a checksum."""

    def __init__(self, file: NewFile, compression: Compression, *, hashing: bool) -> None:
        self._output = AbandonableFile(file, hashing=hashing)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._output, mode="w"),
            SCHEMA,
            compression=compression.upper(),
            write_page_checksum=True,
        )

    def add(self, table: Any) -> None:
        """Write a table as one row group."""
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def finish(self) -> str | None:
        """Write the footer; return the checksum, ``None`` without hashing. The file stays open."""
        self._writer.close()
        return self._output.digest()

    def give_up(self) -> None:
        """Drop the rest of the file. Never raises."""
        self._output.discard()
        with suppress(Exception):  # it raises if a row group was cut in the middle
            self._writer.close()


class ParquetRecords:
    """A :class:`formats.RecordWriter` of Parquet."""

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
    """Return the row groups of a file as tables. The checksum of each page is verified.

    Args:
        file: the Parquet file.
        name: its name for messages.
        columns: the columns to read; all by default.

    Raises:
        DamagedError: it is not a Parquet file, is damaged, or has not the columns of an archive.
    """
    try:
        # If a thread of pyarrow still holds a Python file when Python ends, the process aborts. So
        # neither of its thread pools is used: the one for I/O (off by pre_buffer=False; pyarrow 25
        # turned it on by default) nor the one for CPUs (off by use_threads=False).
        reader = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False)
        if not set(columns or SCHEMA.names) <= set(reader.schema_arrow.names):
            raise DamagedError(f"{name} has not the columns of an archive: move it away")
        for number in range(reader.num_row_groups):
            yield reader.read_row_group(number, columns=columns, use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedError(f"{name} is damaged: {error}") from error


def concat_tables(tables: Sequence[Any]) -> Any:
    """Return one table with the rows of several, and the columns of :data:`SCHEMA`."""
    return pa.concat_tables(
        [table.select(SCHEMA.names).cast(SCHEMA) for table in tables]
    ).combine_chunks()
