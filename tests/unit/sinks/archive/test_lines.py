"""Values as lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.sinks.archive.lines import is_line, line_of, value_of

VALUES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b'{"a":1}',
            b'{\n"a":1}',
            b'{"mastostream_archive":{"base64":"eA=="}}',
            b"",
            b"\xff",
            b"[1]",
            b"{}\r",
        ]
    ),
)


@given(VALUES)
def test_every_value_comes_back_from_its_line(value: bytes) -> None:
    line = line_of(value)
    assert b"\n" not in line
    assert is_line(line)
    assert value_of(line) == value


def test_a_status_is_kept_as_it_is() -> None:
    status = b'{"id": "1", "unknown":null}'
    assert line_of(status) is status


@pytest.mark.parametrize(
    "line",
    [
        b'{"mastostream_archive":{"base64":"no base64!"}}',
        b'{"mastostream_archive":{"base64":"eA=="',
        b'{"mastostream_archive":{"base64":7}}',
    ],
)
def test_a_wrapper_that_is_none_is_left_as_it_is(line: bytes) -> None:
    assert value_of(line) == line
