"""A break: one file of the package with one deliberate defect."""

from pathlib import Path

import attrs

__all__ = ["Break"]


@attrs.frozen
class Break:
    """A file with one deliberate defect.

    Attributes:
        path: path of the file, relative to the project's root.
        what: description of the change for the table.
        line: line where the change begins, from 1.
        text: text of the whole file with the defect.
    """

    path: Path
    what: str
    line: int
    text: str
