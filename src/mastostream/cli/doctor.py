"""Finding out why something does not work."""

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
from mastostream.cli.doctor_mastodon import mastodon_findings
from mastostream.cli.doctor_servers import check_servers
from mastostream.cli.options import Output, common, named
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import ServerSettings, Settings, load_credentials
from mastostream.dashboards.text import safe
from mastostream.exceptions import FatalError
from mastostream.sources.mastodon import server_url
from mastostream.sources.mastodon.probe import probe_server
from mastostream.wiring import data_paths, topics

__all__ = ["doctor"]

_LITTLE_SPACE: Final = 2**30


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
    chosen = settings(servers=named(servers))
    findings = [
        *run_check("python", "", _check_python),
        *run_check("data", "", partial(_check_data, chosen)),
    ]
    findings += () if offline else check_servers(chosen)
    followed = chosen.servers or (ServerSettings(server=chosen.server),)
    for each in () if offline else followed:
        findings += run_check("server", each.server, partial(_check_server, chosen, each))
    _show(findings, output, with_servers=len(followed) > 1)
    if any(finding.state == "wrong" for finding in findings):
        raise FatalError("something is wrong: see above")


def _show(findings: Sequence[Diagnostic], output: Output, *, with_servers: bool) -> None:
    styles = {"ok": "green", "warning": "yellow", "wrong": "bold red"}
    table = Table(*(["server"] if with_servers else []), "what", "state", "detail")
    for finding in findings:
        output.emit("check", **attrs.asdict(finding))
        state = Text(finding.state, style=styles[finding.state])
        where = [finding.server] if with_servers else []
        table.add_row(*where, finding.what, state, Text(safe(finding.detail)))
    if not output.json:
        output.console.print(table)


def _check_python() -> Iterator[Diagnostic]:
    yield Diagnostic(what="python", state="ok", detail=sys.version.split()[0])
    yield Diagnostic(what="sqlite", state="ok", detail=sqlite3.sqlite_version)


def _check_data(settings: Settings) -> Iterator[Diagnostic]:
    where = data_paths(settings)
    existing = next(
        path for path in (where.folder, *where.folder.absolute().parents) if path.exists()
    )
    if not os.access(existing, os.W_OK):
        yield Diagnostic(what="data", state="wrong", detail=f"{existing} cannot be written")
        return
    free = shutil.disk_usage(existing).free
    yield Diagnostic(
        what="disk",
        state="ok" if free > _LITTLE_SPACE else "warning",
        detail=f"{free / 2**30:.1f} GiB free for {where.folder}",
    )
    if settings.log == "kafka" or not where.log.exists():
        nothing = "nothing collected yet" if settings.log == "sqlite" else "the log is in Kafka"
        yield Diagnostic(what="data", state="ok", detail=f"{where.folder}: {nothing}")
        return
    records = sum(fact.next_offset - fact.first_offset for fact in topics(settings))
    yield Diagnostic(what="data", state="ok", detail=f"{where.folder}: {records} records")


def _check_server(settings: Settings, each: ServerSettings) -> Iterator[Diagnostic]:
    url = server_url(each.server)
    only = len(settings.servers) < 2
    credentials = load_credentials(host=urlsplit(url).netloc, only=only)
    tag = next(iter(each.tags or settings.tags), "news").strip().removeprefix("#") or "news"
    facts = probe_server(
        each.server,
        token=credentials.access_token,
        contact=settings.contact,
        tag=tag,
        timeout_s=settings.collect.request_timeout_s,
    )
    must_stream = (each.mode or settings.collect.mode) == "stream"
    return mastodon_findings(facts, server=each.server, tag=tag, must_stream=must_stream)
