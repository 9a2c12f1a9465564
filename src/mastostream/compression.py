"""Files of bytes, plain or compressed, by one name for each way."""

import gzip
import sys
import zlib
from typing import IO, Final, Literal, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["DAMAGE", "SUFFIXES", "Compression", "compressed"]

Compression = Literal["none", "gzip", "zstd"]

SUFFIXES: Final[dict[Compression, str]] = {"none": "", "gzip": ".gz", "zstd": ".zst"}
"""How the name of such a file ends."""

DAMAGE: Final = (OSError, EOFError, zlib.error, zstd.ZstdError)
"""What reading raises where the data is cut short or wrong."""


def compressed(raw: IO[bytes], compression: Compression, mode: Literal["rb", "wb"]) -> IO[bytes]:
    """Return a file that (de)compresses on its way to ``raw``; closing it leaves ``raw`` open.

    ``none`` gives ``raw`` itself. One file may hold several streams, one after the other.
    """
    if compression == "gzip":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode=mode, mtime=0))
    if compression == "zstd":
        return cast("IO[bytes]", zstd.ZstdFile(raw, mode))
    return raw
