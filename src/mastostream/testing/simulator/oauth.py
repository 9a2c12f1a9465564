"""OAuth: registers applications and issues tokens to them and to users, as Mastodon does.

Source: https://docs.joinmastodon.org/methods/oauth/ and https://docs.joinmastodon.org/methods/apps/.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import attrs

from mastostream.testing.simulator.answers import Answer, error
from mastostream.testing.simulator.api_middleware import Call, Endpoint
from mastostream.testing.simulator.tokens import Grant, Tokens

__all__ = ["OAuth"]

OUT_OF_BAND: Final = "urn:ietf:wg:oauth:2.0:oob"
"""Redirect URI that asks for a page with the code instead of a redirect."""

_HTML: Final = {"Content-Type": "text/html; charset=utf-8"}


@attrs.frozen(kw_only=True)
class _App:
    client_id: str
    secret: str
    name: str
    website: str
    redirects: tuple[str, ...]
    scopes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "id": "1",
            "name": self.name,
            "website": self.website or None,
            "scopes": list(self.scopes),
            "redirect_uri": "\n".join(self.redirects),
            "redirect_uris": list(self.redirects),
        }


@attrs.frozen(kw_only=True)
class _Code:
    app: _App
    redirect: str
    scopes: tuple[str, ...]
    challenge: str


class OAuth:
    """The OAuth endpoints of one server. Every authorization is granted at once."""

    def __init__(self, tokens: Tokens) -> None:
        """Issue and revoke tokens of this token store."""
        self._tokens = tokens
        self._apps: dict[str, _App] = {}
        self._codes: dict[str, _Code] = {}

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints of this API."""
        needs_no_token, needs_token = {"access": "open", "counted": False}, {"access": "token"}
        routes: tuple[tuple[str, str, Any, Mapping[str, Any]], ...] = (
            ("POST", "/api/v1/apps", self._register, {"access": "open"}),
            ("GET", "/api/v1/apps/verify_credentials", self._verify_app, needs_token),
            ("GET", "/api/v1/accounts/verify_credentials", self._verify_user, needs_token),
            ("GET", "/oauth/authorize", self._authorize, needs_no_token),
            ("POST", "/oauth/token", self._token, needs_no_token),
            ("POST", "/oauth/revoke", self._revoke, needs_no_token),
        )
        return tuple(
            Endpoint(method=method, path=path, handler=handler, **options)  # type: ignore[arg-type]  # the table has only valid methods
            for method, path, handler, options in routes
        )

    def _register(self, call: Call) -> Answer:
        form = call.form
        redirects = tuple(form.get("redirect_uris", form.get("redirect_uris[]", "")).split())
        if not form.get("client_name") or not redirects:
            return error(422, "Validation failed: Application name or redirect URI can't be blank")
        app = _App(
            client_id=self._tokens.secret("client"),
            secret=self._tokens.secret("secret"),
            name=form["client_name"],
            website=form.get("website", ""),
            redirects=redirects,
            scopes=tuple(form.get("scopes", "read").split()),
        )
        self._apps[app.client_id] = app
        secrets = {"client_id": app.client_id, "client_secret": app.secret}
        return Answer(200, app.as_json() | secrets | {"client_secret_expires_at": 0})

    def _verify_app(self, call: Call) -> Answer:
        grant = _grant_of(call)
        app = self._apps.get(grant.app)
        if app is None:
            body = {"name": "A simulated application", "website": None}
            return Answer(200, body | {"scopes": list(grant.scopes)})
        return Answer(200, app.as_json())

    def _verify_user(self, call: Call) -> Answer:
        grant = _grant_of(call)
        if not grant.user:
            return error(401, "This method requires an authenticated user")
        if not grant.allows("read", "read:accounts", "profile"):
            return error(403, "This action is outside the authorized scopes")
        return Answer(200, {"id": "1", "username": "simulated", "acct": "simulated"})

    def _authorize(self, call: Call) -> Answer:
        query = call.request.query_params
        app = self._apps.get(query.get("client_id", ""))
        redirect = query.get("redirect_uri", "")
        scopes = tuple(query.get("scope", "read").split())
        if app is None or query.get("response_type") != "code":
            return Answer(400, "<p>Client authentication failed: unknown client</p>", _HTML)
        if redirect not in app.redirects:
            return Answer(400, "<p>The redirect uri included is not valid.</p>", _HTML)
        if not _within(scopes, app.scopes):
            return Answer(400, "<p>The requested scope is invalid or unknown.</p>", _HTML)
        code = self._tokens.secret("code")
        challenge = query.get("code_challenge", "")
        self._codes[code] = _Code(app=app, redirect=redirect, scopes=scopes, challenge=challenge)
        if redirect == OUT_OF_BAND:
            return Answer(200, f'<p>Copy this code: <code id="code">{code}</code></p>', _HTML)
        parameters = {"code": code} | ({"state": query["state"]} if "state" in query else {})
        separator = "&" if "?" in redirect else "?"
        return Answer(302, "", {"Location": redirect + separator + urlencode(parameters)})

    def _token(self, call: Call) -> Answer:
        form = call.form
        app = self._apps.get(form.get("client_id", ""))
        if app is None or app.secret != form.get("client_secret"):
            return _oauth_error(401, "invalid_client", "Client authentication failed")
        if form.get("grant_type") == "client_credentials":
            scopes = tuple(form.get("scope", "read").split())
            if not _within(scopes, app.scopes):
                return _oauth_error(400, "invalid_scope", "The requested scope is invalid")
            return self._token_answer(
                Grant(scopes=scopes, app=app.client_id, user=False), call.now_ms
            )
        if form.get("grant_type") != "authorization_code":
            return _oauth_error(400, "unsupported_grant_type", "The grant type is not supported")
        code = self._codes.pop(form.get("code", ""), None)
        redirect = form.get("redirect_uri")
        if (
            code is None
            or code.app != app
            or code.redirect != redirect
            or not _verifier_matches(code, form)
        ):
            return _oauth_error(400, "invalid_grant", "The provided authorization grant is invalid")
        return self._token_answer(Grant(scopes=code.scopes, app=app.client_id), call.now_ms)

    def _token_answer(self, grant: Grant, now_ms: int) -> Answer:
        body = {"access_token": self._tokens.issue(grant), "token_type": "Bearer"}
        return Answer(200, body | {"scope": " ".join(grant.scopes), "created_at": now_ms // 1000})

    def _revoke(self, call: Call) -> Answer:
        self._tokens.revoke(call.form.get("token", ""))
        return Answer(200, {})


def _grant_of(call: Call) -> Grant:
    if call.grant is None:
        raise TypeError("this needs a token")
    return call.grant


def _within(scopes: tuple[str, ...], granted: tuple[str, ...]) -> bool:
    return all(Grant(scopes=granted).allows(scope) for scope in scopes)


def _verifier_matches(code: _Code, form: Mapping[str, str]) -> bool:
    """Check the code verifier against the code challenge (PKCE, RFC 7636); true without one."""
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    return not code.challenge or urlsafe_b64encode(digest).decode().rstrip("=") == code.challenge


def _oauth_error(status: int, name: str, description: str) -> Answer:
    return Answer(status, {"error": name, "error_description": description})
