"""Opens Flink's environment, in which jobs are declared, and names operators that keep state."""

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

__all__ = ["name_states", "open_environment", "silence_java_output", "table_of"]

_WORKERS: Final = "_python_worker_execution_mode"
"""The environment variable by which PyFlink chooses where Python functions run."""

_TABLE: Final = re.compile(r"\bdefault_catalog(?:, |\.)([\w-]+)(?:, |\.)([\w-]+)")


def open_environment(target: str, settings: Mapping[str, str]) -> "StreamExecutionEnvironment":
    """Start Java, and return an environment in which a job can be declared.

    Args:
        target: where the job runs: ``local``, or ``host:port`` of a cluster's JobManager.
        settings: the configuration of the job, by Flink's names.
    """
    from pyflink.common import Configuration  # noqa: PLC0415 - an extra, and seconds to import

    # Without this, the process also listens for functions to run, on all addresses of the machine.
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
    environment.add_jars(*jars)  # beside the jars of `flink run`
    return environment


def _environment(target: str, chosen: "Configuration") -> "StreamExecutionEnvironment":
    from pyflink.datastream import StreamExecutionEnvironment  # noqa: PLC0415 - an extra

    if target == LOCAL or by_flink_run():
        return StreamExecutionEnvironment.get_execution_environment(chosen)
    # `get_execution_environment` would start a cluster of its own, whatever the target.
    from pyflink.java_gateway import get_gateway  # noqa: PLC0415 - an extra

    java = get_gateway().jvm.org.apache.flink.streaming.api.environment
    return StreamExecutionEnvironment(
        java.StreamExecutionEnvironment(chosen._j_configuration)  # noqa: SLF001 - no public way
    )


def silence_java_output() -> None:
    """Keep what Java prints off standard output, where records are shown.

    Flink's messages go to a file. But when a job within the process has ended, its class loader is
    closed, and a thread of Kafka's client that still runs may get a logger without configuration.
    Log4j prints the errors of such a logger on standard output. They are discarded: nobody reads
    Java's standard error under PyFlink, so that Java would wait once its pipe was full. Under
    ``flink run`` nothing changes: there Java prints what ``flink`` tells its user.
    """
    from pyflink.java_gateway import get_gateway  # noqa: PLC0415 - an extra

    if not by_flink_run():
        java = get_gateway().jvm.java
        java.lang.System.setOut(java.io.PrintStream(java.io.OutputStream.nullOutputStream()))


def name_states(environment: "StreamExecutionEnvironment") -> None:
    """Name sources and sinks after their tables, so that a savepoint finds them in another plan.

    Flink's own names are hashes of the plan, or with ``table.exec.uid.generation`` numbers of the
    operators in it: both change with any step that is added. Of the other operators only the
    windows of SQL keep state. They keep Flink's names, so their savepoints need the same plan.
    """
    from pyflink.util.java_utils import get_field_value  # noqa: PLC0415 - an extra

    ends = get_field_value(environment._j_stream_execution_environment, "transformations")  # noqa: SLF001 - no public way
    steps = {}
    waiting = list(ends)
    while waiting:
        step = waiting.pop()
        if step.getId() not in steps:
            steps[step.getId()] = step
            waiting.extend(step.getInputs())
    for step in steps.values():
        if step.getClass().getSimpleName() in {"SourceTransformation", "SinkTransformation"}:
            step.setUid(table_of(step.getDescription()) or step.getName().rpartition("[")[0])


def table_of(description: str) -> str:
    """Return the table that Flink's description of a source or sink names; empty for none.

    The name has its database before it, where that is not the default one.
    """
    match = _TABLE.search(description)
    if match is None:
        return ""
    database, table = match.groups()
    return table if database == "default_database" else f"{database}.{table}"


def _python_jar() -> Path:
    """The jar with which a cluster runs Python. The wheel has it, a cluster's ``lib`` does not."""
    (pyflink,) = find_spec("pyflink").submodule_search_locations  # type: ignore[union-attr,misc]
    return next(Path(pyflink, "opt").glob("flink-python-*.jar"))
