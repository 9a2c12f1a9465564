"""Files of statuses in every form that people have them in."""

import bz2
import gzip
import io
import json
import tracemalloc
from collections.abc import Callable
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import encode
from mastostream.compression import compressed
from mastostream.core.models import Post
from mastostream.exceptions import DamagedError
from mastostream.sources.text_file import TextFile, is_text_file
from mastostream.testing.strategies import posts


def zstd(data: bytes) -> bytes:
    raw = io.BytesIO()
    with compressed(raw, "zstd", "wb") as stream:
        stream.write(data)
    return raw.getvalue()


def in_two(compress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Compress the halves by themselves: two members, frames or streams."""
    return lambda data: compress(data[: len(data) // 2]) + compress(data[len(data) // 2 :])


COMPRESSIONS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "zstd": zstd,
    "two of gzip": in_two(gzip.compress),
    "two of bzip2": in_two(bz2.compress),
    "two of zstd": in_two(zstd),
}
ENCODINGS: Final = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
FORMATS: Final[dict[str, Callable[[list[object]], str]]] = {
    "lines": lambda items: "".join(json.dumps(item) + "\n" for item in items),
    "lines in their own letters": lambda items: "\n".join(
        json.dumps(item, ensure_ascii=False) for item in items
    ),
    "lines of Windows": lambda items: "".join(json.dumps(item) + "\r\n" for item in items),
    "lines with blank ones": lambda items: "\n\t\n\n".join(map(json.dumps, items)),
    "one behind the other": lambda items: "".join(map(json.dumps, items)),
    "as jq prints them": lambda items: "".join(json.dumps(item, indent=2) + "\n" for item in items),
    "array": json.dumps,
    "array over many lines": lambda items: json.dumps(items, indent=1),
    "array behind spaces": lambda items: " " * 200 + "\n" + json.dumps(items),
    "array of pages": lambda items: json.dumps([items[:3], items[3:]]),
    "pages, one a line": lambda items: json.dumps(items[:3]) + "\n" + json.dumps(items[3:]) + "\n",
}


def file_of(data: bytes, name: str = "any name") -> TextFile:
    return TextFile(name=name, size_bytes=len(data), open=lambda: io.BytesIO(data))


def canonical(value: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(value))


@given(
    st.lists(posts(), min_size=1, max_size=5),
    st.sampled_from(sorted(FORMATS)),
    st.sampled_from(ENCODINGS),
    st.sampled_from(sorted(COMPRESSIONS)),
)
def test_the_same_records_come_out_of_every_form(
    written: list[Post], form: str, encoding: str, compression: str
) -> None:
    items = [json.loads(encode(post)) for post in written]
    data = COMPRESSIONS[compression](FORMATS[form](items).encode(encoding))
    values, positions = zip(*file_of(data).values(), strict=True)
    assert [canonical(value) for value in values] == [
        msgspec.json.encode(msgspec.json.decode(encode(post))) for post in written
    ]
    assert list(positions) == sorted(positions)
    assert positions[-1] <= len(data)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_form_is_recognised(form: str, compression: str) -> None:
    items: list[object] = [{"id": str(number), "name": "caf\u00e9 \u2028"} for number in range(7)]
    for encoding in ENCODINGS:
        data = COMPRESSIONS[compression](FORMATS[form](items).encode(encoding))
        assert [json.loads(value) for value, _ in file_of(data).values()] == items


STATUSES: Final = b'{"id": "1", "text": "%s"}\n' % bytes(range(32, 34)) * 3_000


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, zstd])
def test_a_compressed_file_that_is_cut_or_changed_is_told(
    compress: Callable[[bytes], bytes],
) -> None:
    whole = compress(STATUSES)
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    for data in (whole[:-1], whole[:middle], changed):
        with pytest.raises(DamagedError, match="any name is damaged, or cut short"):
            list(file_of(data).values())


def test_utf_16_that_is_cut_within_a_character_is_told() -> None:
    with pytest.raises(DamagedError, match="begins as text in utf-16, and is none"):
        list(file_of('{"id": "1"}'.encode("utf-16")[:-1]).values())


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, zstd])
@pytest.mark.parametrize("bomb", [b" ", b"x"])
def test_a_file_that_grows_a_thousandfold_needs_little_memory(
    compress: Callable[[bytes], bytes], bomb: bytes
) -> None:
    data = compress(bomb * 64 * 2**20 + b'\n{"id": "1"}')
    tracemalloc.start()
    try:
        values = [value for value, _ in file_of(data).values()]
    except DamagedError as error:
        assert "more than" in str(error)  # noqa: PT017 - the other bomb raises none
        values = []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert values == ([b'{"id": "1"}'] if bomb == b" " else [])
    assert peak < 128 * 2**20


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a.jsonl", True),
        ("A.JSONL", True),
        ("a.ndjson.bz2", True),
        ("a.json.gz", True),
        ("a.Jsonl.Zst", True),
        ("a.txt", False),
        ("json", False),
        ("a.jsonl.sha256", False),
    ],
)
def test_a_folder_gives_files_by_their_endings(name: str, taken: bool) -> None:
    assert is_text_file(name) is taken
