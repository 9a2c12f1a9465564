"""The only browser of these tests: nobody's own is opened."""

import webbrowser
from collections.abc import Callable, Iterator

import pytest


class Browser(webbrowser.BaseBrowser):
    """Opens an address, or does not.

    Attributes:
        is_there: whether there is one at all.
        opens: is given each address; returns whether it was opened.
    """

    def __init__(self) -> None:
        super().__init__("of-tests")
        self.reset()

    def reset(self) -> None:
        self.is_there = True
        self.opens: Callable[[str], bool] = lambda _: True

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        return self.opens(url)


_current = Browser()


def _get() -> Browser:
    if not _current.is_there:
        raise webbrowser.Error("none")
    return _current


webbrowser.register("of-tests", _get, preferred=True)


@pytest.fixture
def browser() -> Iterator[Browser]:
    yield _current
    _current.reset()
