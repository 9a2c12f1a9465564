"""Where a server is, and who asks."""

import re
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

from mastostream.exceptions import ConfigurationError

__all__ = ["server_url", "streaming_url", "user_agent"]

_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?")


def server_url(server: str) -> str:
    """Return the URL of a server given by host name or URL.

    Raises:
        ConfigurationError: it is neither.
    """
    url = server if "://" in server else f"https://{server}"
    parts = urlsplit(url)
    named = _HOST.fullmatch(parts.netloc) is not None
    if parts.scheme not in ("http", "https") or not named or parts.path not in ("", "/"):
        raise ConfigurationError(
            f"{server!r} is no server: expected a name such as mastodon.social, or a URL"
        )
    return f"{parts.scheme}://{parts.netloc}"


def streaming_url(server: str, announced: str | None) -> str:
    """Return where a server's streams are: as announced, else on the server itself.

    Where the server is reached without encryption, so are its streams: some announce ``wss`` even
    then.
    """
    url = server_url(server)
    try:
        place = urlsplit(announced or url).netloc
    except ValueError:  # it announces what is no address
        place = ""
    named = place if _HOST.fullmatch(place) else urlsplit(url).netloc
    return f"{'wss' if url.startswith('https:') else 'ws'}://{named}"


def user_agent(contact: str) -> str:
    """Return what a server's owner reads in the log."""
    return f"mastostream/{version('mastostream')}" + (f" (+{contact})" if contact else "")
