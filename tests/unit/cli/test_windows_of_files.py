"""Files that are replayed give true windows, in whatever order their posts are."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from mastostream import Account, Post, Tag, encode
from mastostream.cli.main import cli
from mastostream.core.topic_names import COUNTS, DASHBOARD, LATE, TRENDS
from mastostream.log.sqlite import SqliteLogReader

START = datetime(2026, 3, 1, tzinfo=UTC)
WINDOWS = ("count", "dashboard", "trends")


def analyze(folder: Path, values: Sequence[bytes]) -> dict[str, dict[str, bytes]]:
    """Replay a file and analyze it; return the newest record of each key, by topic."""
    folder.mkdir()
    source = folder / "posts.jsonl"
    source.write_bytes(b"\n".join(values))
    chosen = [part for name in WINDOWS for part in ("--analysis", name)]
    for arguments in (
        ["replay", str(source)],
        ["analyze", "--once", "--mode", "sql", *chosen],
    ):
        done = CliRunner().invoke(cli, [*arguments, "--data", str(folder / "data")])
        assert done.exit_code == 0, done.output
    return {name: newest(folder / "data", name) for name in (COUNTS, DASHBOARD, TRENDS, LATE)}


def newest(data: Path, topic: str) -> dict[str, bytes]:
    with closing(
        SqliteLogReader(data / "mastostream.sqlite3", topic=topic, group="test")
    ) as reader:
        records = reader.read(100_000, 0.0)
    kept: dict[str, bytes] = {}
    for record in sorted(records, key=lambda record: observed_at(record.value)):
        assert record.key is not None
        kept[record.key] = record.value
    return kept


def observed_at(value: bytes) -> datetime:
    return datetime.fromisoformat(json.loads(value)["observed_at"])


def post(number: int, created_at: datetime, edited_at: datetime | None = None) -> bytes:
    return encode(
        Post(
            id=str(number),
            created_at=created_at,
            edited_at=edited_at,
            account=Account(acct=f"a{number % 7}"),
            language=("en", "pt-BR", None)[number % 3],
            tags=(Tag(name=f"t{number % 5}"),),
            favourites_count=number % 11 + (0 if edited_at is None else 100),
        )
    )


def history() -> list[bytes]:
    """Return posts of an hour, some with an edit, oldest version first."""
    versions = []
    for number in range(400):
        created_at = START + timedelta(seconds=9 * number + number % 4)
        versions.append((created_at, post(number, created_at)))
        if number % 6 == 0:
            edited_at = created_at + timedelta(seconds=number + 1)
            versions.append((edited_at, post(number, created_at, edited_at)))
    return [value for _, value in sorted(versions)]


@pytest.mark.parametrize(
    "order",
    [
        lambda values: values[::-1],
        lambda values: Random(1).sample(values, len(values)),
        lambda values: [*values[200:], *values, *values[:100]],
    ],
    ids=["newest first", "at random", "some twice"],
)
def test_the_order_of_a_file_changes_no_record(tmp_path: Path, order: Callable[[Any], Any]) -> None:
    values = history()
    expected = analyze(tmp_path / "oldest first", values)
    assert len(expected[COUNTS]) > 300
    assert sum(json.loads(value)["posts"] for value in expected[COUNTS].values()) == 400
    assert analyze(tmp_path / "other", order(values)) == expected


def test_one_post_of_the_future_is_told_and_costs_no_other(tmp_path: Path) -> None:
    minutes = [post(number, START + timedelta(minutes=number)) for number in range(20)]
    future = post(99, datetime.now(UTC) + timedelta(days=1_000))
    records = analyze(tmp_path / "folder", [minutes[0], future, *minutes[1:]])
    assert len(records[COUNTS]) == len(records[DASHBOARD]) == 20
    (told,) = records[LATE].values()
    assert json.loads(told)["reason"] == "ahead"
