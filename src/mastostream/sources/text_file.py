"""Reads files of statuses as people have them: their content says how they are written."""

import codecs
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from typing import IO, BinaryIO, Final

import attrs

from mastostream.compression import DAMAGE, decompressed
from mastostream.exceptions import DamagedError
from mastostream.sources.json_objects import split_objects

__all__ = ["TextFile", "Unwrap", "is_text_file"]

_BLOCK_BYTES: Final = 2**20
_ENDINGS: Final = (".jsonl", ".ndjson", ".json")
_COMPRESSED_ENDINGS: Final = ("", ".gz", ".bz2", ".zst")
_SUFFIXES: Final = tuple(text + packed for text in _ENDINGS for packed in _COMPRESSED_ENDINGS)

Unwrap = Callable[[bytes], bytes]
"""Turns an object of a file into the record's value."""


def is_text_file(name: str) -> bool:
    """Whether a replay of a folder takes a file of this name; in any case of letters."""
    return name.lower().endswith(_SUFFIXES)


@attrs.frozen(kw_only=True)
class TextFile:
    """A :class:`sources.replay.ReplayFile` of JSON objects, as :func:`split_objects` finds them.

    Its content, not its name, says how it is compressed (gzip, bzip2, zstd or not) and encoded
    (UTF-8, UTF-16, UTF-32, with or without a byte order mark). It is read in pieces, so that
    neither a large file nor one that grows without end when it is decompressed needs much memory.

    Attributes:
        name: its path, for messages.
        size_bytes: the size of the file as it is stored.
        open: opens the file.
        unwrap: turns an object into the record's value.
    """

    name: str
    size_bytes: int
    open: Callable[[], BinaryIO]
    unwrap: Unwrap = bytes

    def values(self) -> Iterator[tuple[bytes, int]]:
        with closing(self.open()) as raw:
            text = _utf8(_blocks(decompressed(raw), self.name), self.name)
            for value in split_objects(text, self.name):
                yield self.unwrap(value), raw.tell()


def _blocks(stream: IO[bytes], name: str) -> Iterator[bytes]:
    try:
        while block := stream.read(_BLOCK_BYTES):
            yield block
    except DAMAGE as error:
        raise DamagedError(f"{name} is damaged, or cut short: {error}") from error


def _utf8(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Yield text as UTF-8. What says that it is UTF-8 is yielded as it is, even if it is wrong."""
    first = next(blocks, b"")
    encoding = json.detect_encoding(first)
    blocks = chain([first], blocks)
    if encoding.startswith("utf-8"):
        yield from blocks
        return
    try:
        for text in codecs.iterdecode(blocks, encoding):
            yield text.encode()
    except UnicodeError as error:
        raise DamagedError(f"{name} begins as text in {encoding}, and is none: {error}") from error
