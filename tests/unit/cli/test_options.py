"""What commands print for programs."""

import json
from contextlib import redirect_stdout
from io import BytesIO, TextIOWrapper

from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from mastostream.cli.options import Output


@given(st.text())
@example("one\x85two\u2028three")
@example("\x9b2Jgone")
@example("\u202eback")
def test_whatever_is_told_is_one_line_that_steers_nothing(text: str) -> None:
    printed = BytesIO()
    with redirect_stdout(TextIOWrapper(printed, encoding="utf-8", write_through=True)):
        Output(json=True, console=Console()).emit("post", text=text)
    line = printed.getvalue().decode().removesuffix("\n")
    assert json.loads(line) == {"kind": "post", "text": text}
    assert line.splitlines() == [line]
    assert not set(line) & set("\x1b\x7f\x9b\u200f\u202e\u2066")
