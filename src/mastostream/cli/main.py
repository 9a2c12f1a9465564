"""The group of commands, and what an error becomes.

Exit codes: 0 done; 1 a defect of this program; 2 the command or the configuration is wrong; 3 not
now, try again later; 4 something cannot go on; 5 a record cannot be processed.
"""

import gc
import importlib
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final, NoReturn

import click

from mastostream.exceptions import (
    ConfigurationError,
    FatalError,
    MastostreamError,
    RecordError,
    RetriableError,
)

__all__ = ["EXIT_CODES", "main"]

EXIT_CODES: Final[dict[type[MastostreamError], int]] = {
    ConfigurationError: 2,
    RetriableError: 3,
    FatalError: 4,
    RecordError: 5,
}

GARBAGE: Final = 50_000
"""Objects before garbage is looked for. Records come by thousands and go by themselves: looked for
after 700, as Python does, it takes a tenth of the engine's time."""

_COMMANDS: Final = {
    "analyze": "pipeline",
    "archive": "archiving",
    "collect": "pipeline",
    "completion": "setup",
    "dead-letters": "data",
    "demo": "pipeline",
    "doctor": "doctor",
    "flink": "flink",
    "index": "indexing",
    "init": "setup",
    "kibana": "kibana",
    "login": "login",
    "replay": "archiving",
    "run": "pipeline",
    "services": "services",
    "simulate": "simulate",
    "topics": "topics",
}
"""The module of each command."""


class _LazyGroup(click.Group):
    """Imports only the command that runs: all of them together take a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - Click's
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"mastostream.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="mastostream")
def cli() -> None:
    """Live analytics on Mastodon.

    Begin with 'mastostream demo': it needs no server and no network. Then
    'mastostream run --tag news --server mastodon.social' does the same for real.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Args:
        arguments: without the program's name; those of this process by default.
    """
    gc.set_threshold(GARBAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that can't show a letter shows its code
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except MastostreamError as error:
        click.echo(f"mastostream: {error}", err=True)
        sys.exit(next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind)))
    except BrokenPipeError:
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
