"""How applications and people get a token, as Mastodon does it.

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
"""Asks for a page that shows the code."""

_HTML: Final = {"Content-Type": "text/html; charset=utf-8"}


@attrs.frozen(kw_only=True)
class _App:
    client_id: str
    secret: str
    name: str
    website: str
    redirects: tuple[str, ...]
    scopes: tuple[str, ...]

    def shown(self) -> dict[str, Any]:
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
    """Registers applications and gives out tokens. Whoever is asked says yes."""

    def __init__(self, tokens: Tokens) -> None:
        """Give out these tokens."""
        self._tokens = tokens
        self._apps: dict[str, _App] = {}
        self._codes: dict[str, _Code] = {}

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return all that can be asked for."""
        never, always = {"access": "open", "counted": False}, {"access": "token"}
        found: tuple[tuple[str, str, Any, Mapping[str, Any]], ...] = (
            ("POST", "/api/v1/apps", self._register, {"access": "open"}),
            ("GET", "/api/v1/apps/verify_credentials", self._verify_app, always),
            ("GET", "/api/v1/accounts/verify_credentials", self._verify_user, always),
            ("GET", "/oauth/authorize", self._authorize, never),
            ("POST", "/oauth/token", self._token, never),
            ("POST", "/oauth/revoke", self._revoke, never),
        )
        return tuple(
            Endpoint(method=method, path=path, answer=answer, **more)  # type: ignore[arg-type]  # as above
            for method, path, answer, more in found
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
        return Answer(200, app.shown() | secrets | {"client_secret_expires_at": 0})

    def _verify_app(self, call: Call) -> Answer:
        grant = _granted(call)
        app = self._apps.get(grant.app)
        if app is None:
            about = {"name": "A simulated application", "website": None}
            return Answer(200, about | {"scopes": list(grant.scopes)})
        return Answer(200, app.shown())

    def _verify_user(self, call: Call) -> Answer:
        grant = _granted(call)
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
        told = {"code": code} | ({"state": query["state"]} if "state" in query else {})
        joint = "&" if "?" in redirect else "?"
        return Answer(302, "", {"Location": redirect + joint + urlencode(told)})

    def _token(self, call: Call) -> Answer:
        form = call.form
        app = self._apps.get(form.get("client_id", ""))
        if app is None or app.secret != form.get("client_secret"):
            return _refused(401, "invalid_client", "Client authentication failed")
        if form.get("grant_type") == "client_credentials":
            scopes = tuple(form.get("scope", "read").split())
            if not _within(scopes, app.scopes):
                return _refused(400, "invalid_scope", "The requested scope is invalid")
            return self._issued(Grant(scopes=scopes, app=app.client_id, user=False), call.now_ms)
        if form.get("grant_type") != "authorization_code":
            return _refused(400, "unsupported_grant_type", "The grant type is not supported")
        code = self._codes.pop(form.get("code", ""), None)
        redirect = form.get("redirect_uri")
        if code is None or code.app != app or code.redirect != redirect or not _proven(code, form):
            return _refused(400, "invalid_grant", "The provided authorization grant is invalid")
        return self._issued(Grant(scopes=code.scopes, app=app.client_id), call.now_ms)

    def _issued(self, grant: Grant, now_ms: int) -> Answer:
        told = {"access_token": self._tokens.issue(grant), "token_type": "Bearer"}
        return Answer(200, told | {"scope": " ".join(grant.scopes), "created_at": now_ms // 1000})

    def _revoke(self, call: Call) -> Answer:
        self._tokens.revoke(call.form.get("token", ""))
        return Answer(200, {})


def _granted(call: Call) -> Grant:
    if call.grant is None:
        raise TypeError("this needs a token")
    return call.grant


def _within(scopes: tuple[str, ...], granted: tuple[str, ...]) -> bool:
    return all(Grant(scopes=granted).allows(scope) for scope in scopes)


def _proven(code: _Code, form: Mapping[str, str]) -> bool:
    """Check the verifier of RFC 7636 (PKCE), where there was a challenge."""
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    return not code.challenge or urlsafe_b64encode(digest).decode().rstrip("=") == code.challenge


def _refused(status: int, name: str, description: str) -> Answer:
    return Answer(status, {"error": name, "error_description": description})
