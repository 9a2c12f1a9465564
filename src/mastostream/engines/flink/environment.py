"""Flink's environment: where jobs are declared, and what their parts are called."""

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mastostream.engines.flink.cluster import LOCAL
from mastostream.engines.flink.job import by_flink_run
from mastostream.java_options import WARNS_ON_STDERR, add_java_options

if TYPE_CHECKING:
    from pyflink.common import Configuration
    from pyflink.datastream import StreamExecutionEnvironment

__all__ = ["name_states", "open_environment", "table_of"]

_WORKERS: Final = "_python_worker_execution_mode"
_TABLE: Final = re.compile(r"\bdefault_catalog(?:, |\.)([\w-]+)(?:, |\.)([\w-]+)")


def open_environment(target: str, settings: Mapping[str, str]) -> "StreamExecutionEnvironment":
    """Start Java, and return an environment in which a job can be declared.

    Args:
        target: of the job: ``local``, or a cluster.
        settings: of the job, by Flink's names.
    """
    from pyflink.common import Configuration  # noqa: PLC0415 - an extra, and seconds to import

    # Else this process, too, listens for functions to run, on all addresses of the machine.
    os.environ.setdefault(_WORKERS, "process")
    add_java_options("JVM_ARGS", *WARNS_ON_STDERR)
    chosen = Configuration()
    jars = settings["pipeline.jars"].split(";")
    if target != LOCAL:
        jars.append(_python_jar().as_uri())
    for name, value in settings.items():
        if name != "pipeline.jars":
            chosen.set_string(name, value)
    environment = _environment(target, chosen)
    environment.add_jars(*jars)  # beside those that `flink run` has brought
    return environment


def _environment(target: str, chosen: "Configuration") -> "StreamExecutionEnvironment":
    from pyflink.datastream import StreamExecutionEnvironment  # noqa: PLC0415 - an extra

    if target == LOCAL or by_flink_run():
        return StreamExecutionEnvironment.get_execution_environment(chosen)
    # The usual way gives one that starts a cluster of its own, whatever the target.
    from pyflink.java_gateway import get_gateway  # noqa: PLC0415 - as above

    java = get_gateway().jvm.org.apache.flink.streaming.api.environment
    return StreamExecutionEnvironment(
        java.StreamExecutionEnvironment(chosen._j_configuration)  # noqa: SLF001 - as above
    )


def name_states(environment: "StreamExecutionEnvironment") -> None:
    """Name what keeps state after its table, so that a savepoint finds it in another plan.

    Flink's own names are hashes of the plan, or with ``table.exec.uid.generation`` their numbers
    in it: both change with any step that is added. Of other operators only the windows of SQL have
    state; they keep Flink's names, and so need the plan that they had.
    """
    from pyflink.util.java_utils import get_field_value  # noqa: PLC0415 - an extra

    ends = get_field_value(environment._j_stream_execution_environment, "transformations")  # noqa: SLF001 - there is no other way to them
    found = {}
    waiting = list(ends)
    while waiting:
        each = waiting.pop()
        if each.getId() not in found:
            found[each.getId()] = each
            waiting.extend(each.getInputs())
    for each in found.values():
        if each.getClass().getSimpleName() in {"SourceTransformation", "SinkTransformation"}:
            each.setUid(table_of(each.getDescription()) or each.getName().rpartition("[")[0])


def table_of(description: str) -> str:
    """Return which table Flink describes as read or written; empty for none.

    With its database, where that is not the default one.
    """
    found = _TABLE.search(description)
    if found is None:
        return ""
    database, table = found.groups()
    return table if database == "default_database" else f"{database}.{table}"


def _python_jar() -> Path:
    """What a cluster runs Python with: it comes with the wheel, and is in no cluster's ``lib``."""
    (pyflink,) = find_spec("pyflink").submodule_search_locations  # type: ignore[union-attr,misc]
    return next(Path(pyflink, "opt").glob("flink-python-*.jar"))
