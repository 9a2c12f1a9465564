"""Which Java runs the servers."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from mastostream.exceptions import ConfigurationError

__all__ = ["LEAST_JAVA", "Java", "find_java"]

LEAST_JAVA: Final = 17
"""Kafka 4 needs it (KIP-1013), and Elasticsearch 8."""

_PATIENCE_S: Final = 30.0
_VERSION: Final = re.compile(r'version "(?:1\.)?(\d+)')
_HOME: Final = re.compile(r"^\s*java\.home = (.+)$", re.MULTILINE)
_INSTALL: Final = (
    f"install Java {LEAST_JAVA} or 21 ('apt install openjdk-17-jre-headless' on Debian), "
    "or set JAVA_HOME to one"
)


@attrs.frozen(kw_only=True)
class Java:
    """A Java that was found and asked.

    Attributes:
        executable: the program ``java``.
        home: what ``JAVA_HOME`` is for it.
        version: its feature release: 17, 21...
    """

    executable: Path
    home: Path
    version: int


def find_java(environ: Mapping[str, str] | None = None) -> Java:
    """Return the first Java of ``JAVA_HOME`` and ``PATH`` that is new enough.

    Raises:
        ConfigurationError: there is none.
    """
    environ = os.environ if environ is None else environ
    home = environ.get("JAVA_HOME")
    places = [str(Path(home) / "bin" / "java")] if home else []
    on_path = shutil.which("java", path=environ.get("PATH"))
    places += [on_path] if on_path else []
    told = []
    for place in dict.fromkeys(places):
        java, why = _ask(Path(place))
        if java is not None:
            return java
        told.append(why)
    found = "; ".join(told) or "JAVA_HOME is not set and PATH has no java"
    raise ConfigurationError(f"the servers need Java {LEAST_JAVA} or later ({found}): {_INSTALL}")


def _ask(executable: Path) -> tuple[Java | None, str]:
    """Return the Java, or why it is none that can be used."""
    command = (str(executable), "-XshowSettings:properties", "-version")
    try:
        answer = subprocess.run(  # noqa: S603 - what JAVA_HOME and PATH name is the user's choice
            command, capture_output=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not answer"
        return None, f"{executable} cannot be run: {reason}"
    said = (answer.stderr + answer.stdout).decode(errors="replace")
    version = _VERSION.search(said)
    if answer.returncode or version is None:
        return None, f"{executable} does not tell its version"
    if int(version[1]) < LEAST_JAVA:
        return None, f"{executable} is Java {version[1]}"
    home = _HOME.search(said)
    where = Path(home[1].strip()) if home else executable.resolve().parents[1]
    return Java(executable=executable, home=where, version=int(version[1])), ""
