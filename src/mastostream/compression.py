"""Files of bytes, plain or compressed, by one name for each way."""

import gzip
import sys
import zlib
from collections.abc import Mapping
from typing import IO, Final, Literal, Self, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["DAMAGE", "SUFFIXES", "Compression", "compressed", "compression_of"]

Compression = Literal["none", "gzip", "zstd"]

SUFFIXES: Final[dict[Compression, str]] = {"none": "", "gzip": ".gz", "zstd": ".zst"}
"""How the name of such a file ends."""

_GZIP_BITS: Final = zlib.MAX_WBITS | 16
"""How zlib is told to write a header and an end of gzip."""

_ZSTD_PIECE_BYTES: Final = 2 * 2**20

DAMAGE: Final = (OSError, EOFError, zlib.error, zstd.ZstdError)
"""What reading raises where the data is cut short or wrong."""


def compressed(raw: IO[bytes], compression: Compression, mode: Literal["rb", "wb"]) -> IO[bytes]:
    """Return a file that (de)compresses on its way to ``raw``; closing it leaves ``raw`` open.

    ``none`` gives ``raw`` itself. One file may hold several streams, one after the other; each
    keeps a checksum of what it holds.
    """
    if compression == "gzip":
        if mode == "rb":
            return cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode=mode))
        return cast("IO[bytes]", _GzipWriter(raw))
    if compression == "zstd":
        if mode == "rb":
            return cast("IO[bytes]", zstd.ZstdFile(raw, mode))
        return cast("IO[bytes]", zstd.ZstdFile(raw, mode, options=_zstd_options()))
    return raw


class _GzipWriter:
    """Writes one stream of gzip (RFC 1952), with no time in it.

    ``gzip.GzipFile`` writes what is left when it is collected, wanted or not, and Python 3.13 and
    later print how that fails.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._compressor = zlib.compressobj(zlib.Z_BEST_COMPRESSION, wbits=_GZIP_BITS)

    def write(self, data: bytes, /) -> int:
        if piece := self._compressor.compress(data):
            self._raw.write(piece)
        return len(data)

    def close(self) -> None:
        """Write the end. The file stays open."""
        self._raw.write(self._compressor.flush())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _zstd_options() -> Mapping[int, int]:
    """A checksum, and a thread of its own, where the library has threads.

    A thread of zstd takes 22 MB a file unless its pieces are smaller; these make files 3 % larger.
    """
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {parameter.checksum_flag: 1}
    if parameter.nb_workers.bounds()[1] > 0:
        options |= {parameter.nb_workers: 1, parameter.job_size: _ZSTD_PIECE_BYTES}
    return options


def compression_of(name: str) -> Compression:
    """Return how a file of this name is compressed."""
    return next((kind for kind, end in SUFFIXES.items() if end and name.endswith(end)), "none")
