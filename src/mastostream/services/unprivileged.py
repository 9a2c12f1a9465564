"""For servers that refuse to run as root: they run as ``nobody`` then."""

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
    """Whom a server runs as.

    Attributes:
        uid: of the user.
        gid: of the user's group.
        switch: the command that becomes this user; what to run follows it.
    """

    uid: int
    gid: int
    switch: tuple[str, ...]

    def own(self, *folders: Path) -> None:
        """Make these, and give them with all that is in them to the user."""
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            for root, _, files in os.walk(folder):
                os.chown(root, self.uid, self.gid)
                for name in files:
                    os.chown(Path(root) / name, self.uid, self.gid, follow_symlinks=False)

    @staticmethod
    def take_back(folder: Path) -> None:
        """Make a folder root's own, so that no file in it can be exchanged while root writes."""
        os.chown(folder, 0, 0)

    def check_entry(self, *paths: Path) -> None:
        """Make sure that the user can get there.

        Raises:
            ConfigurationError: a folder on the way is closed to others.
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
    """Return whom a server has to run as; ``None`` where it is not root that starts it.

    Args:
        server: its name, for a person.
        uid: of who starts it.

    Raises:
        ConfigurationError: we are root, and cannot become anybody else.
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
