"""Lint rules for data views, and for saved searches: the tables of documents."""

from collections.abc import Iterator
from typing import Any

from mastostream.dashboards.kibana.lint.file import File, check_references, problem
from mastostream.dashboards.kibana.lint.problems import Problem
from mastostream.dashboards.kibana.lint.shapes import (
    DataView,
    Envelope,
    Search,
    SearchSource,
    read,
    read_json,
)

__all__ = ["check_data_view", "check_search"]


def check_data_view(envelope: Envelope, file: File) -> Iterator[Problem]:
    """Check one data view.

    Raises:
        msgspec.MsgspecError: its attributes are not those of a data view.
    """
    view = read(envelope.attributes, DataView)
    read_json(view.fields, list[Any])
    formats = read_json(view.formats, dict[str, Any])
    yield from check_references(envelope, {})
    index = file.indices.get(view.title)
    if index is None:
        yield problem(envelope, "index", f"there is no index {view.title}")
        return
    if index.fields.get(view.time_field) != "date":
        yield problem(envelope, "field-type", f"timeFieldName: {view.time_field} is no date")
    for field in formats.keys() - index.fields.keys():
        yield problem(envelope, "field-unknown", f"fieldFormatMap: {field}")


def check_search(envelope: Envelope, file: File) -> Iterator[Problem]:
    """Check one saved search.

    Raises:
        msgspec.MsgspecError: its attributes are not those of a saved search.
    """
    search = read(envelope.attributes, Search)
    source = read_json(search.meta.source, SearchSource)
    reference = source.reference or ""
    yield from check_references(envelope, {reference: "index-pattern"})
    fields = file.fields(envelope, reference)
    for field in dict.fromkeys([*search.columns, *(field for field, _ in search.sort)]):
        if field not in fields:
            yield problem(envelope, "field-unknown", field)
    for field, _ in search.sort:
        if fields.get(field) == "text":
            yield problem(envelope, "field-type", f"sort: {field} is text")
