"""The client of a server's REST API. It keeps every status exactly as it was sent."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
import requests

from mastostream.exceptions import RetriableError
from mastostream.ports.source import About, RateLimits
from mastostream.sources.mastodon.about import about_of
from mastostream.sources.mastodon.errors import translated
from mastostream.sources.mastodon.http_session import HttpSession

__all__ = ["MastodonClient"]

PAGE: Final = 40
"""The largest page of statuses that Mastodon returns."""

STATUSES: Final = 20
"""Most ids in one request for statuses (``DEFAULT_STATUSES_LIMIT`` of Mastodon's source)."""

SINGLES: Final = 200
"""After this many statuses were requested one by one, several at once are tried again."""

_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_one: Final = msgspec.json.Decoder(msgspec.Raw).decode


class MastodonClient:
    """A :class:`ports.source.MastodonServer`: one server, with one token or none."""

    def __init__(
        self, server: str, *, token: str | None = None, contact: str = "", timeout_s: float = 20.0
    ) -> None:
        """Open no connection yet. Arguments and errors are those of :class:`HttpSession`."""
        self.most_ids = STATUSES
        self._http = HttpSession(server, token=token, contact=contact, timeout_s=timeout_s)
        self._has_token = token is not None
        self._about: About | None = None
        self._singles = 0

    @property
    def host(self) -> str:
        return self._http.host

    @property
    def limits(self) -> RateLimits | None:
        return self._http.limits

    def about(self) -> About:
        response = self._http.get("/api/v2/instance")
        if response.status_code in (400, 404, 405):
            response = self._http.get("/api/v1/instance")
        instance = self._decoded(response, msgspec.json.Decoder(dict[str, Any]).decode)
        self._about = about_of(instance, self.host, with_token=self._has_token)
        return self._about

    def timeline(
        self, tags: Sequence[str], *, min_id: str | None = None, max_id: str | None = None
    ) -> Sequence[bytes]:
        params = {"limit": PAGE, "min_id": min_id, "max_id": max_id, "any[]": list(tags[1:])}
        response = self._http.get(f"/api/v1/timelines/tag/{quote(tags[0], safe='')}", params=params)
        if response.status_code == 404 and self._about and self._about.family == "gotosocial":
            return ()  # GoToSocial does not know the hashtag yet
        return list(map(bytes, self._decoded(response, _decode_list)))

    def statuses(self, ids: Sequence[str]) -> Sequence[bytes] | None:
        if len(ids) == 1:
            self._note_single()
            response = self._http.get(f"/api/v1/statuses/{quote(ids[0], safe='')}")
            if response.status_code in (404, 410):
                return self._no_statuses(response)
            return [bytes(self._decoded(response, _decode_one))]
        response = self._http.get("/api/v1/statuses", params={"id[]": list(ids)})
        if response.status_code in (400, 404, 405, 422):
            self.most_ids = max(1, len(ids) // 2) if response.status_code == 422 else 1
            self._singles = 0
            return None
        return list(map(bytes, self._decoded(response, _decode_list)))

    def close(self) -> None:
        self._http.close()

    def _no_statuses(self, response: requests.Response) -> Sequence[bytes]:
        """Return no status, if the response comes from the server and not from a proxy."""
        try:
            msgspec.json.decode(response.content, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise RetriableError(
                f"{self.host} answered {response.status_code} for a post, with no words of its own"
            ) from error
        return ()

    def _decoded(self, response: requests.Response, decode: Any) -> Any:
        if not response.ok:
            raise self._http.refusal(response)
        with translated(self.host, lambda: response):
            return decode(response.content)

    def _note_single(self) -> None:
        """Count a single status: after ``SINGLES`` of them, several at once are tried again.

        The server may have refused several only because it was disturbed.
        """
        if self.most_ids == 1:
            self._singles += 1
            if self._singles >= SINGLES:
                self.most_ids = STATUSES
