"""Whether a suite finds out who breaks a promise."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest

__all__ = ["Weakness", "assert_all_are_tried", "assert_found_out", "name_of"]


class Weakness(NamedTuple):
    """A promise that is broken on purpose.

    Attributes:
        test: the name of the suite's test that has to go red, without ``test_``.
        make: makes what the suite's fixture gives.
    """

    test: str
    make: Callable[[], Any]


def name_of(weakness: Weakness) -> str:
    return f"{weakness.make.__name__}"


def assert_found_out(suite: type, weakness: Weakness) -> None:
    with pytest.raises((AssertionError, LookupError, ValueError)):
        getattr(suite(), f"test_{weakness.test}")(weakness.make())


def assert_all_are_tried(suite: type, weaknesses: Iterable[Weakness]) -> None:
    """Each test of a suite has somebody whom it finds out: none is a test that cannot fail."""
    tests = {name for name in dir(suite) if name.startswith("test_")}
    assert {f"test_{weakness.test}" for weakness in weaknesses} == tests
