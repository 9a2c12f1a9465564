"""The objects of a text, however it is written and wherever it is cut."""

import json
import re
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.exceptions import DamagedError
from mastostream.sources.json_objects import LONGEST_BYTES, split_objects

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=6)
STYLES: Sequence[dict[str, Any]] = (
    {},
    {"separators": (",", ":")},
    {"indent": 2},
    {"indent": "\t"},
    {"indent": 0},
    {"ensure_ascii": False},
)
GAPS = (b"", b"\n", b"\r\n", b" ", b"\n\n \t\n", b",\n", b"\x1e", b"\xef\xbb\xbf")


def split(*pieces: bytes) -> list[bytes]:
    return list(split_objects(iter(pieces), "the file"))


def cut(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@given(OBJECTS, st.data())
def test_the_same_objects_come_out_however_they_are_written_and_cut(
    objects: list[dict[str, Any]], data: st.DataObject
) -> None:
    written = [
        json.dumps(each, **data.draw(st.sampled_from(STYLES))).encode(errors="replace")
        for each in objects
    ]
    text = b"".join(each + data.draw(st.sampled_from(GAPS)) for each in written)
    size = data.draw(st.integers(1, 40))
    assert [json.loads(value) for value in split(*cut(text, size))] == [
        json.loads(each) for each in written
    ]


@given(OBJECTS, st.sampled_from(STYLES), st.integers(1, 40))
def test_arrays_and_arrays_of_arrays_hold_objects_too(
    objects: list[dict[str, Any]], style: dict[str, Any], size: int
) -> None:
    text = json.dumps([objects[:2], objects[2:]], **style).encode(errors="replace")
    text += json.dumps(objects, **style).encode(errors="replace")
    expected = json.loads(json.dumps(objects).encode(errors="replace"))
    assert [json.loads(value) for value in split(*cut(text, size))] == expected * 2


HOSTILE = st.lists(
    st.sampled_from([*b'{}[]",\\\n\r :1a\xff\xef\xbb\xbf\x1e'] + [ord("{"), ord("\n")] * 3),
    max_size=60,
).map(bytes)


@given(HOSTILE | st.binary(), st.integers(1, 9))
def test_any_bytes_give_the_same_wherever_they_are_cut_and_nothing_gets_lost(
    text: bytes, size: int
) -> None:
    def kept(values: bytes) -> bytes:
        return re.sub(rb"[\s,\[\]\x1e\xef\xbb\xbf]", b"", values)

    outcomes = []
    for pieces in ([text], cut(text, size)):
        values = []
        cause = ""
        try:
            for value in split_objects(iter(pieces), "the file"):
                values.append(value)  # noqa: PERF402 - those before the error count
        except DamagedError as error:
            cause = str(error)
        outcomes.append((values, cause))
        assert kept(b"".join(values)) == kept(text)
    assert outcomes[0] == outcomes[1]


LINES = [
    b'{"id": 1, "text": "a\xe2\x80\xa8b\xc2\x85c", "n": 1.0, "id": 2}',
    b'{"id":2,"braces":"}{\\"}{","n":1e400}',
]


def test_an_object_on_one_line_stays_as_it_is_and_another_gets_one_line() -> None:
    assert split(b"\n".join(LINES)) == LINES
    assert split(b"".join(LINES)) == LINES
    pretty = b'{\n  "id" : 1.0,\r\n  "id": [ 1,\n "a  b" ]\n}'
    assert split(pretty) == [b'{"id":1.0,"id":[1,"a  b"]}']


@pytest.mark.parametrize(
    "broken",
    [
        [b'{"id": 1, "name": "cu'],
        [b'{"id": 1, "of": {'],
        [b"{broken", b"\xff\x00"],
        [b"not, [json]"],
        [b'"text, and"', b"5", b"}", b'"'],
        [b'{"id": 1, "n": NaN}'],
    ],
)
def test_lines_that_are_no_objects_cost_only_themselves(broken: list[bytes]) -> None:
    text = b"\n".join([LINES[0], *broken, LINES[1], b""])
    assert split(text) == [LINES[0], *broken, LINES[1]]
    assert split(*cut(text, 3)) == [LINES[0], *broken, LINES[1]]


def test_an_object_that_is_not_closed_ends_before_the_next_line_that_is_one() -> None:
    text = b'{"id": 1, "of": {\n' + LINES[1] + b'\n{\n "id": 3\n}\n'
    assert split(text) == [b'{"id": 1, "of": {', LINES[1], b'{"id":3}']


def test_what_is_no_object_in_an_array_costs_only_itself() -> None:
    assert split(b'[1, "a, [b]", {"a": 1}, null]{"b": 2}') == [
        b"1",
        b'"a, [b]"',
        b'{"a": 1}',
        b"null",
        b'{"b": 2}',
    ]


@pytest.mark.parametrize("text", [b'[{"a": 1}', b'[{"a": 1},', b'[{"a": 1}, {"b"', b"[[{}]"])
def test_an_array_that_is_cut_is_told_after_what_it_holds(text: bytes) -> None:
    values = split_objects(iter([text]), "the file")
    assert next(values) in {b'{"a": 1}', b"{}"}
    with pytest.raises(DamagedError, match="the file is cut"):
        list(values)


def peak_bytes(values: Iterator[bytes]) -> tuple[int, int]:
    """Return the number of values, and the most memory that was needed."""
    tracemalloc.start()
    count = sum(1 for _ in values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return count, peak


@pytest.mark.parametrize(
    "piece",
    [
        b'{"content": "%s"},' % (b"x" * 3_000) * 300,
        b'{\n "content": "%s"\n}\n' % (b"x" * 3_000) * 300,
        b" " * 900_000,
        b"[" * 500 + b"]" * 500,
    ],
)
def test_a_text_of_any_length_needs_little_memory(piece: bytes) -> None:
    count, peak = peak_bytes(split_objects(repeat(piece, 40), "the file"))
    assert count == piece.count(b"{") * 40
    assert peak < 8 * 2**20


@pytest.mark.parametrize(
    ("begin", "rest"),
    [
        (b"", b"x" * 2**20),
        (b"", b'{"a":' + b" " * 2**20),
        (b'{"a": "', b"x" * 2**20),
        (b'{"a": "', b"\\" * 2**20),
        (b'{"a": {}, ', b'"a": {"b": "%s"}, ' % (b"x" * 2**20)),
    ],
)
def test_an_object_or_a_line_without_an_end_is_told(begin: bytes, rest: bytes) -> None:
    values = split_objects(chain([begin], repeat(rest, 99)), "the file")
    tracemalloc.start()
    with pytest.raises(DamagedError, match="more than"):
        list(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * LONGEST_BYTES


def test_a_long_object_is_read_however_it_is_escaped() -> None:
    value = b'{"a": "' + b"\\\\" * (LONGEST_BYTES // 2 - 10) + b'"}'
    assert split(*cut(value, 2**20)) == [value]
