"""Records as Parquet."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Deletion, Post, account_name, decode, encode, hashtag_record
from mastostream.compression import Compression
from mastostream.ports.log import Record
from mastostream.sinks.archive import LocalFiles, list_archive
from mastostream.sinks.archive.parquet import (
    SCHEMA,
    ParquetRecords,
    concat_tables,
    parquet_tables,
    row_of,
)
from mastostream.testing.strategies import deletions, posts

from .reading import place_of
from .test_sink import archive

TIME = datetime(2024, 1, 1, 12, tzinfo=UTC)


def record(value: bytes, offset: int = 0) -> Record:
    return Record("t", 0, offset, 1_704_110_400_123, None, value)


def rows(folder: Path, values: Sequence[bytes]) -> list[dict[str, object]]:
    sink = archive(folder, form="parquet")
    sink.write([record(value, offset) for offset, value in enumerate(values)])
    sink.close()
    (file,) = list_archive(place_of(folder)).files
    table = pq.read_table(file.path)
    assert table.schema.names == SCHEMA.names
    stored: list[dict[str, object]] = table.to_pylist()
    return stored


@given(posts())
def test_a_post_has_its_columns(post: Post) -> None:
    row = row_of(record(encode(post), 7))
    assert set(row) <= set(SCHEMA.names)
    assert (row["offset"], row["key"], row["event"]) == (7, post.key, post.event)
    assert row["observed_at"] == post.observed_at
    assert row["created_at"] == post.created_at
    assert row["edited_at"] == post.edited_at
    assert row["account"] == account_name(post)
    assert row["favourites_count"] == post.favourites_count
    assert row["hashtags"] == list(hashtag_record(post).hashtags)
    assert decode(row["raw"]) == post  # type: ignore[arg-type]  # bytes


@given(deletions())
def test_a_deletion_has_what_it_knows(deletion: Deletion) -> None:
    row = row_of(record(encode(deletion)))
    assert (row["key"], row["event"], row["id"]) == (deletion.key, "delete", deletion.id)
    assert "created_at" not in row


@given(st.binary(max_size=50))
def test_what_is_no_post_has_its_bytes_alone(value: bytes) -> None:
    assert set(row_of(record(value))) == {"offset", "timestamp", "raw"}


def test_columns_come_back_typed(tmp_path: Path) -> None:
    status = (
        b'{"id":"1","created_at":"2024-01-01T12:00:00Z","account":{"acct":"a","bot":true},'
        b'"uri":"u","content":"\xf0\x9f\x92\xa5","tags":[{"name":"Caf\xc3\xa9"},{"name":"b"}],'
        b'"reblogs_count":3,"more":[1]}'
    )
    first, second, third = rows(tmp_path, [status, b"\xff no post", b""])
    assert first["raw"] == status
    assert (first["id"], first["account"], first["bot"]) == ("1", "a", True)
    assert (first["created_at"], first["reblogs_count"]) == (TIME, 3)
    assert (first["hashtags"], first["content"]) == (["cafe", "b"], "💥")
    assert first["timestamp"] == TIME.replace(microsecond=123_000)
    assert (second["raw"], second["id"], second["hashtags"]) == (b"\xff no post", None, None)
    assert third["raw"] == b""


def test_real_statuses_come_back(corpus: Sequence[bytes], tmp_path: Path) -> None:
    stored = rows(tmp_path, corpus)
    assert [row["raw"] for row in stored] == list(corpus)
    posts_ = sum(isinstance(decode(status), Post) for status in corpus)
    assert sum(row["created_at"] is not None for row in stored) == posts_


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_pages_are_compressed_and_have_checksums(tmp_path: Path, compression: Compression) -> None:
    path = tmp_path / "a.parquet"
    file = LocalFiles().create(str(path))
    writer = ParquetRecords(file, compression, hashing=False, group_rows=100)
    values = [b"%0200d" % number for number in range(250)]
    for offset, value in enumerate(values):
        writer.add(record(value, offset))
    writer.finish()
    file.close()
    described = pq.ParquetFile(path)
    assert described.num_row_groups == 3
    name = {"none": "UNCOMPRESSED"}.get(compression, compression.upper())
    assert described.metadata.row_group(0).column(0).compression == name
    with path.open("rb") as kept:
        tables = list(parquet_tables(kept, "a"))
    assert concat_tables(tables)["raw"].to_pylist() == values


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_no_thread_of_reading_is_left_to_hold_a_file_when_python_ends(tmp_path: Path) -> None:
    rows(tmp_path, [b"{}"] * 100)
    (file,) = list_archive(place_of(tmp_path)).files
    program = """if True:
        import os, sys
        from mastostream.sinks.archive.parquet import parquet_tables

        before = os.listdir("/proc/self/task")
        with open(sys.argv[1], "rb") as file:
            (table,) = parquet_tables(file, "a name")
        assert len(table) == 100
        assert os.listdir("/proc/self/task") == before
    """
    subprocess.run([sys.executable, "-c", program, file.path], check=True, timeout=60)
