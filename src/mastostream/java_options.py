"""Options for Java virtual machines that run in this process or share its standard output."""

import os
from typing import Final

__all__ = ["WARNS_ON_STDERR", "add_java_options"]

WARNS_ON_STDERR: Final = (
    *("-Xlog:disable", "-Xlog:all=warning:stderr"),
    "-XX:+DisplayVMOutputToStderr",
)
"""Options that send Java's own warnings to standard error.

By default they go to standard output, where they would stand between records. An example: two
virtual machines that start at the same time may warn "cannot use file /tmp/hsperfdata_...".
"""


def add_java_options(variable: str, *options: str) -> None:
    """Add options to an environment variable that Java reads.

    Options that are there already win: they come last, and Java takes the last of several.
    """
    existing = os.environ.get(variable, "").split()
    added = [option for option in options if option not in existing]
    os.environ[variable] = " ".join([*added, *existing])
