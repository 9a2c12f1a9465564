"""Beginning, and finding out why it does not work."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Final, Literal

import attrs
import click
from click.shell_completion import get_completion_class
from rich.table import Table
from rich.text import Text

from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import CONFIG_FILE, Settings, load_credentials
from mastostream.exceptions import ConfigurationError, FatalError, MastostreamError
from mastostream.wiring import mastodon_client, places, topics

__all__ = ["completion", "doctor", "init"]

_TEMPLATE: Final = """\
# Settings of mastostream. Each can be overridden by MASTOSTREAM_<NAME> and by a flag.

data = "mastostream-data"      # log, index, archive, memory of the collector
server = "mastodon.social"     # the Mastodon server to follow
tags = ["news"]                # its hashtags
interval_s = 3.0               # seconds between two looks at a hashtag
contact = ""                   # how the server's owner reaches you: a URL or an address
languages = ["en"]             # what 'analyze --analysis language' lets through

[weights]                      # of the engagement score
favourites = 1
reblogs = 2
replies = 3
quotes = 2

[windows]
delay_s = 30.0                 # how long a window waits for posts out of order
idle_timeout_s = 30.0          # after so much silence the wall clock closes windows

[archive]
compression = "zstd"           # none, gzip or zstd
rotate_s = 60.0                # a file is finished at this age
rotate_bytes = 134217728       # or at this size, before compression

[retention]                    # of the log; 0 keeps everything
age_days = 0
size_bytes = 0
"""
_ENV: Final = """\
# Credentials for the Mastodon server; most servers show hashtags without any.
# Create an application under Preferences > Development on your server, scope 'read'.
CLIENT_KEY=
CLIENT_SECRET=
ACCESS_TOKEN=
"""
_LITTLE_SPACE: Final = 2**30
_CLOCK_TOLERANCE_S: Final = 30.0


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
        tell(output, "Next: mastostream doctor, then mastostream run")


@attrs.frozen(kw_only=True)
class _Finding:
    what: str
    state: Literal["ok", "warning", "wrong"]
    detail: str


@click.command()
@common
@click.option("--server", help="Mastodon server: a host name or a URL.")
@click.option("--offline", is_flag=True, help="Ask no server.")
def doctor(settings: MakeSettings, output: Output, server: str | None, offline: bool) -> None:
    """Check what a pipeline needs.

    Where something is wrong, it says what to do.
    """
    chosen = settings(server=server)
    checks: list[Callable[[Settings], Iterator[_Finding]]] = [_check_python, _check_data]
    if not offline:
        checks.append(_check_server)
    findings = [finding for check in checks for finding in _checked(check, chosen)]
    styles = {"ok": "green", "warning": "yellow", "wrong": "bold red"}
    table = Table("what", "state", "detail")
    for finding in findings:
        output.emit("check", **attrs.asdict(finding))
        style = styles[finding.state]
        table.add_row(finding.what, Text(finding.state, style=style), Text(finding.detail))
    if not output.json:
        output.console.print(table)
    if any(finding.state == "wrong" for finding in findings):
        raise FatalError("something is wrong: see above")


def _checked(
    check: Callable[[Settings], Iterator[_Finding]], settings: Settings
) -> Iterator[_Finding]:
    try:
        yield from check(settings)
    except MastostreamError as error:
        yield _Finding(
            what=check.__name__.removeprefix("_check_"), state="wrong", detail=str(error)
        )


def _check_python(_: Settings) -> Iterator[_Finding]:
    yield _Finding(what="python", state="ok", detail=sys.version.split()[0])
    yield _Finding(what="sqlite", state="ok", detail=sqlite3.sqlite_version)


def _check_data(settings: Settings) -> Iterator[_Finding]:
    where = places(settings)
    existing = next(
        path for path in (where.folder, *where.folder.absolute().parents) if path.exists()
    )
    if not os.access(existing, os.W_OK):
        yield _Finding(what="data", state="wrong", detail=f"{existing} cannot be written")
        return
    free = shutil.disk_usage(existing).free
    yield _Finding(
        what="disk",
        state="ok" if free > _LITTLE_SPACE else "warning",
        detail=f"{free / 2**30:.1f} GiB free for {where.folder}",
    )
    if not where.log.exists():
        yield _Finding(what="data", state="ok", detail=f"{where.folder}: nothing collected yet")
        return
    records = sum(fact.next_offset - fact.first_offset for fact in topics(settings))
    yield _Finding(what="data", state="ok", detail=f"{where.folder}: {records} records")


def _check_server(settings: Settings) -> Iterator[_Finding]:
    client = mastodon_client(settings, load_credentials())
    try:
        facts = client.facts()
    finally:
        client.close()
    yield _Finding(what="server", state="ok", detail=f"{facts.host} runs {facts.version}")
    closed = facts.hashtags_open is False
    yield _Finding(
        what="hashtags",
        state="wrong" if closed else "ok",
        detail="closed: the server shows no hashtag timelines to you; try with ACCESS_TOKEN in .env"
        if closed
        else "open"
        if facts.hashtags_open
        else "the server does not say whether they are open",
    )
    if facts.token_valid is None:
        yield _Finding(what="token", state="ok", detail="none; most servers need none for hashtags")
    else:
        detail = "accepted" if facts.token_valid else "refused: check ACCESS_TOKEN in .env"
        yield _Finding(what="token", state="ok" if facts.token_valid else "wrong", detail=detail)
    if facts.clock_difference_s is not None:
        far = abs(facts.clock_difference_s) > _CLOCK_TOLERANCE_S
        yield _Finding(
            what="clock",
            state="warning" if far else "ok",
            detail=f"{facts.clock_difference_s:+.0f} s between the server's clock and this one",
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
