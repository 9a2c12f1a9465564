"""What Java is told through the environment."""

import os

import pytest

from mastostream.java_options import add_java_options


def test_options_are_added_once_and_those_that_were_given_come_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Java takes the last one of a kind."""
    monkeypatch.setenv("SOME_OPTS", "-Xmx1g -Xrs")
    for _ in range(2):
        add_java_options("SOME_OPTS", "-Xmx512m", "-Xrs")
    assert os.environ["SOME_OPTS"] == "-Xmx512m -Xmx1g -Xrs"
