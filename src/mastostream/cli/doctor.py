"""Finding out why something does not work."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final, Literal
from urllib.parse import urlsplit

import attrs
import click
from rich.table import Table
from rich.text import Text

from mastostream.cli.doctor_servers import check_servers
from mastostream.cli.findings import Finding, found
from mastostream.cli.options import Output, common, named
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import ServerSettings, Settings, load_credentials
from mastostream.dashboards.text import safe
from mastostream.exceptions import FatalError
from mastostream.sources.mastodon import server_url
from mastostream.sources.mastodon.facts import Opening, ServerFacts, server_facts
from mastostream.wiring import places, topics

__all__ = ["doctor"]

_LITTLE_SPACE: Final = 2**30
_CLOCK_TOLERANCE_S: Final = 30.0
_FEW_LEFT: Final = 0.1
"""Part of the limit; the collector stops there."""

_READING: Final = frozenset({"read", "read:statuses"})
"""Either scope opens a hashtag's stream (Mastodon 4.5)."""

_MORE_THAN_READING: Final = ("write", "follow", "push", "admin", "crypto")
_FAMILIES: Final = {
    "mastodon": "Mastodon",
    "gotosocial": "GoToSocial",
    "pleroma": "Pleroma",
    "akkoma": "Akkoma",
    "other": "a server of another kind",
}


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
        *found("python", "", _check_python),
        *found("data", "", partial(_check_data, chosen)),
    ]
    findings += () if offline else check_servers(chosen)
    followed = chosen.servers or (ServerSettings(server=chosen.server),)
    for each in () if offline else followed:
        findings += found("server", each.server, partial(_check_server, chosen, each))
    _show(findings, output, with_servers=len(followed) > 1)
    if any(finding.state == "wrong" for finding in findings):
        raise FatalError("something is wrong: see above")


def _show(findings: Sequence[Finding], output: Output, *, with_servers: bool) -> None:
    styles = {"ok": "green", "warning": "yellow", "wrong": "bold red"}
    table = Table(*(["server"] if with_servers else []), "what", "state", "detail")
    for finding in findings:
        output.emit("check", **attrs.asdict(finding))
        state = Text(finding.state, style=styles[finding.state])
        where = [finding.server] if with_servers else []
        table.add_row(*where, finding.what, state, Text(safe(finding.detail)))
    if not output.json:
        output.console.print(table)


def _check_python() -> Iterator[Finding]:
    yield Finding(what="python", state="ok", detail=sys.version.split()[0])
    yield Finding(what="sqlite", state="ok", detail=sqlite3.sqlite_version)


def _check_data(settings: Settings) -> Iterator[Finding]:
    where = places(settings)
    existing = next(
        path for path in (where.folder, *where.folder.absolute().parents) if path.exists()
    )
    if not os.access(existing, os.W_OK):
        yield Finding(what="data", state="wrong", detail=f"{existing} cannot be written")
        return
    free = shutil.disk_usage(existing).free
    yield Finding(
        what="disk",
        state="ok" if free > _LITTLE_SPACE else "warning",
        detail=f"{free / 2**30:.1f} GiB free for {where.folder}",
    )
    if settings.log == "kafka" or not where.log.exists():
        nothing = "nothing collected yet" if settings.log == "sqlite" else "the log is in Kafka"
        yield Finding(what="data", state="ok", detail=f"{where.folder}: {nothing}")
        return
    records = sum(fact.next_offset - fact.first_offset for fact in topics(settings))
    yield Finding(what="data", state="ok", detail=f"{where.folder}: {records} records")


def _check_server(settings: Settings, each: ServerSettings) -> Iterator[Finding]:
    url = server_url(each.server)
    only = len(settings.servers) < 2
    credentials = load_credentials(host=urlsplit(url).netloc, only=only)
    tag = next(iter(each.tags or settings.tags), "news").strip().removeprefix("#") or "news"
    facts = server_facts(
        each.server,
        token=credentials.access_token,
        contact=settings.contact,
        tag=tag,
        timeout_s=settings.collect.request_timeout_s,
    )
    login = f"mastostream login --server {each.server}"
    yield _about(facts)
    yield _hashtags(facts, tag, login)
    if facts.live_feeds:
        yield Finding(what="live feeds", state="ok", detail=_access(facts.live_feeds))
    yield _token(facts, login)
    yield _streaming(facts, (each.mode or settings.collect.mode) == "stream", login)
    yield _statuses(facts)
    yield _limits(facts)
    if facts.clock_difference_s is not None:
        far = abs(facts.clock_difference_s) > _CLOCK_TOLERANCE_S
        advice = ": let this machine set its clock by the network (NTP)" if far else ""
        detail = f"{round(facts.clock_difference_s):+d} s between the server's clock and this one"
        yield Finding(what="clock", state="warning" if far else "ok", detail=detail + advice)


def _about(facts: ServerFacts) -> Finding:
    about = facts.about
    detail = f"{facts.host} runs {_FAMILIES[about.family]} {about.version}"
    if about.family == "other":
        return Finding(what="server", state="warning", detail=f"{detail}: it is read as Mastodon")
    return Finding(what="server", state="ok", detail=detail)


