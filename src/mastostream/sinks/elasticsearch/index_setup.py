"""Creates the index templates, the indices and their aliases, and updates them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import attrs
from elasticsearch import BadRequestError, Elasticsearch, NotFoundError

from mastostream.config import ElasticsearchSettings
from mastostream.exceptions import ConfigurationError, RetriableError
from mastostream.sinks.elasticsearch.cluster_connection import address, check_version, connect
from mastostream.sinks.elasticsearch.definitions import (
    Definition,
    definitions,
    dynamic_settings,
    first_index,
    mapping,
    static_settings,
    template,
)
from mastostream.sinks.elasticsearch.errors import translated

__all__ = ["SetupStep", "ensure", "set_up", "write_index_uuid"]

State = Literal["created", "updated", "unchanged", "differs", "wrong"]
_EXISTS: Final = "resource_already_exists_exception"
_COPY: Final = (
    "stop 'mastostream index', copy the documents with _reindex and 'version_type': 'external'"
)


@attrs.frozen(kw_only=True)
class SetupStep:
    """The outcome of the setup for one template, index, alias, mapping or group of settings.

    Attributes:
        what: its name for a person, such as ``index mastodon-engagement-000001``.
        state: ``created``, ``updated`` or ``unchanged`` if it is as the settings say.
            ``differs``: documents can be written, but it is not as the settings say and cannot be
            changed in place. ``wrong``: documents cannot be written.
        advice: what to do, for ``differs`` and ``wrong``; else empty.
    """

    what: str
    state: State
    advice: str = ""


def set_up(settings: ElasticsearchSettings, secrets: Mapping[str, str]) -> tuple[SetupStep, ...]:
    """Create what is missing and update what differs. A second call changes nothing.

    Args:
        settings: the server, and the wanted settings of the indices.
        secrets: the values of :data:`cluster_connection.SECRETS` that are set.

    Raises:
        RetriableError: not now; a part of the setup may have been done.
        ConfigurationError: the settings cannot be used, or the server has another version or does
            not allow the setup.
    """
    where = address(settings)
    client = connect(settings, secrets)
    try:
        check_version(client, where)
        return _steps(client, settings, where, only_missing=False)
    finally:
        client.close()


def ensure(
    client: Elasticsearch, settings: ElasticsearchSettings, where: str
) -> tuple[SetupStep, ...]:
    """Create missing templates, indices, aliases and fields; change nothing else.

    Returns the steps whose state is not ``unchanged``.

    Args:
        client: a client that is connected to the server.
        settings: the wanted settings of the indices.
        where: the server's address for messages, without secrets.

    Raises:
        ConfigurationError: documents cannot be written; the message says what to do.
        RetriableError: not now.
    """
    steps = _steps(client, settings, where, only_missing=True)
    wrong = [f"{step.what}: {step.advice}" for step in steps if step.state == "wrong"]
    if wrong:
        raise ConfigurationError(f"Elasticsearch at {where}: {'; '.join(wrong)}")
    return tuple(step for step in steps if step.state != "unchanged")


def write_index_uuid(client: Elasticsearch, alias: str, where: str) -> str:
    """Return the id that Elasticsearch has given to the index which an alias writes to.

    Raises:
        RetriableError: not now, or there is no such index yet.
    """
    with translated(where):
        aliased = _aliased_indices(client, alias)
        chosen = [index for index, facts in aliased.items() if facts.get("is_write_index")]
        names = chosen or list(aliased)
        if not names:
            raise RetriableError(f"Elasticsearch at {where} has no index {alias} yet")
        response = client.indices.get_settings(index=names[0], name="index.uuid")
        return str(response[names[0]]["settings"]["index"]["uuid"])


def _steps(
    client: Elasticsearch, settings: ElasticsearchSettings, where: str, *, only_missing: bool
) -> tuple[SetupStep, ...]:
    """Do all steps. ``only_missing`` changes nothing that exists, except that it adds fields."""
    steps: list[SetupStep] = []
    for definition in definitions(settings.index_prefix):
        with translated(where):
            steps.append(_template(client, definition, settings, only_missing))
            index, index_steps = _index(client, definition, settings)
            steps.extend(index_steps)
            if index is not None:
                steps.append(_mapping(client, definition, index, only_missing))
                if not only_missing:
                    steps.append(_settings(client, definition, index, settings))
    return tuple(steps)


def _template(
    client: Elasticsearch,
    definition: Definition,
    settings: ElasticsearchSettings,
    only_missing: bool,
) -> SetupStep:
    what = f"template {definition.name}"
    wanted = template(definition, settings)
    try:
        response = client.indices.get_index_template(name=definition.name)
        current = response["index_templates"][0]["index_template"]
    except NotFoundError:
        current = None
    if current is not None:
        same = all(current.get(name) == value for name, value in wanted.items())
        if same or only_missing:
            return SetupStep(what=what, state="unchanged")
    client.indices.put_index_template(name=definition.name, **wanted)
    return SetupStep(what=what, state="created" if current is None else "updated")


def _index(
    client: Elasticsearch, definition: Definition, settings: ElasticsearchSettings
) -> tuple[str | None, Sequence[SetupStep]]:
    """Make sure that there is an index with the alias.

    Returns the index to write to (``None`` if there is none), and the steps that were done.
    """
    aliased = _aliased_indices(client, definition.name)
    if aliased:
        return _write_index(definition, aliased)
    what = f"alias {definition.name}"
    index = first_index(definition)
    alias = {"is_write_index": True, "is_hidden": definition.hidden}
    if client.indices.exists(index=definition.name):
        advice = (
            f"an index of this name is in its place: if its documents are needed, {_COPY} into "
            f"{index}; delete it, and run this again"
        )
        return None, [SetupStep(what=what, state="wrong", advice=advice)]
    if client.indices.exists(index=index):
        actions = [{"add": {"index": index, "alias": definition.name, **alias}}]
        client.indices.update_aliases(actions=actions)
        steps = [SetupStep(what=f"index {index}", state="unchanged")]
        return index, [*steps, SetupStep(what=what, state="created")]
    wanted = template(definition, settings)["template"]
    try:
        client.indices.create(index=index, aliases={definition.name: alias}, **wanted)
    except BadRequestError as error:
        if error.message != _EXISTS:
            raise
        # Another process has created it in the meantime.
        return index, [SetupStep(what=f"index {index}", state="unchanged")]
    return index, [SetupStep(what=f"{kind}", state="created") for kind in (f"index {index}", what)]


def _aliased_indices(client: Elasticsearch, alias: str) -> dict[str, dict[str, Any]]:
    """Return the indices that have the alias, each with the properties of its alias."""
    try:
        response = client.indices.get_alias(name=alias)
    except NotFoundError:
        return {}
    return {index: facts["aliases"][alias] for index, facts in response.items()}


def _write_index(
    definition: Definition, aliased: dict[str, dict[str, Any]]
) -> tuple[str | None, Sequence[SetupStep]]:
    """Return which index of the alias is written (``None`` if none is), and the steps."""
    what = f"alias {definition.name}"
    chosen = [index for index, alias in aliased.items() if alias.get("is_write_index")]
    first = next(iter(aliased))
    if not chosen and len(aliased) == 1 and "is_write_index" not in aliased[first]:
        chosen = [first]
    if not chosen:
        advice = "none of its indices is the one to be written: give one 'is_write_index': true"
        return None, [SetupStep(what=what, state="wrong", advice=advice)]
    steps = [SetupStep(what=f"index {chosen[0]}", state="unchanged")]
    if len(aliased) == 1:
        return chosen[0], [*steps, SetupStep(what=what, state="unchanged")]
    advice = (
        f"it stands for {len(aliased)} indices, and only {chosen[0]} is written: a post of another "
        f"one is there twice once it changes; {_COPY} into one index"
    )
    return chosen[0], [*steps, SetupStep(what=what, state="differs", advice=advice)]


def _mapping(
    client: Elasticsearch, definition: Definition, index: str, only_missing: bool
) -> SetupStep:
    what = f"fields of {index}"
    wanted = mapping(definition)
    current = client.indices.get_mapping(index=index)[index]["mappings"]
    fields = current.get("properties", {})
    properties = wanted["properties"]
    wrong = [
        f"{name} is {fields[name].get('type', 'object')}, not {properties[name]['type']}"
        for name in properties.keys() & fields.keys()
        if fields[name].get("type") != properties[name]["type"]
    ]
    if wrong:
        advice = (
            f"{', '.join(sorted(wrong))}: make a new index beside it, {_COPY} and let the "
            "alias point there, or delete it and run this again"
        )
        return SetupStep(what=what, state="differs", advice=advice)
    changed = {
        name: field
        for name, field in properties.items()
        if name not in fields or (fields[name] != field and not only_missing)
    }
    strict = only_missing or str(current.get("dynamic")) == wanted["dynamic"]
    if not changed and strict:
        return SetupStep(what=what, state="unchanged")
    dynamic = None if only_missing else wanted["dynamic"]
    client.indices.put_mapping(index=index, dynamic=dynamic, properties=changed)
    return SetupStep(what=what, state="updated")


def _settings(
    client: Elasticsearch, definition: Definition, index: str, settings: ElasticsearchSettings
) -> SetupStep:
    what = f"settings of {index}"
    current = client.indices.get_settings(index=index)[index]["settings"]["index"]
    wanted = dynamic_settings(settings)
    state: State = "unchanged"
    if any(current.get(name, "false") != value for name, value in wanted.items()):
        client.indices.put_settings(index=index, settings={"index": wanted})
        state = "updated"
    fixed = static_settings(definition, settings)
    wrong = [
        f"{name} is {current.get(name)}, not {value}"
        for name, value in fixed.items()
        if current.get(name) != value
    ]
    if not wrong:
        return SetupStep(what=what, state=state)
    advice = (
        f"{', '.join(wrong)}: that cannot be changed in place; make a new index beside it, "
        f"{_COPY} and let the alias point there"
    )
    return SetupStep(what=what, state="differs", advice=advice)
