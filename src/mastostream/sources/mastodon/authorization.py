"""Getting a token of one's own from a server (OAuth 2.0, RFC 6749, section 4.1).

Mastodon.py asks. What it raises may hold secrets, so no error of it is shown or kept as a cause.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import mastodon
import requests
from mastodon.errors import MastodonAPIError, MastodonIllegalArgumentError

from mastostream.exceptions import FatalError, MastostreamError
from mastostream.sources.mastodon.address import server_url, user_agent
from mastostream.sources.mastodon.errors import translate

__all__ = ["OUT_OF_BAND", "Login", "Registration"]

OUT_OF_BAND: Final = "urn:ietf:wg:oauth:2.0:oob"
"""The redirection to nowhere: the server shows the code, and the user copies it."""

NAME: Final = "mastostream"
_TIMEOUT_S: Final = 20.0
_SECRET: Final = re.compile(r"[A-Za-z0-9._~+/=-]{8,1024}")


class _Session(requests.Session):
    """Keeps the last answer."""

    last: requests.Response | None = None

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.last = None
        self.last = answer = super().request(*args, **kwargs)
        return answer


class _Api(mastodon.Mastodon):
    """Does without what servers need not offer."""

    def oauth_authorization_server_info(self) -> Any:
        """All but two members are optional (RFC 8414, section 2), but not to Mastodon.py."""
        found = super().oauth_authorization_server_info()
        return {name: value for name, value in found.items() if value is not None}

    def retrieve_mastodon_version(self, fail_hard: bool = False) -> str:  # noqa: ARG002, FBT - theirs
        """Nothing here depends on it, and Mastodon.py asks for ever where it is not told."""
        return ""


@attrs.frozen(kw_only=True)
class Login:
    """A login that has succeeded.

    Attributes:
        client_key: the application's id.
        client_secret: its secret.
        access_token: the user's token for it.
        account: whose it is, as the server says.
        scopes: what it is allowed.
    """

    client_key: str = attrs.field(repr=False)
    client_secret: str = attrs.field(repr=False)
    access_token: str = attrs.field(repr=False)
    account: str
    scopes: tuple[str, ...]


class Registration:
    """An application that was registered for one login."""

    def __init__(self, server: str, redirect_uri: str, contact: str = "") -> None:
        """Register the application.

        It asks for what the collector needs, and no more: to read posts, and to see whose token it
        is. The second is ``profile`` where the server knows it (Mastodon 4.3, RFC 8414), else
        ``read:accounts``.

        Args:
            server: a host name or a URL.
            redirect_uri: where the server sends the code, or ``OUT_OF_BAND``.
            contact: how the server's owner reaches you, sent in the User-Agent.

        Raises:
            ConfigurationError: ``server`` is no host name or URL.
            RetriableError: the server cannot be reached, or has trouble of its own.
            FatalError: it refuses.
        """
        self._url = server_url(server)
        self.host = urlsplit(self._url).netloc
        self._redirect_uri = redirect_uri
        self._session = _Session()
        self._agent = user_agent(contact)
        self._plain_http = self._url.startswith("http://")
        with self._asking("to register an application"):
            known = self._api().oauth_authorization_server_info().get("scopes_supported") or ()
            self.scopes = ("read:statuses", "profile" if "profile" in known else "read:accounts")
            key, secret = mastodon.Mastodon.create_app(
                NAME,
                scopes=list(self.scopes),
                redirect_uris=redirect_uri,
                api_base_url=self._url,
                request_timeout=_TIMEOUT_S,
                session=self._session,
                user_agent=self._agent,
            )
        self._key, self._secret = self._checked(key), self._checked(secret)

    def address(self, state: str) -> str:
        """Return where the user allows it. Errors as the constructor.

        Args:
            state: a random text that comes back with the code (RFC 6749, section 10.12).
        """
        with self._asking("to log in"):
            return self._api(self._key, self._secret).auth_request_url(
                redirect_uris=self._redirect_uri,
                scopes=list(self.scopes),
                state=state,
                allow_http=self._plain_http,
            )

    def finish(self, code: str) -> Login:
        """Trade the code for a token and try it. Errors as the constructor."""
        api = self._api(self._key, self._secret)
        with self._asking("the code: it is used up, too old or mistyped; run the command again"):
            try:
                api.log_in(
                    code=code,
                    redirect_uri=self._redirect_uri,
                    scopes=list(self.scopes),
                    allow_http=self._plain_http,
                )
            except MastodonAPIError:
                if api.access_token is not None:
                    raise FatalError(
                        f"{self.host} allowed less than was asked for, {' '.join(self.scopes)}: "
                        "run the command again and allow all of it"
                    ) from None
                raise
            except KeyError:  # it does not repeat the scopes, as it need not
                if api.access_token is None:
                    raise
        token = self._checked(api.access_token)
        with self._asking("the token that it has just given"):
            account = str(api.account_verify_credentials().get("acct", ""))
        return Login(
            client_key=self._key,
            client_secret=self._secret,
            access_token=token,
            account=account,
            scopes=self.scopes,
        )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _api(self, key: str | None = None, secret: str | None = None) -> _Api:
        return _Api(
            client_id=key,
            client_secret=secret,
            api_base_url=self._url,
            user_agent=self._agent,
            session=self._session,
            ratelimit_method="throw",
            version_check_mode="none",
            request_timeout=_TIMEOUT_S,
        )

    def _checked(self, secret: object) -> str:
        """Refuse what is no secret: Mastodon.py would open a file of that name, and send it."""
        if not isinstance(secret, str) or not _SECRET.fullmatch(secret) or Path(secret).exists():
            raise FatalError(f"{self.host} sent credentials that are none")
        return secret

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except MastostreamError:
            raise
        except Exception as error:  # noqa: BLE001 - of answers that are not as they should be, too
            raise self._explained(error, what) from None

    def _explained(self, error: Exception, what: str) -> MastostreamError:
        answer = self._session.last
        if answer is None:  # it could not be reached; Mastodon.py may call that a wrong argument
            cause = error.__context__ if isinstance(error, MastodonIllegalArgumentError) else error
            return translate(cause if isinstance(cause, Exception) else error, self.host, None)
        if answer.ok:
            return FatalError(
                f"{self.host} sent an answer that this program does not understand: is it a server "
                "with Mastodon's API?"
            )
        if answer.status_code >= 500 or answer.status_code == 429:
            return translate(MastodonAPIError(), self.host, answer)
        return FatalError(f"{self.host} refuses ({answer.status_code}) {what}")
