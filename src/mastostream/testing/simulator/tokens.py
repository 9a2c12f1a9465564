"""Tokens of a server, and what they allow."""

import hashlib
from collections.abc import Collection
from itertools import count

import attrs

__all__ = ["Grant", "Tokens"]


@attrs.frozen(kw_only=True)
class Grant:
    """What a token allows.

    Attributes:
        scopes: such as ``read`` or ``read:statuses``.
        app: the client id of the application that got it; empty for the server's own token.
        user: whether somebody stands behind it, or only an application.
    """

    scopes: tuple[str, ...]
    app: str = ""
    user: bool = True

    def allows(self, *wanted: str) -> bool:
        """Whether one of these scopes, or what it is a part of, is granted."""
        granted = set(self.scopes)
        return any({scope, scope.partition(":")[0]} & granted for scope in wanted)


class Tokens:
    """Those that are valid.

    Attributes:
        required: whether a client needs one for everything.
    """

    def __init__(self, token: str | None, scopes: Collection[str] = ("read",)) -> None:
        """Begin.

        Args:
            token: the server's own; ``None`` for an open server, which takes any token.
            scopes: what that, or any, token allows.
        """
        self.required = token is not None
        self._open = Grant(scopes=tuple(scopes))
        self._grants = {} if token is None else {token: self._open}
        self._revoked: set[str] = set()
        self._numbers = count(1)

    def find(self, token: str) -> Grant | None:
        """Return what a token allows; ``None`` for one that is not valid."""
        if token in self._revoked:
            return None
        return self._grants.get(token, None if self.required else self._open)

    def was_revoked(self, token: str) -> bool:
        """Whether it was valid once."""
        return token in self._revoked

    def issue(self, grant: Grant) -> str:
        """Return a new token."""
        token = self.secret(f"token:{grant.app}")
        self._grants[token] = grant
        return token

    def revoke(self, token: str) -> None:
        """Let it be valid no more."""
        self._revoked.add(token)

    def secret(self, purpose: str) -> str:
        """Return something that looks like a secret and is another one each time."""
        text = f"{purpose}:{next(self._numbers)}"
        return hashlib.sha256(text.encode()).hexdigest()[:43]
