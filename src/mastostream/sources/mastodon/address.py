"""URLs of a server and of its streams, and the User-Agent that requests carry."""

import re
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

from mastostream.exceptions import ConfigurationError

__all__ = ["server_url", "streaming_url", "user_agent"]

_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?")


def server_url(server: str) -> str:
    """Return the URL of a server that is given by its host name or its URL.

    Raises:
        ConfigurationError: ``server`` is neither.
    """
    url = server if "://" in server else f"https://{server}"
    parts = urlsplit(url)
    has_host = _HOST.fullmatch(parts.netloc) is not None
    if parts.scheme not in ("http", "https") or not has_host or parts.path not in ("", "/"):
        raise ConfigurationError(
            f"{server!r} is no server: expected a name such as mastodon.social, or a URL"
        )
    return f"{parts.scheme}://{parts.netloc}"


def streaming_url(server: str, announced: str | None) -> str:
    """Return the URL of a server's streams: the announced host, or the server itself.

    If the server is used without encryption, its streams are too: some servers announce ``wss``
    even then.
    """
    url = server_url(server)
    try:
        netloc = urlsplit(announced or url).netloc
    except ValueError:  # the announced text is no URL
        netloc = ""
    host = netloc if _HOST.fullmatch(netloc) else urlsplit(url).netloc
    return f"{'wss' if url.startswith('https:') else 'ws'}://{host}"


def user_agent(contact: str) -> str:
    """Return the User-Agent header, by which a server's owner can see who sends requests."""
    return f"mastostream/{version('mastostream')}" + (f" (+{contact})" if contact else "")
