"""One server's REST API, with each status kept exactly as it was sent.

Mastodon.py speaks to the server; it turns dates and ids into objects of its own, so the bytes of
the answers are kept beside it and cut into statuses without a change.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import mastodon
import msgspec
import requests

from mastostream.exceptions import ConfigurationError, MastostreamError
from mastostream.sources.mastodon.errors import translated

__all__ = ["MastodonClient", "ServerFacts", "server_url"]

PAGE: Final = 40
"""The most statuses that Mastodon gives in one page."""

_TIMEOUT_S: Final = 20.0
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?")
_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


@attrs.frozen(kw_only=True)
class ServerFacts:
    """What a server says of itself.

    Attributes:
        hashtags_open: whether hashtag timelines may be read; ``None`` where it does not say.
        token_valid: ``None`` without a token.
        clock_difference_s: the server's clock minus ours.
    """

    host: str
    version: str
    hashtags_open: bool | None
    token_valid: bool | None
    clock_difference_s: float | None


class _Session(requests.Session):
    """Keeps the last answer, and what is in it to itself while ``withholding``.

    Mastodon.py makes an object of each member of a status, which takes twenty times as long as all
    else that is done with a page. It is given an empty page instead.
    """

    last: Any = None
    withholding = False

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.last = None
        answer = super().request(*args, **kwargs)
        self.last = answer
        if not (self.withholding and answer.ok):
            return answer
        empty = requests.Response()
        empty.status_code, empty.headers, empty.raw = 200, answer.headers, BytesIO(b"[]")
        return empty


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


class MastodonClient:
    """Asks one server, with one token or none."""

    def __init__(self, server: str, *, token: str | None = None, contact: str = "") -> None:
        """Connect to nothing yet.

        Args:
            server: a host name or a URL.
            token: never shown.
            contact: how the server's owner reaches you, sent in the User-Agent.

        Raises:
            ConfigurationError: ``server`` is no host name or URL.
        """
        url = server_url(server)
        self.host = urlsplit(url).netloc
        self._token = token
        self._session = _Session()
        agent = f"mastostream/{version('mastostream')}" + (f" (+{contact})" if contact else "")
        self._api = mastodon.Mastodon(
            api_base_url=url,
            access_token=token,
            user_agent=agent,
            session=self._session,
            ratelimit_method="throw",
            version_check_mode="none",
            request_timeout=_TIMEOUT_S,
        )

    def hashtag_page(
        self, tag: str, *, min_id: str | None = None, max_id: str | None = None
    ) -> Sequence[bytes]:
        """Return one page of a hashtag's timeline, newest first, each status as it was sent.

        Raises:
            RetriableError: 429, 5xx, the network, a cut answer.
            FatalError: the server refuses.
        """
        with translated(self.host, lambda: self._session.last):
            self._session.withholding = True
            try:
                self._api.timeline_hashtag(tag, limit=PAGE, min_id=min_id, max_id=max_id)
            except Exception:
                # What Mastodon.py cannot make sense of may still be a page of statuses.
                if self._session.last is None or not self._session.last.ok:
                    raise
            finally:
                self._session.withholding = False
            return [bytes(raw) for raw in _decode_list(self._session.last.content)]

    def facts(self) -> ServerFacts:
        """Ask the server about itself. Errors as :meth:`hashtag_page`."""
        with translated(self.host, lambda: self._session.last):
            try:
                self._api.instance_v2()
            except mastodon.MastodonAPIError:
                self._api.instance_v1()
            answer = self._session.last
            about = msgspec.json.decode(answer.content)
            date = answer.headers.get("Date")
        difference_s = None
        if date:
            difference_s = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
        return ServerFacts(
            host=self.host,
            version=str(about.get("version", "")),
            hashtags_open=_hashtags_open(about, with_token=self._token is not None),
            token_valid=self._token_valid(),
            clock_difference_s=difference_s,
        )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _token_valid(self) -> bool | None:
        if self._token is None:
            return None
        try:
            with translated(self.host, lambda: self._session.last):
                self._api.account_verify_credentials()
        except MastostreamError:
            if self._session.last is not None and self._session.last.status_code in (401, 403):
                return False
            raise
        return True


def _hashtags_open(about: dict[str, Any], *, with_token: bool) -> bool | None:
    """Read ``configuration.timelines_access`` (Mastodon 4.5)."""
    access = (about.get("configuration") or {}).get("timelines_access") or {}
    feeds = access.get("hashtag_feeds") or {}
    if not isinstance(feeds, dict) or not feeds:
        return None
    allowed = {"public", "authenticated"} if with_token else {"public"}
    return any(access in allowed for access in feeds.values())
