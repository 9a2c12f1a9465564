"""What commands print for programs."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from mastostream.cli.options import Output


@given(st.text())
@example("one\x85two\u2028three")
@example("\x9b2Jgone")
@example("\u202eback")
def test_whatever_is_told_is_one_line_that_steers_nothing(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("click.echo", printed.append)
        Output(json=True, console=Console()).emit("post", text=text)
    (line,) = printed
    assert json.loads(line) == {"kind": "post", "text": text}
    assert line.splitlines() == [line]
    assert not set(line) & set("\x1b\x7f\x9b\u200f\u202e\u2066")
