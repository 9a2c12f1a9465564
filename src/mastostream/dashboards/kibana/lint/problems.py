"""What can be wrong with saved objects."""

from typing import Literal

import attrs

__all__ = ["Problem", "Rule"]

Rule = Literal[
    "form",
    "id",
    "version",
    "reference-unresolved",
    "reference-missing",
    "reference-unused",
    "orphan",
    "index",
    "field-unknown",
    "field-type",
    "data-type",
    "column-order",
    "order-by",
    "accessor",
    "layer",
    "grid-outside",
    "grid-overlap",
    "panel-index",
    "control",
]
"""``form``: a member is missing, unknown or of another type. ``orphan``: nothing refers to it.
``index``: a data view of no index of ours. The others are named after what they look at."""


@attrs.frozen(kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        object: type and id of the saved object.
        rule: what it breaks.
        detail: where, and what is there.
    """

    object: str
    rule: Rule
    detail: str

    def __str__(self) -> str:
        return f"{self.object}: {self.rule}: {self.detail}"
