"""Helpers that check that a conformance suite rejects an adapter that breaks a promise."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest

__all__ = ["Weakness", "assert_all_are_tried", "assert_found_out", "name_of"]


class Weakness(NamedTuple):
    """An adapter that breaks one promise on purpose.

    Attributes:
        test: the name of the suite's test that has to fail, without ``test_``.
        make: returns the value of the suite's fixture, with the broken adapter.
    """

    test: str
    make: Callable[[], Any]


def name_of(weakness: Weakness) -> str:
    return f"{weakness.make.__name__}"


def assert_found_out(suite: type, weakness: Weakness) -> None:
    with pytest.raises((AssertionError, LookupError, ValueError)):
        getattr(suite(), f"test_{weakness.test}")(weakness.make())


def assert_all_are_tried(suite: type, weaknesses: Iterable[Weakness]) -> None:
    """Every test of the suite fails for at least one broken adapter: none is unable to fail."""
    tests = {name for name in dir(suite) if name.startswith("test_")}
    assert {f"test_{weakness.test}" for weakness in weaknesses} == tests
