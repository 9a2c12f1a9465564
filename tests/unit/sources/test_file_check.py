"""Files that are refused before anything is sent."""

import io
import json
import threading
from functools import partial
from typing import Any

import pytest

from mastostream.exceptions import ConfigurationError
from mastostream.sources.file_check import check_files
from mastostream.sources.text_file import TextFile

STATUS: dict[str, Any] = {
    "id": "1",
    "created_at": "2026-01-01T00:00:00Z",
    "account": {"acct": "a"},
}
GOOD = json.dumps(STATUS).encode() + b"\n"


def check(*files: bytes, statuses: bool = True, stopped: bool = False) -> list[int]:
    """Check files; return what was told about the progress."""
    progress: list[int] = []
    stop = threading.Event()
    if stopped:
        stop.set()
    texts = [
        TextFile(name=f"file {number}", size_bytes=len(data), open=partial(io.BytesIO, data))
        for number, data in enumerate(files)
    ]
    check_files(texts, statuses=statuses, stop=stop, on_progress=progress.append)
    return progress


@pytest.mark.parametrize("bad", [b"{broken\n", b"{}\n", b"\xff\n", b'{"id": "1", "n": NaN}\n'])
def test_a_tenth_may_be_anything_and_no_more(bad: bytes) -> None:
    check(GOOD * 900 + bad * 100)
    with pytest.raises(ConfigurationError, match=r"101 of 1000 records in file 1 .* record 900 "):
        check(GOOD, GOOD * 899 + bad * 101)


def test_deletions_are_as_good_as_posts() -> None:
    stamp = {"key": "1", "event": "delete", "instance": "a", "observed_at": "2026-01-01T00:00:00Z"}
    check(json.dumps({"id": "1", "mastostream": stamp}).encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            json.dumps({"@context": "https://www.w3.org/ns/activitystreams", "orderedItems": []}),
            "ActivityPub, like outbox.json",
        ),
        (json.dumps({"statuses": [STATUS], "version": 2}), r"jq -c '\.statuses\[\]' FILE"),
        (json.dumps([{"data": STATUS, "seen": True}]), r"'\.data', or '\.\[\]\.data' in an array"),
        (json.dumps({"a": 1, "b": [], "c\x1b[2J": [STATUS]}), "each as an object of its own"),
        ("5", "as JSON objects"),
        ('{"id": ' + "[" * 100_000, "as JSON objects"),
        (json.dumps({"a": "café"}, ensure_ascii=False), "Expected the statuses"),
        ("", "file 0 holds no statuses"),
        ("[]", "file 0 holds no statuses"),
        (json.dumps([STATUS, STATUS])[:-1], "file 0 is cut: it ends inside of an array"),
        (json.dumps(STATUS | {"n": float("nan")}), "not JSON|NaN|malformed"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(content: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"nothing was sent: .*({message})") as refused:
        check(content.encode())
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 1_000


def test_text_in_latin_1_is_told() -> None:
    content = json.dumps(STATUS | {"content": "café"}, ensure_ascii=False)
    with pytest.raises(ConfigurationError, match=r"not UTF-8 at byte.* iconv -f LATIN1"):
        check(content.encode("latin-1"))


def test_other_topics_take_any_records_but_no_damaged_file() -> None:
    check(b'{"n": 1}\n{broken\n', statuses=False)
    with pytest.raises(ConfigurationError, match="is cut"):
        check(b'[{"n": 1}', statuses=False)


def test_it_tells_how_far_it_is_over_all_files_and_can_be_stopped() -> None:
    progress = check(GOOD * 1_000, GOOD * 2_000)
    assert progress == sorted(progress)
    assert len(progress) == 3 + 2
    assert progress[-1] == len(GOOD) * 3_000
    assert check(GOOD * 1_000 + b"{}" * 5_000, stopped=True) == []
