"""Runs servers that refuse to run as root as the user ``nobody`` instead."""

import os
import pwd
import shutil
from pathlib import Path
from typing import Final

import attrs

from mastostream.exceptions import ConfigurationError

__all__ = ["User", "other_user"]

_USER: Final = "nobody"


@attrs.frozen(kw_only=True)
class User:
    """The user that a server runs as.

    Attributes:
        uid: the user id.
        gid: the id of the user's group.
        switch: a command prefix: the command that follows it runs as this user.
    """

    uid: int
    gid: int
    switch: tuple[str, ...]

    def own(self, *folders: Path) -> None:
        """Make the folders if they are missing; give them and their content to the user."""
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            for root, _, files in os.walk(folder):
                os.chown(root, self.uid, self.gid)
                for name in files:
                    os.chown(Path(root) / name, self.uid, self.gid, follow_symlinks=False)

    @staticmethod
    def take_back(folder: Path) -> None:
        """Give a folder back to root, so that the user cannot replace files while root writes."""
        os.chown(folder, 0, 0)

    def check_entry(self, *paths: Path) -> None:
        """Check that the user can reach these paths.

        Raises:
            ConfigurationError: other users may not enter one of the parent folders.
        """
        for path in paths:
            for folder in path.absolute().parents:
                if not folder.stat().st_mode & 0o001:
                    raise ConfigurationError(
                        f"the user {_USER}, as whom Elasticsearch runs because it refuses root, "
                        f"cannot get to {path}, since {folder} is closed to others: choose another "
                        "--folder (below /var/lib, for example), or run this as another user than "
                        "root"
                    )


def other_user(server: str, uid: int) -> User | None:
    """Return the user that a server has to run as; ``None`` if the starting user is not root.

    Args:
        server: the name of the server, for the message.
        uid: the id of the user that starts it.

    Raises:
        ConfigurationError: root starts it, but there is no user ``nobody`` or no program
            ``setpriv``.
    """
    if uid != 0:
        return None
    setpriv = shutil.which("setpriv")
    try:
        entry = pwd.getpwnam(_USER)
    except KeyError:
        entry = None
    if setpriv is None or entry is None:
        lacking = "the program setpriv (package util-linux)" if entry else f"a user {_USER}"
        raise ConfigurationError(
            f"{server} refuses to run as root, and {lacking} is not here to run it as another "
            "user: run this command as another user than root"
        )
    identity = (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")
    return User(
        uid=entry.pw_uid,
        gid=entry.pw_gid,
        switch=(setpriv, *identity, "--no-new-privs", "--"),
    )
