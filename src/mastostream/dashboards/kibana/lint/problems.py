"""Problems that the linter reports, and the names of its rules."""

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
"""Name of a rule. ``form``: a member is missing, unknown or of a wrong type. ``orphan``: no object
refers to this one. ``index``: a data view is for an index that this package does not have. Other
rules are named after what they check."""


@attrs.frozen(kw_only=True)
class Problem:
    """One problem of a saved object.

    Attributes:
        object: type and id of the saved object.
        rule: the rule that it breaks.
        detail: the place inside the object, and what is there.
    """

    object: str
    rule: Rule
    detail: str

    def __str__(self) -> str:
        return f"{self.object}: {self.rule}: {self.detail}"
