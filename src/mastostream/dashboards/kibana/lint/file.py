"""The file as a whole: ids, versions, and who refers to whom."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import attrs

from mastostream.core.indices import FieldType, Index
from mastostream.dashboards.kibana.lint.problems import Problem, Rule
from mastostream.dashboards.kibana.lint.shapes import Envelope
from mastostream.dashboards.kibana.saved_objects import CORE_VERSION, TYPE_VERSIONS

__all__ = ["File", "envelopes_of", "problem", "references"]


@attrs.frozen
class File:
    """The saved objects of one file.

    Attributes:
        objects: all of them.
        indices: those of ours, by name.
    """

    objects: Sequence[Envelope]
    indices: Mapping[str, Index]

    def fields(self, envelope: Envelope, reference: str) -> Mapping[str, FieldType]:
        """Return the fields of the index that one of an object's references leads to.

        None where it leads to no index of ours, which is a problem of its own.
        """
        ids = [each.id for each in envelope.references if each.name == reference]
        for each in self.objects:
            if each.type == "index-pattern" and each.id in ids:
                index = self.indices.get(str(each.attributes.get("title")))
                return {} if index is None else index.fields
        return {}


def problem(envelope: Envelope, rule: Rule, detail: str) -> Problem:
    """Say what is wrong with an object."""
    return Problem(object=f"{envelope.type} {envelope.id}", rule=rule, detail=detail)


def references(envelope: Envelope, wanted: Mapping[str, str]) -> Iterator[Problem]:
    """Compare an object's references with those that it uses, by name, with the type of each."""
    named = Counter(each.name for each in envelope.references)
    for name, type_ in wanted.items():
        types = [each.type for each in envelope.references if each.name == name]
        if types != [type_]:
            found = f"found {', '.join(types)}" if types else "it is missing"
            yield problem(envelope, "reference-missing", f"{name}: expected a {type_}, {found}")
    for name in named.keys() - wanted.keys():
        yield problem(envelope, "reference-unused", name)


def envelopes_of(file: File) -> Iterator[Problem]:
    """Check ids and versions, and that references lead somewhere and everything is used."""
    known = Counter((each.type, each.id) for each in file.objects)
    used = {(each.type, each.id) for envelope in file.objects for each in envelope.references}
    for envelope in file.objects:
        key = (envelope.type, envelope.id)
        if known[key] > 1:
            yield problem(envelope, "id", "is there more than once")
        if envelope.type != "dashboard" and key not in used:
            yield problem(envelope, "orphan", "nothing refers to it")
        yield from _versions(envelope)
        for each in envelope.references:
            if (each.type, each.id) not in known:
                detail = f"{each.name}: there is no {each.type} {each.id}"
                yield problem(envelope, "reference-unresolved", detail)


def _versions(envelope: Envelope) -> Iterator[Problem]:
    if envelope.core_version != CORE_VERSION:
        detail = f"coreMigrationVersion {envelope.core_version}, expected {CORE_VERSION}"
        yield problem(envelope, "version", detail)
    expected = TYPE_VERSIONS.get(envelope.type)
    if envelope.type_version != expected:
        detail = f"typeMigrationVersion {envelope.type_version}, expected {expected}"
        yield problem(envelope, "version", detail)
