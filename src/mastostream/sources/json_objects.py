"""Splits text into the JSON objects that it holds, however they are written.

One object a line, several on one line, each over many lines, arrays of objects, arrays of arrays:
outside of objects, white space, commas and the brackets of arrays only separate. The text is read
in pieces, so that one of many gigabytes takes no more memory than a small one.

The libraries for this job build Python values: they lose which members are there twice and how a
number was written, and a record has to stay as the server sent it. So this module only looks for
the ends of objects, by their braces and strings; whether an object is JSON is for others to say.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import msgspec

from mastostream.exceptions import DamagedError

__all__ = ["LONGEST_BYTES", "split_objects"]

LONGEST_BYTES: Final = 16 * 2**20
"""An object of up to so many bytes is read; one of more than twice as many never is. The statuses
of Mastodon have some thousand bytes."""

_BOM: Final = b"\xef\xbb\xbf"
_STRING: Final = rb'"(?:[^"\\\n]++|\\[^\n])*+"'
"""A string of JSON, which never goes over the end of a line."""

_SEPARATORS: Final = re.compile(rb"(?:[\s,\x1e]++|%b)*+" % _BOM)
"""U+001E begins each value of a JSON text sequence (RFC 7464), U+FEFF each file of several that
were put one behind the other."""

_BRACELESS: Final = re.compile(rb'(?:[^{}"]++|%b)*+' % _STRING)
_SCALAR: Final = re.compile(rb'%b|[^\s,\[\]{}"]++' % _STRING)


def split_objects(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    r"""Yield the objects of a text in their order, each on one line, and all that is no object.

    An object that stands on one line is yielded unchanged, another without the white space between
    its tokens. What is no object is yielded as it is: outside of arrays the rest of its line. An
    object that is not closed ends before the next line that is an object by itself, and its lines
    are yielded one by one: so a broken line among good ones costs only itself.

    Takes time in proportion to the text, and memory for one piece and the longest object.

    Args:
        pieces: UTF-8 text, cut anywhere; what is wrong in it is yielded as it is.
        name: the file's name for messages.

    Raises:
        DamagedError: the text ends inside of an array, or an object is longer than
            :data:`LONGEST_BYTES`; all objects before that were yielded.
    """
    splitter = _Splitter(pieces, name)
    for value in splitter.values():
        yield value if b"\n" not in value and b"\r" not in value else _on_one_line(value)


class _Splitter:
    """The part of the text that is in memory, and the place where the next object is looked for."""

    def __init__(self, pieces: Iterator[bytes], name: str) -> None:
        self._pieces = pieces
        self._name = name
        self._text = b""
        self._start = 0
        self._ended = False
        self._open_arrays = 0
        self._line_is_new = True

    def values(self) -> Iterator[bytes]:
        while self._skip_separators():
            first = self._text[self._start : self._start + 1]
            if first == b"[":
                self._open_arrays += 1
                self._start += 1
            elif first == b"]" and self._open_arrays:
                self._open_arrays -= 1
                self._start += 1
            elif first != b"{":
                yield self._take(self._end_of_other())
            elif line_end := self._end_of_whole_line():
                yield self._take(line_end)
            else:
                yield from self._object()
        if self._open_arrays:
            raise DamagedError(f"{self._name} is cut: it ends inside of an array")

    def _skip_separators(self) -> bool:
        """Go to the next thing that is no separator; return whether there is one."""
        while True:
            end = self._end_of(_SEPARATORS, self._start)
            self._line_is_new |= b"\n" in self._text[self._start : end]
            self._start = end
            if self._ended or len(self._text) - end >= len(_BOM):
                return end < len(self._text)
            self._read_on()

    def _read_on(self) -> int:
        """Forget what is before the start, and read more; return how far everything has moved.

        At least as much is read as was kept: what is looked at again and again while an object
        grows is then never more than twice the object.
        """
        moved, self._start = self._start, 0
        kept = self._text[moved:]
        if len(kept) > LONGEST_BYTES:
            raise DamagedError(
                f"{self._name} holds an object, or a line, of more than {LONGEST_BYTES} bytes, "
                f"which no status has; it begins with {kept[:60]!r}"
            )
        read, wanted = [kept], max(1, len(kept))
        while wanted > 0 and not self._ended:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
            else:
                read.append(piece)
                wanted -= len(piece)
        self._text = b"".join(read)
        return moved

    def _take(self, end: int) -> bytes:
        value = self._text[self._start : end]
        self._start = end
        return value.rstrip()

    def _end_of(self, pattern: re.Pattern[bytes], start: int) -> int:
        """Return where the match of a pattern at ``start`` ends; ``start`` if there is none."""
        match = pattern.match(self._text, start)
        return match.end() if match else start

    def _end_of_line(self, start: int) -> int:
        """Return the end of the line at ``start``, or -1 if it has not been read yet."""
        end = self._text.find(b"\n", start)
        return len(self._text) if end < 0 and self._ended else end

    def _end_of_whole_line(self) -> int:
        """Return the end of an object that is the rest of its line; 0 if it is not.

        Most files have one object a line, which msgspec sees many times faster than braces are
        counted here. Each line is tried once: others have many objects on a line.
        """
        if not self._line_is_new:
            return 0
        self._line_is_new = False
        end = self._start + len(self._whole_line(self._start))
        return end if end > self._start else 0

    def _whole_line(self, start: int) -> bytes:
        """Return the object that the line at ``start`` consists of; empty if it does not."""
        end = self._end_of_line(start)
        line = self._text[start:end].rstrip(b", \t\r") if end >= 0 else b""
        return line if _is_json(line) else b""

    def _end_of_other(self) -> int:
        """Return the end of what is no object: one value in an array, the rest of the line else."""
        while True:
            end = self._end_of(_SCALAR, self._start) if self._open_arrays else self._start
            if end == self._start:
                end = self._end_of_line(self._start)
            if self._ended or 0 <= end < len(self._text):
                return end
            self._read_on()

    def _object(self) -> Iterator[bytes]:
        """Yield the object at the start; or its lines one by one, if it is not closed."""
        depth, place = 0, self._start
        while True:
            place = self._end_of(_BRACELESS, place)
            token = self._text[place : place + 1]
            broken = token == b'"'
            at_line = token == b"{" and depth > 0 and self._text[place - 1 : place] == b"\n"
            if not token or ((broken or at_line) and self._end_of_line(place) < 0):
                if self._ended:
                    yield from self._lines(place)
                    return
                place -= self._read_on()
            elif broken or (at_line and self._whole_line(place)):
                yield from self._lines(place if at_line else self._end_of_line(place))
                return
            else:
                depth, place = depth + (1 if token == b"{" else -1), place + 1
                if not depth:
                    yield self._take(place)
                    return

    def _lines(self, end: int) -> Iterator[bytes]:
        """Yield all lines up to a place, and go there."""
        self._line_is_new = True
        yield from filter(None, map(bytes.rstrip, self._take(end).split(b"\n")))


def _is_json(line: bytes) -> bool:
    """Whether a line is JSON, and more than an empty object."""
    if len(line) <= 2:
        return False
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


def _on_one_line(value: bytes) -> bytes:
    """Return JSON without the white space between its tokens; what is no JSON as it is."""
    with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        return msgspec.json.format(value, indent=-1)
    return value
