"""Diagnostics of a Mastodon server: what its probe means for collecting, and what to do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from mastostream.cli.diagnostics import Diagnostic
from mastostream.sources.mastodon.probe import Opening, ServerFacts

__all__ = ["mastodon_diagnostics"]

_CLOCK_TOLERANCE_S: Final = 30.0
_FEW_LEFT: Final = 0.1
"""Share of the rate limit; the collector stops when only this much is left."""

_READING: Final = frozenset({"read", "read:statuses"})
"""Either of these scopes opens a hashtag's stream (Mastodon 4.5)."""

_MORE_THAN_READING: Final = ("write", "follow", "push", "admin", "crypto")
_FAMILIES: Final = {
    "mastodon": "Mastodon",
    "gotosocial": "GoToSocial",
    "pleroma": "Pleroma",
    "akkoma": "Akkoma",
    "other": "a server of another kind",
}


def mastodon_diagnostics(
    facts: ServerFacts, *, server: str, tag: str, must_stream: bool
) -> Iterator[Diagnostic]:
    """Yield the diagnostics of one Mastodon server.

    Args:
        facts: the result of probing the server.
        server: its name in the settings.
        tag: the hashtag that was probed.
        must_stream: whether the settings allow streams only, and no polling.
    """
    login = f"mastostream login --server {server}"
    yield _about(facts)
    yield _hashtags(facts, tag, login)
    if facts.live_feeds:
        yield Diagnostic(what="live feeds", state="ok", detail=_access(facts.live_feeds))
    yield _token(facts, login)
    yield _streaming(facts, must_stream, login)
    yield _statuses(facts)
    yield _limits(facts)
    if facts.clock_difference_s is not None:
        far = abs(facts.clock_difference_s) > _CLOCK_TOLERANCE_S
        advice = ": let this machine set its clock by the network (NTP)" if far else ""
        detail = f"{round(facts.clock_difference_s):+d} s between the server's clock and this one"
        yield Diagnostic(what="clock", state="warning" if far else "ok", detail=detail + advice)


def _about(facts: ServerFacts) -> Diagnostic:
    about = facts.about
    detail = f"{facts.host} runs {_FAMILIES[about.family]} {about.version}"
    if about.family == "other":
        return Diagnostic(
            what="server", state="warning", detail=f"{detail}: it is read as Mastodon"
        )
    return Diagnostic(what="server", state="ok", detail=detail)


def _hashtags(facts: ServerFacts, tag: str, login: str) -> Diagnostic:
    status, access = facts.timeline_status, facts.about.hashtags_open
    access_note = f" ({_access(facts.hashtag_feeds)})" if facts.hashtag_feeds else ""
    needs_token = f"shown only with a token{access_note}: {login}"
    if status in (401, 403, 422) or access is False:
        detail = f"closed to this token{access_note}" if facts.token else needs_token
        return Diagnostic(what="hashtags", state="wrong", detail=detail)
    if status == 404 and facts.about.family == "gotosocial":
        return Diagnostic(what="hashtags", state="ok", detail=f"open; it never heard of #{tag} yet")
    if status != 200:
        detail = f"it answers {status} when asked for #{tag}: try again later"
        return Diagnostic(what="hashtags", state="warning", detail=detail)
    allowed = ("public", "authenticated") if facts.token else ("public",)
    hidden = [name for name, who in facts.hashtag_feeds.items() if who not in allowed]
    if hidden:
        detail = f"only in part: {_access(facts.hashtag_feeds)}"
        advice = "" if facts.token else f"; with a token it may show more: {login}"
        return Diagnostic(what="hashtags", state="warning", detail=detail + advice)
    return Diagnostic(what="hashtags", state="ok", detail=f"open{access_note}")


def _access(feeds: Mapping[str, str]) -> str:
    return ", ".join(f"{name} posts: {who}" for name, who in feeds.items())


def _token(facts: ServerFacts, login: str) -> Diagnostic:
    token = facts.token
    if token is None:
        detail = f"none; most servers show hashtags without one, streams need one: {login}"
        return Diagnostic(what="token", state="ok", detail=detail)
    if token.valid is None:
        detail = "the server did not say whether it is accepted: try again later"
        return Diagnostic(what="token", state="warning", detail=detail)
    if not token.valid:
        return Diagnostic(what="token", state="wrong", detail=f"refused: make a new one: {login}")
    state, detail = _scopes(token.scopes)
    return Diagnostic(what="token", state=state, detail=detail if state == "ok" else detail + login)


def _scopes(scopes: Sequence[str] | None) -> tuple[Literal["ok", "warning"], str]:
    if scopes is None:
        return "ok", "accepted; the server does not say for what"
    accepted = f"accepted for: {' '.join(scopes)}"
    if not _READING & set(scopes):
        return "warning", f"{accepted}; streams need read:statuses: "
    if any(scope.partition(":")[0] in _MORE_THAN_READING for scope in scopes):
        return "warning", f"{accepted}; reading is enough, who finds it could do more: "
    return "ok", accepted


def _streaming(facts: ServerFacts, must: bool, login: str) -> Diagnostic:
    where = facts.streaming_url
    announced = "" if facts.about.streaming_url else " (not announced)"
    unwell = facts.stream_health is False
    health = " its streaming server says that it is not well;" if unwell else ""
    fallback = "its timelines are read instead"
    if facts.websocket is None or facts.sse is None:
        detail = f"{where}{announced}:{health} not tried, as streams need a token: {login}"
        state: Literal["ok", "wrong"] = "wrong" if must else "ok"
        return Diagnostic(what="streaming", state=state, detail=f"{detail}; {fallback} until then")
    tried: dict[str, Opening] = {"WebSocket": facts.websocket, "server-sent events": facts.sse}
    openings = ", ".join(f"{name} {opening}" for name, opening in tried.items())
    if "open" not in tried.values():
        advice = "set collect.mode to 'poll' or 'auto'" if must else fallback
        detail = f"{where}{announced}:{health} {openings}: {advice}"
        return Diagnostic(what="streaming", state="wrong" if must else "warning", detail=detail)
    if facts.about.family == "gotosocial":
        openings += f"; GoToSocial opens a hashtag's stream and sends nothing by it: {fallback}"
    detail = f"{where}{announced}:{health} {openings}"
    return Diagnostic(what="streaming", state="warning" if health else "ok", detail=detail)


def _statuses(facts: ServerFacts) -> Diagnostic:
    if facts.statuses_by_ids is None:
        detail = "unclear whether it gives several posts at once: counts are read again if it does"
        return Diagnostic(what="counts", state="warning", detail=detail)
    detail = (
        "read again for several posts at once"
        if facts.statuses_by_ids
        else "read again for one post at a time, so for fewer posts: it cannot give several at once"
    )
    return Diagnostic(what="counts", state="ok", detail=detail)


def _limits(facts: ServerFacts) -> Diagnostic:
    limits = facts.limits
    if limits is None:
        detail = "it does not say; 300 requests in 5 min are taken for granted, as on Mastodon"
        return Diagnostic(what="limits", state="ok", detail=detail)
    detail = f"{limits.remaining} of {limits.limit} requests left for {limits.reset_s:.0f} s"
    if limits.remaining <= limits.limit * _FEW_LEFT:
        detail += ": something else uses this address or token, or wait until then"
        return Diagnostic(what="limits", state="warning", detail=detail)
    return Diagnostic(what="limits", state="ok", detail=detail)
