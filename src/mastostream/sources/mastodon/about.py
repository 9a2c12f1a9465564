"""Reads a server's description of itself, and finds out which software it runs."""

import re
from collections.abc import Mapping
from typing import Any, Final

from mastostream.ports.source import About, Family

__all__ = ["about_of", "family_of", "hashtags_open"]

_COMPATIBLE: Final = re.compile(r"\(compatible; (\w+)", re.IGNORECASE)
_PLAIN: Final = re.compile(r"\d+\.\d+\.\d+([-+.~][\w.+~-]*)?")


def about_of(instance: Mapping[str, Any], host: str, *, with_token: bool) -> About:
    """Read the entity ``Instance``, version 2 or 1. Missing or wrong members are left out."""
    configuration = _table(instance.get("configuration"))
    streaming = _table(configuration.get("urls")).get("streaming") or _table(
        instance.get("urls")
    ).get("streaming_api")
    domain = instance.get("domain") or instance.get("uri") or host
    return About(
        domain=str(domain).removeprefix("https://"),
        family=family_of(instance),
        version=str(instance.get("version", "")),
        hashtags_open=hashtags_open(configuration, with_token=with_token),
        streaming_url=streaming if isinstance(streaming, str) else None,
    )


def family_of(instance: Mapping[str, Any]) -> Family:
    """Return which software a server runs, by its version and the URL of its source code.

    Software that only speaks Mastodon's API puts its own name after "compatible" in the version.
    GoToSocial puts its build into the version.
    """
    version = str(instance.get("version", ""))
    source = str(instance.get("source_url", "")).lower()
    compatible = _COMPATIBLE.search(version)
    name = compatible.group(1).lower() if compatible else ""
    if "gotosocial" in source or "gotosocial" in version.lower() or "+git-" in version:
        return "gotosocial"
    if name == "pleroma":
        return "pleroma"
    if name == "akkoma":
        return "akkoma"
    return "mastodon" if not name and _PLAIN.fullmatch(version) else "other"


def hashtags_open(configuration: Mapping[str, Any], *, with_token: bool) -> bool | None:
    """Return whether hashtag timelines may be read; ``None`` if the server does not say.

    Reads ``configuration.timelines_access`` (Mastodon 4.5).
    """
    feeds = _table(_table(configuration.get("timelines_access")).get("hashtag_feeds"))
    if not feeds:
        return None
    allowed = {"public", "authenticated"} if with_token else {"public"}
    return any(access in allowed for access in feeds.values())


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
