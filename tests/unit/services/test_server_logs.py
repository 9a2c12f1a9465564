"""The last lines of logs, and the lines that are added to them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.services import Follower, last_lines


@given(
    lines=st.lists(st.text("ab c", max_size=9000).map(str.strip), max_size=8),
    count=st.integers(0, 14),
)
def test_the_last_lines_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], count: int
) -> None:
    path = tmp_path_factory.mktemp("logs") / "a.log"
    path.write_text("".join(f"{line}\n" for line in lines))
    kept = [line for line in lines if line]
    assert last_lines(path, count) == (kept[-count:] if count else [])


def test_what_steers_a_terminal_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"a\x1b[2Jb\x07 \xff\xe2\x80\xaec\tend\r\n")
    (line,) = last_lines(path, 5)
    assert line == "a [2Jb  \ufffd c end"


def test_a_log_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none.log", 5) == []
    assert Follower(tmp_path / "none.log").new_lines() == []


def test_added_lines_come_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("before\n")
    follower = Follower(path)
    with path.open("a") as file:
        file.write("one\ntw")
        file.flush()
        assert follower.new_lines() == ["one"]
        assert follower.new_lines() == []
        file.write("o\nthree\n")
    assert follower.new_lines() == ["two", "three"]
    assert follower.new_lines() == []


def test_the_log_of_a_restart_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("a long line of the run before\n")
    follower = Follower(path)
    path.replace(tmp_path / "a.log.1")
    assert follower.new_lines() == []
    path.write_text("new\n")
    assert follower.new_lines() == ["new"]
