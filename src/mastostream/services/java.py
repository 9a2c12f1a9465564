"""Finds the Java installation that runs the servers."""

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
"""The oldest feature release that Kafka 4 (KIP-1013) and Elasticsearch 8 run on."""

_PATIENCE_S: Final = 30.0
_VERSION: Final = re.compile(r'version "(?:1\.)?(\d+)')
_HOME: Final = re.compile(r"^\s*java\.home = (.+)$", re.MULTILINE)
_INSTALL: Final = (
    f"install Java {LEAST_JAVA} or 21 ('apt install openjdk-17-jre-headless' on Debian), "
    "or set JAVA_HOME to one"
)


@attrs.frozen(kw_only=True)
class Java:
    """A Java installation that can run the servers.

    Attributes:
        executable: the path of the program ``java``.
        home: the value of ``JAVA_HOME`` that belongs to it.
        version: the feature release, such as 17 or 21.
    """

    executable: Path
    home: Path
    version: int


def find_java(environ: Mapping[str, str] | None = None) -> Java:
    """Return the first Java that is new enough: that of ``JAVA_HOME``, or else that of ``PATH``.

    Args:
        environ: the environment variables; ``None`` for those of this process.

    Raises:
        ConfigurationError: there is none; the message says why each candidate was rejected.
    """
    environ = os.environ if environ is None else environ
    home = environ.get("JAVA_HOME")
    candidates = [str(Path(home) / "bin" / "java")] if home else []
    on_path = shutil.which("java", path=environ.get("PATH"))
    candidates += [on_path] if on_path else []
    problems = []
    for candidate in dict.fromkeys(candidates):
        java, problem = _inspect(Path(candidate))
        if java is not None:
            return java
        problems.append(problem)
    why = "; ".join(problems) or "JAVA_HOME is not set and PATH has no java"
    raise ConfigurationError(f"the servers need Java {LEAST_JAVA} or later ({why}): {_INSTALL}")


def _inspect(executable: Path) -> tuple[Java | None, str]:
    """Return the Java and ``""``, or ``None`` and why it cannot be used."""
    command = (str(executable), "-XshowSettings:properties", "-version")
    try:
        result = subprocess.run(  # noqa: S603 - what JAVA_HOME and PATH name is the user's choice
            command, capture_output=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not answer"
        return None, f"{executable} cannot be run: {reason}"
    output = (result.stderr + result.stdout).decode(errors="replace")
    version = _VERSION.search(output)
    if result.returncode or version is None:
        return None, f"{executable} does not tell its version"
    if int(version[1]) < LEAST_JAVA:
        return None, f"{executable} is Java {version[1]}"
    match = _HOME.search(output)
    home = Path(match[1].strip()) if match else executable.resolve().parents[1]
    return Java(executable=executable, home=home, version=int(version[1])), ""
