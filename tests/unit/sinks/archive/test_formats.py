"""How records become a file's bytes."""

import gc

import pytest

from mastostream.compression import Compression
from mastostream.sinks.archive.formats import JsonLines


class FullDisk:
    """A new file that takes nothing, and counts who tries."""

    tries = 0

    def write(self, data: bytes, /) -> int:
        self.tries += 1
        raise OSError(28, "No space left on device")

    def flush(self) -> None: ...

    def seal(self) -> None: ...

    def close(self) -> None: ...


def write_one(file: FullDisk, compression: Compression) -> None:
    writer = JsonLines(file, compression, hashing=False)
    try:
        writer.add_lines(b"{}\n")
        writer.finish()
    except BaseException:
        writer.give_up()
        raise


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_after_a_write_that_failed_nothing_is_written_when_the_rest_is_forgotten(
    compression: Compression,
) -> None:
    """Python 3.13 and later print what a forgotten compressor fails at."""
    file = FullDisk()
    with pytest.raises(OSError, match="No space"):
        write_one(file, compression)
    gc.collect()
    assert file.tries == 1
