"""Lint rules for all objects of a file: ids, versions, and references between objects."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import attrs

from mastostream.core.indices import FieldType, Index
from mastostream.dashboards.kibana.lint.problems import Problem, Rule
from mastostream.dashboards.kibana.lint.shapes import Envelope
from mastostream.dashboards.kibana.saved_objects import CORE_VERSION, TYPE_VERSIONS

__all__ = ["File", "check_envelopes", "check_references", "problem"]


@attrs.frozen
class File:
    """The saved objects of one file.

    Attributes:
        objects: all saved objects.
        indices: the indices of this package, by name.
    """

    objects: Sequence[Envelope]
    indices: Mapping[str, Index]

    def fields(self, envelope: Envelope, reference: str) -> Mapping[str, FieldType]:
        """Return the fields of the index to which a reference of an object leads.

        The result is empty if the reference does not lead to an index of this package; other rules
        report that.
        """
        ids = [target.id for target in envelope.references if target.name == reference]
        for view in self.objects:
            if view.type == "index-pattern" and view.id in ids:
                index = self.indices.get(str(view.attributes.get("title")))
                return {} if index is None else index.fields
        return {}


def problem(envelope: Envelope, rule: Rule, detail: str) -> Problem:
    """Return a problem of an object."""
    return Problem(object=f"{envelope.type} {envelope.id}", rule=rule, detail=detail)


def check_references(envelope: Envelope, used: Mapping[str, str]) -> Iterator[Problem]:
    """Check that an object has exactly the references that it uses.

    Args:
        envelope: the object, with the references that it has.
        used: the references that it uses: name to the type of the target.
    """
    names = Counter(reference.name for reference in envelope.references)
    for name, type_ in used.items():
        types = [reference.type for reference in envelope.references if reference.name == name]
        if types != [type_]:
            actual = f"found {', '.join(types)}" if types else "it is missing"
            yield problem(envelope, "reference-missing", f"{name}: expected a {type_}, {actual}")
    for name in names.keys() - used.keys():
        yield problem(envelope, "reference-unused", name)


def check_envelopes(file: File) -> Iterator[Problem]:
    """Check ids and versions, that targets of references exist, and that all objects are used."""
    known = Counter((envelope.type, envelope.id) for envelope in file.objects)
    used = {
        (reference.type, reference.id)
        for envelope in file.objects
        for reference in envelope.references
    }
    for envelope in file.objects:
        key = (envelope.type, envelope.id)
        if known[key] > 1:
            yield problem(envelope, "id", "is there more than once")
        if envelope.type != "dashboard" and key not in used:
            yield problem(envelope, "orphan", "nothing refers to it")
        yield from _versions(envelope)
        for reference in envelope.references:
            if (reference.type, reference.id) not in known:
                detail = f"{reference.name}: there is no {reference.type} {reference.id}"
                yield problem(envelope, "reference-unresolved", detail)


def _versions(envelope: Envelope) -> Iterator[Problem]:
    if envelope.core_version != CORE_VERSION:
        detail = f"coreMigrationVersion {envelope.core_version}, expected {CORE_VERSION}"
        yield problem(envelope, "version", detail)
    expected = TYPE_VERSIONS.get(envelope.type)
    if envelope.type_version != expected:
        detail = f"typeMigrationVersion {envelope.type_version}, expected {expected}"
        yield problem(envelope, "version", detail)
