"""Access tokens of a server, and the scopes that they grant."""

import hashlib
from collections.abc import Collection
from itertools import count

import attrs

__all__ = ["Grant", "Tokens"]


@attrs.frozen(kw_only=True)
class Grant:
    """The rights that a token grants.

    Attributes:
        scopes: OAuth scopes such as ``read`` or ``read:statuses``.
        app: client id of the application that has the token; empty for the server's own token.
        user: whether the token belongs to a user, and not to an application alone.
    """

    scopes: tuple[str, ...]
    app: str = ""
    user: bool = True

    def allows(self, *wanted: str) -> bool:
        """Whether one of these scopes, or the scope that contains it, is granted."""
        granted = set(self.scopes)
        return any({scope, scope.partition(":")[0]} & granted for scope in wanted)


class Tokens:
    """The valid and the revoked tokens of a server.

    Attributes:
        required: whether every endpoint needs a valid token.
    """

    def __init__(self, token: str | None, scopes: Collection[str] = ("read",)) -> None:
        """Make the token store of one server.

        Args:
            token: the server's own token; ``None`` for an open server, which accepts any token.
            scopes: scopes that the server's own token grants, or any token of an open server.
        """
        self.required = token is not None
        self._open = Grant(scopes=tuple(scopes))
        self._grants = {} if token is None else {token: self._open}
        self._revoked: set[str] = set()
        self._numbers = count(1)

    def find(self, token: str) -> Grant | None:
        """Return the rights of a token; ``None`` for a token that is not valid."""
        if token in self._revoked:
            return None
        return self._grants.get(token, None if self.required else self._open)

    def was_revoked(self, token: str) -> bool:
        """Whether the token was revoked."""
        return token in self._revoked

    def issue(self, grant: Grant) -> str:
        """Return a new token with these rights."""
        token = self.secret(f"token:{grant.app}")
        self._grants[token] = grant
        return token

    def revoke(self, token: str) -> None:
        """Make a token invalid."""
        self._revoked.add(token)

    def secret(self, purpose: str) -> str:
        """Return a value that looks like a secret; each call returns another one."""
        text = f"{purpose}:{next(self._numbers)}"
        return hashlib.sha256(text.encode()).hexdigest()[:43]
