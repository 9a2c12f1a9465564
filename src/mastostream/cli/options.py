"""Options that several commands have, and the output that commands write to."""

import functools
import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import attrs
import click
from rich.console import Console

from mastostream.config import Settings, load_settings
from mastostream.core.topic_names import STREAM

__all__ = [
    "Output",
    "common",
    "server_options",
    "servers_setting",
    "tell",
    "topic_option",
    "utc_time",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_TOPIC_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_UNSEEN: Final = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Invisible characters that JSON allows as they are. Some end a line for some programs (U+0085,
U+2028), control a terminal (U+009B) or reverse the direction of text (U+202E)."""

_LEVELS: Final = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


@attrs.frozen(kw_only=True)
class Output:
    """The output of a command: its form and its destination.

    Attributes:
        json: whether to print for programs: one JSON object per line on standard output.
        console: for text for people: standard error if ``json``, else standard output.
    """

    json: bool
    console: Console

    def emit(self, kind: str, **members: Any) -> None:
        """Print one JSON object; print nothing unless ``json``."""
        if self.json:
            ascii_only = not sys.stdout.encoding.lower().startswith("utf")
            line = json.dumps({"kind": kind} | members, ensure_ascii=ascii_only, default=str)
            click.echo(_UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", line))

    @property
    def live(self) -> bool:
        """Whether the output is for a person at a terminal that can be redrawn."""
        return not self.json and self.console.is_terminal


def tell(output: Output, text: str) -> None:
    """Print a line for a person."""
    output.console.print(text, markup=False, highlight=False, soft_wrap=True)


def common(command: Callable[..., _T]) -> Callable[..., _T]:
    """Add ``--config``, ``--data``, ``--log``, ``--json`` and ``-v`` to a command.

    The command is called with ``output``, and with ``settings``: a function that takes the values
    of further flags and returns the settings.
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
            further = {name.replace("__", "."): value for name, value in flags.items()}
            return load_settings(config, {"data": data, "log": log} | further)

        output = Output(json=as_json, console=Console(stderr=as_json))
        return command(settings=settings, output=output, **rest)

    return wrapped


def server_options(command: Callable[_P, _T]) -> Callable[_P, _T]:
    """Add ``--server``, ``--tag``, ``--mode`` and ``--interval`` to a command."""
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


def servers_setting(servers: Sequence[str]) -> list[dict[str, str]] | None:
    """Return the setting ``servers`` for these names; ``None`` keeps the configured servers."""
    return [{"server": server} for server in servers] or None


def utc_time(text: str) -> datetime:
    """Return the time that ISO 8601 text stands for; in UTC unless it says otherwise.

    Raises:
        ValueError: it stands for none.
    """
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def topic_option(text: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Return an option ``--topic``, whose value is valid in every log and as a file's name."""

    def check(_: click.Context, __: click.Parameter, value: str) -> str:
        if not _TOPIC_NAME.fullmatch(value):
            raise click.BadParameter("expected letters, digits, '.', '_' and '-', at most 100")
        return value

    return click.option("--topic", default=STREAM, show_default=True, callback=check, help=text)
