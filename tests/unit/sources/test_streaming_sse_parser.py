"""Server-sent events come out the same, however the bytes are cut."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.conftest import corpus_folder

from mastostream.exceptions import RetriableError
from mastostream.sources.mastodon.streaming.sse_parser import MAX_EVENT_BYTES, SseParser

Events = list[tuple[str, bytes]]

FOLDER = corpus_folder()
RECORDED = sorted((FOLDER / "streaming").glob("*.sse*")) if FOLDER else []
TEXT = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])
    | st.sampled_from("\u2028\u2029\u0085\x0b\x0c\x1c")
)
NAMES = st.sampled_from(["update", "status.update", "delete", ""]) | TEXT.map(str.strip)
HEARTBEATS = st.lists(st.sampled_from([":)\n", ":thump\n", ":thump\n\n"]), max_size=2)
EVENTS = st.tuples(HEARTBEATS, NAMES, st.lists(TEXT, min_size=1, max_size=3))


def parse(chunks: Iterable[bytes]) -> Events:
    parser = SseParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def cut(raw: bytes, size: int) -> list[bytes]:
    return [raw[start : start + size] for start in range(0, len(raw), size)]


def slowly(raw: bytes) -> Events:
    """The standard's algorithm, line by line."""
    events, name, data = [], "", []
    for connection in (connection.removesuffix(b"\r") for connection in raw.split(b"\n")[:-1]):
        if not connection:
            if data:
                events.append((name or "message", b"\n".join(data)))
            name, data = "", []
        elif connection.startswith(b"data:"):
            data.append(connection[5:].removeprefix(b" "))
        elif connection == b"data":
            data.append(b"")
        elif connection.startswith(b"event:"):
            name = connection[6:].removeprefix(b" ").decode(errors="replace")
        elif connection == b"event":
            name = ""
    return events


@pytest.mark.skipif(not RECORDED, reason="no recorded streams here: set MASTOSTREAM_CORPUS")
@pytest.mark.parametrize("path", RECORDED, ids=[path.name for path in RECORDED])
def test_a_recorded_stream_may_be_cut_anywhere(path: Path) -> None:
    raw = path.read_bytes()
    if b"\n\n" not in raw:  # the recorder left the empty lines out
        raw = raw.replace(b"\nevent:", b"\n\nevent:") + b"\n\n"
    whole = parse([raw])
    assert whole
    assert whole == slowly(raw)
    for position in range(len(raw)):
        assert parse([raw[:position], raw[position:]]) == whole
    for size in (1, 2, 3, 7, 64, 1_000, 4_096):
        assert parse(cut(raw, size)) == whole


@given(st.lists(EVENTS, max_size=5), st.sampled_from(["\n", "\r\n"]), st.integers(1, 40))
def test_what_was_sent_comes_out_byte_by_byte(
    sent: list[tuple[list[str], str, list[str]]], end: str, size: int
) -> None:
    raw = ""
    for heartbeats, name, lines in sent:
        raw += "".join(heartbeats) + (f"event: {name}{end}" if name else "")
        raw += "".join(f"data: {connection}{end}" for connection in lines) + end
    expected = [(name or "message", "\n".join(lines).encode()) for _, name, lines in sent]
    assert parse([raw.encode()]) == expected
    assert parse(cut(raw.encode(), size)) == expected


PIECES = st.sampled_from([b"data", b"event", b":", b" ", b"\r", b"\n", b"\n\n", b"data: "])


@given(st.lists(PIECES | st.binary(max_size=8), max_size=30).map(b"".join), st.integers(1, 40))
@example(b"event: delete\ndata: 5\n6\n\n", 4)
@example(b"data\n\n", 1)
def test_garbage_is_no_error_and_no_matter_of_cuts(raw: bytes, size: int) -> None:
    assert parse(cut(raw, size)) == parse([raw]) == slowly(raw)


def test_half_an_event_never_comes_out() -> None:
    assert parse([b"event: update\ndata: {}\n"]) == []
    assert parse([b"event: update\ndata: {}\n", b"\n"]) == [("update", b"{}")]


@pytest.mark.parametrize("piece", [b"x", b"data: x\n", b"data\n", b"x\ndata:x\n"])
def test_memory_is_bounded(piece: bytes) -> None:
    parser = SseParser(max_event_bytes=2**20)
    chunk = piece * 1_000
    for _ in range(2**20 // len(chunk) - 1):
        assert parser.feed(chunk) == []
    with pytest.raises(RetriableError, match="more than 1048576 bytes"):
        list(map(parser.feed, [chunk] * (2 * 2**20 // len(chunk))))


def test_a_long_event_comes_out_whole() -> None:
    connection = b"data: " + b"x" * (MAX_EVENT_BYTES - 6)
    assert parse([*cut(connection, 2**16), b"\n\n"]) == [("message", connection[6:])]
