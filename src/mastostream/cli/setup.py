"""Beginning."""

import os
from typing import Final

import click
from click.shell_completion import get_completion_class

from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import CONFIG_FILE
from mastostream.exceptions import ConfigurationError, FatalError

__all__ = ["completion", "init"]

_TEMPLATE: Final = """\
# Settings of mastostream. Each can be overridden by MASTOSTREAM_<NAME> and by a flag.

data = "mastostream-data"      # log, index, archive, memory of the collector
server = "mastodon.social"     # the Mastodon server to follow; several: [[servers]], below
tags = ["news"]                # its hashtags
interval_s = 3.0               # seconds between two looks at a hashtag
contact = ""                   # how the server's owner reaches you: a URL or an address
languages = ["en"]             # what 'analyze --analysis language' lets through
partitions = 1                 # of a topic that is created

[collect]
mode = "auto"                  # stream, poll, or auto for what the server really offers
key = "auto"                   # what a post is called: id for one server, uri for several
longest_interval_s = 30.0      # between two looks at a quiet hashtag
refresh_after_s = [300.0, 3600.0, 86400.0]  # when a post's counts are read again
overlap_s = 600.0              # between two readings of pages that were read before
overlap_horizon_s = 86400.0    # how far back the longest of them reach
heartbeat_timeout_s = 45.0     # a stream that sends nothing for so long is dead
request_timeout_s = 20.0       # an answer that takes longer is given up
requests_per_5_min = 300       # what a server allows, unless its answers say otherwise
paging_requests_per_15_min = 300  # the same of requests that page back

[consent]                      # what is left out is counted
leave_out_noindex = false      # accounts that opted out of search engines
leave_out_bots = false         # accounts that say that they are automated
languages = []                 # only posts in these; empty for all
visibilities = ["public", "unlisted"]
pseudonym_key_file = ""        # a file with the secret that turns names into pseudonyms

[weights]                      # of the engagement score
favourites = 1
reblogs = 2
replies = 3
quotes = 2

[windows]
delay_s = 30.0                 # how long a window waits for posts out of order
idle_timeout_s = 30.0          # after so much silence the wall clock closes windows

[archive]
folder = ""                    # empty for 'archive' in the data folder
compression = "zstd"           # none, gzip or zstd
rotate_s = 60.0                # a file is finished at this age
rotate_bytes = 134217728       # or at this size, before compression

[retention]                    # of the log; 0 keeps everything
age_days = 0
size_bytes = 0

# [[servers]]                  # one of several, instead of 'server'; again for each
# server = "mastodon.social"
# tags = []                    # empty for those above
# mode = ""                    # empty for that of [collect]
"""
_ENV: Final = """\
# Credentials for the Mastodon server; most servers show hashtags without any.
# 'mastostream login' fills them in. With several servers each has its own: ACCESS_TOKEN_<HOST>.
CLIENT_KEY=
CLIENT_SECRET=
ACCESS_TOKEN=
"""


@click.command()
@common
def init(settings: MakeSettings, output: Output) -> None:  # noqa: ARG001 - common to all commands
    """Write mastostream.toml and .env.

    Files that are there stay as they are.
    """
    for name, text, mode in ((CONFIG_FILE, _TEMPLATE, 0o644), (".env", _ENV, 0o600)):
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            done = "kept"
        except OSError as error:
            raise FatalError(f"cannot write {name}: {error.strerror}") from error
        else:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            done = "written"
        output.emit("file", name=name, done=done)
        if not output.json:
            tell(output, f"{name}: {done}")
    if not output.json:
        tell(
            output, "Next: mastostream doctor, then mastostream run; mastostream login for a token"
        )


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    In bash: eval "$(mastostream completion bash)".
    """
    from mastostream.cli.main import cli  # noqa: PLC0415 - that module imports this one

    found = get_completion_class(shell)
    if found is None:
        raise ConfigurationError(f"there is no completion for {shell}")
    click.echo(found(cli, {}, "mastostream", "_MASTOSTREAM_COMPLETE").source())
