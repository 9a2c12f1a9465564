"""Login: gets an access token from a server (OAuth 2.0, RFC 6749, section 4.1).

Mastodon.py sends the requests. Its errors may hold secrets, so none of them is shown or kept as a
cause.
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
"""The redirect URI for no redirection: the server shows the code, and the user copies it."""

NAME: Final = "mastostream"
_TIMEOUT_S: Final = 20.0
_SECRET: Final = re.compile(r"[A-Za-z0-9._~+/=-]{8,1024}")


class _Session(requests.Session):
    """A session that keeps the last response."""

    last_response: requests.Response | None = None

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.last_response = None
        self.last_response = response = super().request(*args, **kwargs)
        return response


class _Api(mastodon.Mastodon):
    """Mastodon.py, without the need for members and endpoints that servers may lack."""

    def oauth_authorization_server_info(self) -> Any:
        """Drop empty members: RFC 8414, section 2, allows them, but Mastodon.py does not."""
        metadata = super().oauth_authorization_server_info()
        return {name: value for name, value in metadata.items() if value is not None}

    def retrieve_mastodon_version(self, fail_hard: bool = False) -> str:  # noqa: ARG002, FBT - the signature is Mastodon.py's
        """Return no version: none is needed, and without one Mastodon.py would ask without end."""
        return ""


@attrs.frozen(kw_only=True)
class Login:
    """The credentials from a successful login.

    Attributes:
        client_key: the application's id.
        client_secret: the application's secret.
        access_token: the token of the user for the application.
        account: the user's account, as the server names it.
        scopes: the scopes of the token.
    """

    client_key: str = attrs.field(repr=False)
    client_secret: str = attrs.field(repr=False)
    access_token: str = attrs.field(repr=False)
    account: str
    scopes: tuple[str, ...]


class Registration:
    """An application that is registered with a server for one login."""

    def __init__(self, server: str, redirect_uri: str, contact: str = "") -> None:
        """Register the application.

        Its scopes are those that the collector needs: reading posts, and seeing whose token it
        is. The second one is ``profile`` if the server knows it (Mastodon 4.3, RFC 8414), else
        ``read:accounts``.

        Args:
            server: a host name or a URL.
            redirect_uri: the URI that the server sends the code to, or ``OUT_OF_BAND``.
            contact: how the server's owner reaches you, sent in the User-Agent.

        Raises:
            ConfigurationError: ``server`` is no host name or URL.
            RetriableError: the server cannot be reached, or has an error of its own.
            FatalError: the server refuses.
        """
        self._url = server_url(server)
        self.host = urlsplit(self._url).netloc
        self._redirect_uri = redirect_uri
        self._session = _Session()
        self._agent = user_agent(contact)
        self._plain_http = self._url.startswith("http://")
        with self._translated_errors("to register an application"):
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
        """Return the authorization URL, at which the user allows the login in a browser.

        Args:
            state: a random text that comes back with the code (RFC 6749, section 10.12).

        Raises:
            RetriableError: the server cannot be reached, or has an error of its own.
            FatalError: the server refuses.
        """
        with self._translated_errors("to log in"):
            return self._api(self._key, self._secret).auth_request_url(
                redirect_uris=self._redirect_uri,
                scopes=list(self.scopes),
                state=state,
                allow_http=self._plain_http,
            )

    def finish(self, code: str) -> Login:
        """Exchange the authorization code for an access token, and check the token with a request.

        Args:
            code: the code that the server gave to the user or to the redirect URI.

        Raises:
            RetriableError: the server cannot be reached, or has an error of its own.
            FatalError: the server refuses the code or the token, or the user has allowed fewer
                scopes than were requested.
        """
        api = self._api(self._key, self._secret)
        with self._translated_errors(
            "the code: it is used up, too old or mistyped; run the command again"
        ):
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
            except KeyError:  # the server does not repeat the scopes, which is allowed
                if api.access_token is None:
                    raise
        token = self._checked(api.access_token)
        with self._translated_errors("the token that it has just given"):
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
        """Return a secret from the server, or raise.

        If it were the path of a file, Mastodon.py would read that file and send its content.
        """
        if not isinstance(secret, str) or not _SECRET.fullmatch(secret) or Path(secret).exists():
            raise FatalError(f"{self.host} sent credentials that are none")
        return secret

    @contextmanager
    def _translated_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except MastostreamError:
            raise
        except Exception as error:  # noqa: BLE001 - Mastodon.py raises any error on odd responses
            raise self._translate(error, what) from None

    def _translate(self, error: Exception, what: str) -> MastostreamError:
        response = self._session.last_response
        if response is None:  # no connection; Mastodon.py may call that a wrong argument
            cause = error.__context__ if isinstance(error, MastodonIllegalArgumentError) else error
            return translate(cause if isinstance(cause, Exception) else error, self.host, None)
        if response.ok:
            return FatalError(
                f"{self.host} sent an answer that this program does not understand: is it a server "
                "with Mastodon's API?"
            )
        if response.status_code >= 500 or response.status_code == 429:
            return translate(MastodonAPIError(), self.host, response)
        return FatalError(f"{self.host} refuses ({response.status_code}) {what}")
