"""What a Java is told that runs in this process, or shares its output."""

import os
from typing import Final

__all__ = ["WARNS_ON_STDERR", "add_java_options"]

WARNS_ON_STDERR: Final = (
    *("-Xlog:disable", "-Xlog:all=warning:stderr"),
    "-XX:+DisplayVMOutputToStderr",
)
"""By default Java's own warnings go to standard output, between the records there. One that starts
while another does may say so that it "cannot use file /tmp/hsperfdata_..."."""


def add_java_options(variable: str, *options: str) -> None:
    """Add options to a variable of the environment that Java reads; those given there win."""
    given = os.environ.get(variable, "").split()
    added = [option for option in options if option not in given]
    os.environ[variable] = " ".join([*added, *given])
