"""Options that commands share, and what they become."""

import functools
import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import attrs
import click
from rich.console import Console

from mastostream.config import Settings, load_settings
from mastostream.core.topic_names import STREAM

__all__ = ["Output", "common", "named", "server_options", "tell", "topic_option"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_TOPIC_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_UNSEEN: Final = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""What JSON may hold as it is, but ends a line for some (U+0085, U+2028), steers a terminal
(U+009B) or turns text around (U+202E)."""

_LEVELS: Final = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


@attrs.frozen(kw_only=True)
class Output:
    """How a command speaks.

    Attributes:
        json: one JSON object a line on standard output, for programs.
        console: for people: standard error while ``json`` holds, else standard output.
    """

    json: bool
    console: Console

    def emit(self, kind: str, **members: Any) -> None:
        """Print one JSON object; nothing where a person reads."""
        if self.json:
            ascii_only = not sys.stdout.encoding.lower().startswith("utf")
            line = json.dumps({"kind": kind} | members, ensure_ascii=ascii_only, default=str)
            click.echo(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line))

    @property
    def live(self) -> bool:
        """Whether somebody looks at a terminal that can be redrawn."""
        return not self.json and self.console.is_terminal


def tell(output: Output, text: str) -> None:
    """Print a line for a person."""
    output.console.print(text, markup=False, highlight=False, soft_wrap=True)


def common(command: Callable[..., _T]) -> Callable[..., _T]:
    """Give a command ``--config``, ``--data``, ``--log``, ``--json`` and ``-v``.

    It is called with ``settings`` (a function of further flags) and ``output``.
    """

    @click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Settings file. Default: mastostream.toml here, if there is one.",
    )
    @click.option("--data", metavar="FOLDER", help="Where the data is kept.")
    @click.option("--log", type=click.Choice(["sqlite", "kafka"]), help="Where records stand.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
    @click.option("-v", "--verbose", count=True, help="Log more; twice for everything.")
    @functools.wraps(command)
    def wrapped(
        config: Path | None,
        data: str | None,
        log: str | None,
        as_json: bool,
        verbose: int,
        **rest: Any,
    ) -> _T:
        logging.basicConfig(
            level=_LEVELS[min(verbose + (0 if sys.stderr.isatty() else 1), 3)],
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )

        def settings(**flags: Any) -> Settings:
            named = {name.replace("__", "."): value for name, value in flags.items()}
            return load_settings(config, {"data": data, "log": log} | named)

        output = Output(json=as_json, console=Console(stderr=as_json))
        return command(settings=settings, output=output, **rest)

    return wrapped


def server_options(command: Callable[_P, _T]) -> Callable[_P, _T]:
    """Give a command what says whom to follow."""
    for option in (
        click.option("--interval", type=float, help="Seconds between two looks at a hashtag."),
        click.option(
            "--mode",
            type=click.Choice(["auto", "poll", "stream"]),
            help="How servers are read: by streams, by asking, or as each of them really can.",
        ),
        click.option("--tag", "tags", multiple=True, help="Hashtag to follow; may be repeated."),
        click.option(
            "--server",
            "servers",
            multiple=True,
            help="Mastodon server: a host name or a URL; may be repeated.",
        ),
    ):
        command = option(command)
    return command


def named(servers: Sequence[str]) -> list[dict[str, str]] | None:
    """Return the setting that stands for these servers, if there are any."""
    return [{"server": server} for server in servers] or None


def topic_option(text: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Give a command ``--topic``: a name that every log, and a file, can have."""

    def check(_: click.Context, __: click.Parameter, value: str) -> str:
        if not _TOPIC_NAME.fullmatch(value):
            raise click.BadParameter("expected letters, digits, '.', '_' and '-', at most 100")
        return value

    return click.option("--topic", default=STREAM, show_default=True, callback=check, help=text)
