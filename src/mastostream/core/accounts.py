"""The name of an account: one person has one name, whichever server shows the post."""

import re
from typing import Final

from mastostream.core.models import Post

__all__ = ["PSEUDONYM_SCHEME", "account_name"]

PSEUDONYM_SCHEME: Final = "pseudonym:"
"""Scheme of the addresses that replace those of people and posts in a log of pseudonyms."""

_match_host: Final = re.compile(r"https?://([^/?#@\s]{1,255})(?![^/?#])", re.ASCII).match


def account_name(post: Post) -> str:
    """Return the author as ``name@host`` in lower case: the same for all servers that show a post.

    The host is that of the post's ``uri``. A post has the same ``uri`` on all servers, and a server
    takes a post only if this host is the one of its author's ActivityPub id. The host in ``acct``
    is no such name: the author's own server leaves it out, and it may differ from the host of the
    server's pages (Mastodon's setting ``LOCAL_DOMAIN``). If the ``uri`` is no web address (those of
    OStatus begin with ``tag:``), the host is that of the author's page, else that in ``acct``, else
    the server that showed the post. If none is known, and for a pseudonym, the result is ``name``.
    """
    name, _, domain = post.account.acct.partition("@")
    host = _host(post.uri)
    if not host:
        if post.uri.startswith(PSEUDONYM_SCHEME):
            return name.lower()
        host = _host(post.account.url) or domain.partition("@")[0] or post.instance
    return f"{name}@{host}".lower() if host else name.lower()


def _host(address: str | None) -> str:
    match = _match_host(address) if address else None
    return match[1] if match else ""
