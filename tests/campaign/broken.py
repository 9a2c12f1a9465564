"""One break of the package."""

from pathlib import Path

import attrs

__all__ = ["Break"]


@attrs.frozen
class Break:
    """A file with one defect.

    Attributes:
        path: of the file, from the root.
        what: the change, for a person.
        line: where it begins.
        text: the whole file with the defect.
    """

    path: Path
    what: str
    line: int
    text: str
