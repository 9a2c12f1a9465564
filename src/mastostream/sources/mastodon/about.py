"""What a server says of itself, and which program it runs."""

import re
from collections.abc import Mapping
from typing import Any, Final

from mastostream.ports.source import About, Family

__all__ = ["about_of", "family_of", "hashtags_open"]

_COMPATIBLE: Final = re.compile(r"\(compatible; (\w+)", re.IGNORECASE)
_PLAIN: Final = re.compile(r"\d+\.\d+\.\d+([-+.~][\w.+~-]*)?")


def about_of(instance: Mapping[str, Any], host: str, *, with_token: bool) -> About:
    """Read the entity ``Instance``, version 2 or 1; what is missing or wrong is left out."""
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
    """Say which program a server runs, by its version and the address of its source.

    Those that only speak Mastodon's API put their own name behind "compatible"; GoToSocial puts
    its build into the version.
    """
    version = str(instance.get("version", ""))
    source = str(instance.get("source_url", "")).lower()
    named = _COMPATIBLE.search(version)
    name = named.group(1).lower() if named else ""
    if "gotosocial" in source or "gotosocial" in version.lower() or "+git-" in version:
        return "gotosocial"
    if name == "pleroma":
        return "pleroma"
    if name == "akkoma":
        return "akkoma"
    return "mastodon" if not name and _PLAIN.fullmatch(version) else "other"


def hashtags_open(configuration: Mapping[str, Any], *, with_token: bool) -> bool | None:
    """Read ``configuration.timelines_access`` (Mastodon 4.5)."""
    feeds = _table(_table(configuration.get("timelines_access")).get("hashtag_feeds"))
    if not feeds:
        return None
    allowed = {"public", "authenticated"} if with_token else {"public"}
    return any(access in allowed for access in feeds.values())


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
