"""The command line without a process of its own, and the only browser that it finds."""

import gc
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path

import attrs
import pytest

from mastostream.cli.main import main


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


@attrs.frozen
class Ended:
    """What a command has left."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ended]]:
    """Run a command as its own process would; each has one test that really starts one, too."""

    def run(folder: Path, *arguments: str, encoding: str = "utf-8", **environ: str) -> Ended:
        out, err = (TextIOWrapper(BytesIO(), encoding=encoding) for _ in "12")
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(folder)
            for name, value in environ.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main(arguments)
        texts = []
        for stream in (out, err):
            stream.flush()
            texts.append(stream.detach().getvalue().decode(encoding))  # type: ignore[attr-defined]  # BytesIO
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, *texts)

    threshold = gc.get_threshold()
    yield run
    gc.set_threshold(*threshold)
