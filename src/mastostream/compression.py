"""Plain, gzip, bzip2 and zstd files: opening them, and the suffixes of their names."""

import bz2
import gzip
import sys
import zlib
from collections.abc import Mapping
from typing import IO, BinaryIO, Final, Literal, Self, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = [
    "DAMAGE",
    "SUFFIXES",
    "Compression",
    "compressed",
    "compression_of",
    "decompressed",
]

Compression = Literal["none", "gzip", "zstd"]

SUFFIXES: Final[dict[Compression, str]] = {"none": "", "gzip": ".gz", "zstd": ".zst"}
"""The end of a file's name, for each compression."""

_GZIP_BITS: Final = zlib.MAX_WBITS | 16
"""zlib's ``wbits`` for its largest window, with the header and trailer of gzip (+16)."""

_ZSTD_JOB_BYTES: Final = 2 * 2**20
"""The piece of a file that a thread of zstd compresses at a time."""

_BZIP2: Final = b"BZh"
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
"""The first bytes of a file, by the specifications: bzip2 has no formal one, RFC 1952, RFC 8878."""

DAMAGE: Final = (OSError, EOFError, zlib.error, zstd.ZstdError)
"""The exceptions that a read raises if the data is cut short or wrong."""


def compressed(raw: IO[bytes], compression: Compression, mode: Literal["rb", "wb"]) -> IO[bytes]:
    """Return a file that compresses into ``raw``, or decompresses from it.

    Closing it leaves ``raw`` open. For ``none`` it is ``raw`` itself. A compressed file may hold
    several streams, one after the other; each stream carries a checksum of its content.

    Args:
        raw: the file with the compressed bytes.
        compression: how its bytes are compressed.
        mode: ``rb`` to read, ``wb`` to write.
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


def decompressed(raw: BinaryIO) -> IO[bytes]:
    """Return a file that reads the decompressed bytes of ``raw``, whatever the file's name is.

    The first bytes tell gzip, bzip2 and zstd apart; anything else is read as it is. The file may
    hold several streams, one after the other. A read of ``n`` bytes takes memory in proportion to
    ``n``, however much the file grows when it is decompressed; zstd takes up to 128 MiB more.

    Args:
        raw: the file, which can be sought; it is read from its start.
    """
    raw.seek(0)
    start = raw.read(4)
    raw.seek(0)
    if start.startswith(_BZIP2):
        return cast("IO[bytes]", bz2.BZ2File(raw))
    if start.startswith(_GZIP):
        return compressed(raw, "gzip", "rb")
    return compressed(raw, "zstd" if start == _ZSTD else "none", "rb")


class _GzipWriter:
    """Writes one gzip stream (RFC 1952) without a timestamp.

    ``gzip.GzipFile`` is not used: it writes its buffered data when it is garbage collected, even
    for a file that was abandoned, and Python 3.13 and later print the error of such a write.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._compressor = zlib.compressobj(zlib.Z_BEST_COMPRESSION, wbits=_GZIP_BITS)

    def write(self, data: bytes, /) -> int:
        if piece := self._compressor.compress(data):
            self._raw.write(piece)
        return len(data)

    def close(self) -> None:
        """Write the rest of the stream. The file stays open."""
        self._raw.write(self._compressor.flush())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _zstd_options() -> Mapping[int, int]:
    """Options of zstd: a checksum, and one thread per file if the library has threads.

    By default a thread takes 22 MB of memory per file. The smaller pieces that are set here take
    less, and make files 3 % larger.
    """
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {parameter.checksum_flag: 1}
    if parameter.nb_workers.bounds()[1] > 0:
        options |= {parameter.nb_workers: 1, parameter.job_size: _ZSTD_JOB_BYTES}
    return options


def compression_of(name: str) -> Compression:
    """Return the compression that the suffix of a file's name stands for."""
    return next(
        (kind for kind, suffix in SUFFIXES.items() if suffix and name.endswith(suffix)), "none"
    )
