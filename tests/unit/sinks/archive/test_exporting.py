"""An archive as one file."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mastostream.exceptions import ConfigurationError, DamagedError
from mastostream.sinks.archive import LocalFiles, export_lines, list_archive, value_of
from mastostream.testing.conformance.archive import records_of
from mastostream.testing.fakes import WatchedFiles

from .reading import names, place_of
from .test_sink import KINDS, archive

VALUES = [b'{"id":"%d"}' % number for number in range(20)] + [b"\xff", b"{\n}"]


def fill(folder: Path, **kind: Any) -> None:
    for partition in (1, 0):
        sink = archive(folder, rotate_records=7, **kind)
        sink.write(records_of(VALUES, partition=partition))
        sink.close()


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("name", ["tweets_data.json", "new/all.jsonl.gz"])
def test_all_records_are_lines_of_one_file(tmp_path: Path, kind: dict[str, Any], name: str) -> None:
    fill(tmp_path / "archive", **kind)
    before = names(tmp_path / "archive")
    output = tmp_path / "out" / name
    progress: list[tuple[int, int]] = []
    count = export_lines(
        place_of(tmp_path / "archive"),
        LocalFiles(),
        str(output),
        lambda *step: progress.append(step),
    )
    data = output.read_bytes()
    lines = (gzip.decompress(data) if name.endswith(".gz") else data).splitlines()
    assert count == len(lines) == 2 * len(VALUES)
    assert [value_of(line) for line in lines] == [*VALUES, *VALUES]
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert sum(size for size, _ in progress) == progress[0][1]
    assert names(tmp_path / "archive") == before
    assert names(tmp_path / "out") == [output.name]


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path / "archive")
    output = tmp_path / "tweets_data.json"
    output.write_text("mine")
    with pytest.raises(ConfigurationError, match="is there already"):
        export_lines(place_of(tmp_path / "archive"), LocalFiles(), str(output))
    output.unlink()

    def watch(when: str, what: str) -> None:
        if (when, what) == ("before", "rename"):
            output.write_text("mine")

    with pytest.raises(ConfigurationError, match="is there already"):
        export_lines(place_of(tmp_path / "archive"), WatchedFiles(LocalFiles(), watch), str(output))
    assert output.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [output.name]


def test_a_damaged_archive_gives_no_file(tmp_path: Path) -> None:
    fill(tmp_path / "archive")
    path = Path(list_archive(place_of(tmp_path / "archive")).files[-1].path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DamagedError, match="is damaged"):
        export_lines(place_of(tmp_path / "archive"), LocalFiles(), str(tmp_path / "out.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]
