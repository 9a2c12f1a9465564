"""The group of commands, and what an error becomes.

Exit codes: 0 done; 1 a defect of this program; 2 the command or the configuration is wrong; 3 not
now, try again later; 4 something cannot go on; 5 a record cannot be processed.
"""

import sys
from io import TextIOWrapper
from typing import Final

import click

from mastostream.cli.archiving import archive, replay
from mastostream.cli.data import dead_letters
from mastostream.cli.doctor import doctor
from mastostream.cli.indexing import index
from mastostream.cli.kibana import kibana
from mastostream.cli.login import login
from mastostream.cli.pipeline import analyze, collect, demo, run
from mastostream.cli.services import services
from mastostream.cli.setup import completion, init
from mastostream.cli.simulate import simulate
from mastostream.cli.topics import topics
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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mastostream")
def cli() -> None:
    """Live analytics on Mastodon.

    Begin with 'mastostream demo': it needs no server and no network. Then
    'mastostream run --tag news --server mastodon.social' does the same for real.
    """


for _command in (
    init,
    login,
    doctor,
    demo,
    simulate,
    run,
    collect,
    analyze,
    index,
    archive,
    replay,
    dead_letters,
    topics,
    services,
    kibana,
    completion,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that can't show a letter shows its code
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(standalone_mode=False)
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
