"""Speed of the archive on a real HDFS, against a loop that writes the same lines by hand.

Both end with the same lines in durable files. The loop does not name files by offsets, does not
check whether a value is one line of JSON, and does not rename files. That check takes 7 us for a
record of 4 kB. The archive makes up for it by compressing in another thread, but not where nothing
is compressed.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backports import zstd
from hdfs_native import Client, WriteOptions

from mastostream.compression import Compression
from mastostream.config import HdfsSettings
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import Record
from mastostream.services import HdfsServer
from mastostream.sinks.archive import FileArchive, open_place
from mastostream.testing.simulator import generate_statuses

LEAST_RATIO: dict[Compression, float] = {"zstd": 0.8, "none": 0.5}
CHECKSUM = {zstd.CompressionParameter.checksum_flag: 1}
BATCH = 1_000
RECORDS = 10_000
ROUNDS = 15


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Different statuses of 3 kB and more."""
    rng = random.Random(1)
    statuses = [status[:-1] for status in generate_statuses(300)]
    return [
        Record(
            "t",
            0,
            offset,
            0,
            None,
            rng.choice(statuses) + b',"more":"%s"}' % rng.randbytes(600).hex().encode(),
        )
        for offset in range(RECORDS)
    ]


def batches(records: list[Record]) -> Iterator[list[Record]]:
    for first in range(0, len(records), BATCH):
        yield records[first : first + BATCH]


def timed(work: Callable[[], None]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_it_writes_at_least_so_fast_as_by_hand(
    hdfs_server: HdfsServer,
    records: list[Record],
    compression: Compression,
    tmp_path: Path,
) -> None:
    folder = f"/bench-{uuid.uuid4().hex}"
    client = Client(hdfs_server.url)
    client.mkdirs(folder, create_parent=True)

    def by_hand() -> None:
        options = WriteOptions()
        raw = client.create(f"{folder}/{uuid.uuid4().hex}", options)
        stream = raw if compression == "none" else zstd.ZstdFile(raw, "wb", options=CHECKSUM)
        for batch in batches(records):
            for record in batch:
                stream.write(record.value + b"\n")
        if stream is not raw:
            stream.close()
        raw.hsync()
        raw.close()

    def by_the_archive() -> None:
        filesystem, path = open_place(
            f"{hdfs_server.url}{folder}/{uuid.uuid4().hex}", HdfsSettings()
        )
        sink = FileArchive(
            path, "t", clock=SystemClock(), filesystem=filesystem, compression=compression
        )
        sink.reload()
        for batch in batches(records):
            sink.write(batch)
            sink.flush()
        sink.close()

    by_hand()
    by_the_archive()
    hand_s, archive_s = [], []
    for _ in range(ROUNDS):
        hand_s.append(timed(by_hand))
        archive_s.append(timed(by_the_archive))
    client.delete(folder, recursive=True)
    ratio = min(hand_s) / min(archive_s)
    megabytes = sum(len(record.value) for record in records) / 1e6
    print(
        f"\narchive to HDFS, {compression}: {RECORDS / min(archive_s):,.0f} records/s, "
        f"{megabytes / min(archive_s):.0f} MB/s; by hand {megabytes / min(hand_s):.0f} MB/s; "
        f"ratio {ratio:.2f}, at least {LEAST_RATIO[compression]}"
    )
    assert ratio >= LEAST_RATIO[compression]
