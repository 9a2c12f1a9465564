"""``doctor``: check what a pipeline needs, and say what to do."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import attrs
import click
from rich.table import Table
from rich.text import Text

from mastostream.cli.diagnostics import Diagnostic, run_check
from mastostream.cli.doctor_mastodon import mastodon_diagnostics
from mastostream.cli.doctor_servers import check_servers
from mastostream.cli.options import Output, common, servers_setting
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import ServerSettings, Settings, load_credentials
from mastostream.dashboards.text import safe
from mastostream.exceptions import FatalError
from mastostream.sources.mastodon import server_url
from mastostream.sources.mastodon.probe import probe_server
from mastostream.wiring import data_paths, topics

__all__ = ["doctor"]

_LITTLE_SPACE: Final = 2**30
"""Bytes of free disk space below which the doctor warns."""


@click.command()
@common
@click.option(
    "--server",
    "servers",
    multiple=True,
    help="Mastodon server: a host name or a URL; may be repeated.",
)
@click.option("--offline", is_flag=True, help="Ask no server.")
def doctor(settings: MakeSettings, output: Output, servers: Sequence[str], offline: bool) -> None:
    """Check what a pipeline needs.

    Where something is wrong, it says what to do.
    """
    chosen = settings(servers=servers_setting(servers))
    diagnostics = [
        *run_check("python", "", _check_python),
        *run_check("data", "", partial(_check_data, chosen)),
    ]
    diagnostics += () if offline else check_servers(chosen)
    followed = chosen.servers or (ServerSettings(server=chosen.server),)
    for server in () if offline else followed:
        diagnostics += run_check("server", server.server, partial(_check_server, chosen, server))
    _show(diagnostics, output, with_servers=len(followed) > 1)
    if any(diagnostic.state == "wrong" for diagnostic in diagnostics):
        raise FatalError("something is wrong: see above")


def _show(diagnostics: Sequence[Diagnostic], output: Output, *, with_servers: bool) -> None:
    styles = {"ok": "green", "warning": "yellow", "wrong": "bold red"}
    table = Table(*(["server"] if with_servers else []), "what", "state", "detail")
    for diagnostic in diagnostics:
        output.emit("check", **attrs.asdict(diagnostic))
        state = Text(diagnostic.state, style=styles[diagnostic.state])
        where = [diagnostic.server] if with_servers else []
        table.add_row(*where, diagnostic.what, state, Text(safe(diagnostic.detail)))
    if not output.json:
        output.console.print(table)


def _check_python() -> Iterator[Diagnostic]:
    yield Diagnostic(what="python", state="ok", detail=sys.version.split()[0])
    yield Diagnostic(what="sqlite", state="ok", detail=sqlite3.sqlite_version)


def _check_data(settings: Settings) -> Iterator[Diagnostic]:
    paths = data_paths(settings)
    existing = next(
        path for path in (paths.folder, *paths.folder.absolute().parents) if path.exists()
    )
    if not os.access(existing, os.W_OK):
        yield Diagnostic(what="data", state="wrong", detail=f"{existing} cannot be written")
        return
    free = shutil.disk_usage(existing).free
    yield Diagnostic(
        what="disk",
        state="ok" if free > _LITTLE_SPACE else "warning",
        detail=f"{free / 2**30:.1f} GiB free for {paths.folder}",
    )
    if settings.log == "kafka" or not paths.log.exists():
        nothing = "nothing collected yet" if settings.log == "sqlite" else "the log is in Kafka"
        yield Diagnostic(what="data", state="ok", detail=f"{paths.folder}: {nothing}")
        return
    records = sum(fact.next_offset - fact.first_offset for fact in topics(settings))
    yield Diagnostic(what="data", state="ok", detail=f"{paths.folder}: {records} records")


def _check_server(settings: Settings, server: ServerSettings) -> Iterator[Diagnostic]:
    url = server_url(server.server)
    only = len(settings.servers) < 2
    credentials = load_credentials(host=urlsplit(url).netloc, only=only)
    tag = next(iter(server.tags or settings.tags), "news").strip().removeprefix("#") or "news"
    facts = probe_server(
        server.server,
        token=credentials.access_token,
        contact=settings.contact,
        tag=tag,
        timeout_s=settings.collect.request_timeout_s,
    )
    must_stream = (server.mode or settings.collect.mode) == "stream"
    return mastodon_diagnostics(facts, server=server.server, tag=tag, must_stream=must_stream)