def _hashtags(facts: ServerFacts, tag: str, login: str) -> Finding:
    status, access = facts.timeline_status, facts.about.hashtags_open
    said = f" ({_access(facts.hashtag_feeds)})" if facts.hashtag_feeds else ""
    needs_token = f"shown only with a token{said}: {login}"
    if status in (401, 403, 422) or access is False:
        detail = f"closed to this token{said}" if facts.token else needs_token
        return Finding(what="hashtags", state="wrong", detail=detail)
    if status == 404 and facts.about.family == "gotosocial":
        return Finding(what="hashtags", state="ok", detail=f"open; it never heard of #{tag} yet")
    if status != 200:
        detail = f"it answers {status} when asked for #{tag}: try again later"
        return Finding(what="hashtags", state="warning", detail=detail)
    allowed = ("public", "authenticated") if facts.token else ("public",)
    hidden = [name for name, who in facts.hashtag_feeds.items() if who not in allowed]
    if hidden:
        detail = f"only in part: {_access(facts.hashtag_feeds)}"
        advice = "" if facts.token else f"; with a token it may show more: {login}"
        return Finding(what="hashtags", state="warning", detail=detail + advice)
    return Finding(what="hashtags", state="ok", detail=f"open{said}")


def _access(feeds: Mapping[str, str]) -> str:
    return ", ".join(f"{name} posts: {who}" for name, who in feeds.items())


def _token(facts: ServerFacts, login: str) -> Finding:
    token = facts.token
    if token is None:
        detail = f"none; most servers show hashtags without one, streams need one: {login}"
        return Finding(what="token", state="ok", detail=detail)
    if token.valid is None:
        detail = "the server did not say whether it is accepted: try again later"
        return Finding(what="token", state="warning", detail=detail)
    if not token.valid:
        return Finding(what="token", state="wrong", detail=f"refused: make a new one: {login}")
    state, detail = _scopes(token.scopes)
    return Finding(what="token", state=state, detail=detail if state == "ok" else detail + login)


def _scopes(scopes: Sequence[str] | None) -> tuple[Literal["ok", "warning"], str]:
    if scopes is None:
        return "ok", "accepted; the server does not say for what"
    told = f"accepted for: {' '.join(scopes)}"
    if not _READING & set(scopes):
        return "warning", f"{told}; streams need read:statuses: "
    if any(scope.partition(":")[0] in _MORE_THAN_READING for scope in scopes):
        return "warning", f"{told}; reading is enough, who finds it could do more: "
    return "ok", told


def _streaming(facts: ServerFacts, must: bool, login: str) -> Finding:
    where = facts.streaming_url
    announced = "" if facts.about.streaming_url else " (not announced)"
    ill = " its streaming server says that it is not well;" if facts.stream_health is False else ""
    asking = "its timelines are read instead"
    if facts.websocket is None or facts.sse is None:
        detail = f"{where}{announced}:{ill} not tried, as streams need a token: {login}"
        state: Literal["ok", "wrong"] = "wrong" if must else "ok"
        return Finding(what="streaming", state=state, detail=f"{detail}; {asking} until then")
    tried: dict[str, Opening] = {"WebSocket": facts.websocket, "server-sent events": facts.sse}
    told = ", ".join(f"{name} {opening}" for name, opening in tried.items())
    if "open" not in tried.values():
        advice = "set collect.mode to 'poll' or 'auto'" if must else asking
        detail = f"{where}{announced}:{ill} {told}: {advice}"
        return Finding(what="streaming", state="wrong" if must else "warning", detail=detail)
    if facts.about.family == "gotosocial":
        told += f"; GoToSocial opens a hashtag's stream and sends nothing by it: {asking}"
    detail = f"{where}{announced}:{ill} {told}"
    return Finding(what="streaming", state="warning" if ill else "ok", detail=detail)


def _statuses(facts: ServerFacts) -> Finding:
    if facts.statuses_by_ids is None:
        detail = "unclear whether it gives several posts at once: counts are read again if it does"
        return Finding(what="counts", state="warning", detail=detail)
    detail = (
        "read again for several posts at once"
        if facts.statuses_by_ids
        else "read again for one post at a time, so for fewer posts: it cannot give several at once"
    )
    return Finding(what="counts", state="ok", detail=detail)


def _limits(facts: ServerFacts) -> Finding:
    limits = facts.limits
    if limits is None:
        detail = "it does not say; 300 requests in 5 min are taken for granted, as on Mastodon"
        return Finding(what="limits", state="ok", detail=detail)
    detail = f"{limits.remaining} of {limits.limit} requests left for {limits.reset_s:.0f} s"
    if limits.remaining <= limits.limit * _FEW_LEFT:
        detail += ": something else uses this address or token, or wait until then"
        return Finding(what="limits", state="warning", detail=detail)
    return Finding(what="limits", state="ok", detail=detail)
