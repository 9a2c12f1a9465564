"""Templates, mappings and settings of the indices in Elasticsearch.

Each index is called ``<name>-000001`` and has the alias ``<name>``. Readers and writers use the
alias, so that an index can be rebuilt beside the old one. Elasticsearch refuses a document with a
field that the mapping does not name (``dynamic: strict``), and one with a number in quotes or with
decimals in a field of whole numbers (``coerce: false``).
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
"""The hidden index of deleted ids, named without the prefix."""

LONGEST_KEYWORD: Final = 8_191
"""The longest keyword that is indexed, in characters. Lucene refuses a document with a term of more
than 32,766 bytes (``IndexWriter.MAX_TERM_LENGTH``), and a character takes up to 4 bytes. A longer
value stays in the document, which then lists the field in ``_ignored``, but it cannot be searched,
sorted or counted."""

GC_DELETES: Final = "1h"
"""How long Elasticsearch itself remembers the version of a delete. It is longer than a process may
stay suspended between its look at the tombstones and its write."""

PRIORITY: Final = 200
"""The priority of our templates: higher than that of Elastic's own templates (100)."""

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
        name: its alias, including the prefix; readers and writers use it.
        fields: field name to type.
        hidden: whether a search of ``*`` leaves the index out.
    """

    name: str
    fields: Mapping[str, FieldType]
    hidden: bool = False


def definitions(prefix: str = "") -> tuple[Definition, ...]:
    """Return all indices of the pipeline; their names begin with the prefix."""
    return (
        *(Definition(name=prefix + index.name, fields=index.fields) for index in INDICES),
        Definition(name=prefix + TOMBSTONES, fields={"version": "long"}, hidden=True),
    )


def first_index(definition: Definition) -> str:
    """Return the name of the index that is created behind the alias."""
    return f"{definition.name}-000001"


def mapping(definition: Definition) -> dict[str, Any]:
    """Return the mapping, in the form in which a server returns it."""
    properties = {name: dict(_PROPERTIES[kind]) for name, kind in definition.fields.items()}
    return {"dynamic": "strict", "properties": properties}


def static_settings(definition: Definition, settings: ElasticsearchSettings) -> dict[str, str]:
    """Return the settings that cannot be changed after an index was created.

    All values are strings, as in a server's response.
    """
    hidden = {"hidden": "true"} if definition.hidden else {}
    return {"number_of_shards": str(settings.shards), **hidden}


def dynamic_settings(settings: ElasticsearchSettings) -> dict[str, str]:
    """Return the settings that can be changed at any time.

    The refresh interval is always set. Without it, Elasticsearch does not refresh an index that
    nobody searches, and the first search then has to wait.
    """
    ms = max(1, round(settings.refresh_s * 1_000))
    refresh = f"{ms // 1_000}s" if ms % 1_000 == 0 else f"{ms}ms"
    if "-" in settings.replicas:
        replicas = {"auto_expand_replicas": settings.replicas}
    else:
        replicas = {"auto_expand_replicas": "false", "number_of_replicas": settings.replicas}
    return {"refresh_interval": refresh, "gc_deletes": GC_DELETES, **replicas}


def template(definition: Definition, settings: ElasticsearchSettings) -> dict[str, Any]:
    """Return the index template, which also holds for indices that are made later beside the first.

    It also forbids that an index with the alias's name is created automatically. Otherwise a bulk
    request with only deletions would create one if the alias is missing, even with
    ``require_alias``.
    """
    index = {**static_settings(definition, settings), **dynamic_settings(settings)}
    return {
        "index_patterns": [definition.name, f"{definition.name}-*"],
        "allow_auto_create": False,
        "priority": PRIORITY,
        "template": {"settings": {"index": index}, "mappings": mapping(definition)},
    }
