"""The command ``mastostream``: finds its subcommands, and turns errors into exit codes.

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
"""New objects before Python's garbage collector runs. Records come by thousands and are freed
without it; at Python's own threshold of 700 the collector takes a tenth of the engine's time."""

_COMMANDS: Final = {
    "analyze": "pipeline",
    "archive": "archive_commands",
    "collect": "pipeline",
    "completion": "init_command",
    "dead-letters": "data",
    "demo": "pipeline",
    "doctor": "doctor",
    "flink": "flink_commands",
    "index": "index_commands",
    "init": "init_command",
    "kibana": "kibana",
    "login": "login_command",
    "replay": "archive_commands",
    "run": "pipeline",
    "services": "services",
    "simulate": "simulate",
    "tail": "tail_command",
    "topics": "topics_command",
}
"""The module of each command."""


class _LazyGroup(click.Group):
    """Imports only the module of the command that runs: importing all takes a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - Click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - Click's signature
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
        if isinstance(stream, TextIOWrapper):  # escape letters that a terminal cannot show
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
