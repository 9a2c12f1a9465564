"""Templates, mappings and settings: what Elasticsearch is told of each index.

Each index is ``<name>-000001`` behind the alias ``<name>``: readers and writers use the alias, so
that an index can be rebuilt beside the old one. A field that is not named is refused
(``dynamic: strict``), and so is a number in quotes or with decimals where a whole one belongs.
"""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from mastostream.config import ElasticsearchSettings
from mastostream.core.indices import INDICES, FieldType

__all__ = [
    "TOMBSTONES",
    "Definition",
    "definitions",
    "dynamic_settings",
    "first_index",
    "mapping",
    "static_settings",
    "template",
]

TOMBSTONES: Final = "mastostream-tombstones"
"""The hidden index of what was deleted, without the prefix."""

LONGEST_KEYWORD: Final = 8_191
"""Characters. Lucene refuses a document with a term of more than 32,766 bytes, and a character
takes up to 4 (``IndexWriter.MAX_TERM_LENGTH``). A longer value stays in the document, and the
document lists its field in ``_ignored``; it cannot be searched, sorted or counted."""

GC_DELETES: Final = "1h"
"""How long Elasticsearch itself remembers a delete's version: longer than a process that was
halted between its look at the tombstones and its write may sleep."""

PRIORITY: Final = 200
"""Above the templates that Elastic ships (100)."""

_PROPERTIES: Final[Mapping[FieldType, Mapping[str, Any]]] = {
    "keyword": {"type": "keyword", "ignore_above": LONGEST_KEYWORD},
    "text": {"type": "text"},
    "date": {"type": "date"},
    "long": {"type": "long", "coerce": False},
    "boolean": {"type": "boolean"},
}


@attrs.frozen(kw_only=True)
class Definition:
    """One index.

    Attributes:
        name: the alias, which everybody uses, with the prefix.
        fields: name to type.
        hidden: whether ``*`` leaves it out.
    """

    name: str
    fields: Mapping[str, FieldType]
    hidden: bool = False


def definitions(prefix: str = "") -> tuple[Definition, ...]:
    """Return all indices of the pipeline whose names begin with this."""
    return (
        *(Definition(name=prefix + index.name, fields=index.fields) for index in INDICES),
        Definition(name=prefix + TOMBSTONES, fields={"version": "long"}, hidden=True),
    )


def first_index(definition: Definition) -> str:
    """Return the name of the index that is created."""
    return f"{definition.name}-000001"


def mapping(definition: Definition) -> dict[str, Any]:
    """Return the mapping, as a server returns it too."""
    properties = {name: dict(_PROPERTIES[kind]) for name, kind in definition.fields.items()}
    return {"dynamic": "strict", "properties": properties}


def static_settings(definition: Definition, settings: ElasticsearchSettings) -> dict[str, str]:
    """Return what holds for the life of an index, all as text, as a server returns it too."""
    hidden = {"hidden": "true"} if definition.hidden else {}
    return {"number_of_shards": str(settings.shards), **hidden}


def dynamic_settings(settings: ElasticsearchSettings) -> dict[str, str]:
    """Return what can be changed at any time.

    The refresh interval is always stated: without one, an index that nobody searches is not
    refreshed, and the first who searches waits.
    """
    ms = max(1, round(settings.refresh_s * 1_000))
    refresh = f"{ms // 1_000}s" if ms % 1_000 == 0 else f"{ms}ms"
    if "-" in settings.replicas:
        replicas = {"auto_expand_replicas": settings.replicas}
    else:
        replicas = {"auto_expand_replicas": "false", "number_of_replicas": settings.replicas}
    return {"refresh_interval": refresh, "gc_deletes": GC_DELETES, **replicas}


def template(definition: Definition, settings: ElasticsearchSettings) -> dict[str, Any]:
    """Return the index template: it covers indices that are made later beside the first.

    It also forbids an index of the alias's name: a bulk request of deletions alone would make one
    where the alias is missing, whatever ``require_alias`` says.
    """
    index = {**static_settings(definition, settings), **dynamic_settings(settings)}
    return {
        "index_patterns": [definition.name, f"{definition.name}-*"],
        "allow_auto_create": False,
        "priority": PRIORITY,
        "template": {"settings": {"index": index}, "mappings": mapping(definition)},
    }
