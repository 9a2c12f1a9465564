"""Declares the part of a Flink job that runs analyses window by window.

Posts cross from Java to Python in Arrow batches. Parallel subtasks decode each post once. What an
analysis keeps of a batch goes, as one message, to the one subtask that has the windows of this
analysis. These are the windows of the core, with a clock for each partition, and not Flink's:
Flink's windows drop late posts silently, and its watermark does not detect posts from the future.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
from pyflink.common import Types
from pyflink.table.udf import udf

from mastostream.core.analyses import Analysis
from mastostream.core.topic_names import DEAD_LETTERS, LATE
from mastostream.engines.flink.ddl import Topics, literal, sink, timed_source
from mastostream.engines.flink.functions import MakeWindowMessages, RunWindows, message_names

if TYPE_CHECKING:
    from pyflink.table import StatementSet, StreamTableEnvironment

__all__ = ["add_windows"]


def add_windows(  # noqa: PLR0913 - settings are keyword arguments
    env: "StreamTableEnvironment",
    statements: "StatementSet",
    analyses: Sequence[Analysis],
    topic: str,
    topics: Topics,
    *,
    delay_ms: int,
    idle_timeout_ms: int,
    tells_rejected: bool,
) -> None:
    """Add the statements that run these analyses.

    Without a checkpoint or a savepoint they read the topic from its oldest record: a group's
    committed offsets do not say what is in its windows.

    Args:
        env: the environment in which tables and functions are declared.
        statements: the statements of the job.
        analyses: each has an aggregate and a topic.
        topic: the topic of the input.
        topics: how topics are read and written. The input is read with a group of its own.
        delay_ms: how long windows wait for posts out of order.
        idle_timeout_ms: how long a quiet partition, or a quiet stream, may hold windows open.
        tells_rejected: whether a record that cannot be decoded becomes a dead letter here.
    """
    # Python gets times in this zone, as times without a zone.
    env.get_config().set_local_timezone("UTC")
    names = message_names(analyses)
    kinds = ", ".join(f"{name} BYTES" for name in names)
    function = MakeWindowMessages(analyses, topic, tells_rejected=tells_rejected)
    arrive: Any = udf(function, result_type=f"ROW<{kinds}>", func_type="pandas")
    env.create_temporary_system_function("arrive", arrive)
    own = attrs.evolve(topics, group=f"{topics.group}-windows")
    env.execute_sql(timed_source("arriving", topic, own, idle_timeout_ms))
    env.execute_sql(
        "CREATE TEMPORARY VIEW arrived AS SELECT arrive(v, p, o, k, m) AS r FROM arriving"
    )
    messages = " UNION ALL ".join(
        f"SELECT {literal(analysis.name)} AS n, r.{name} AS m FROM arrived "  # noqa: S608 - quoted
        f"WHERE r.{name} IS NOT NULL"
        for name, analysis in zip(names, analyses, strict=True)
    )
    stream = (
        env.to_data_stream(env.sql_query(messages))
        .key_by(_name, key_type=Types.STRING())
        .process(
            RunWindows(analyses, delay_ms=delay_ms, idle_timeout_ms=idle_timeout_ms),
            output_type=_record_type(),
        )
        .name("windows")
        .uid("windows")
    )
    env.create_temporary_view("windows", env.from_data_stream(stream))
    outputs = sorted({str(analysis.topic) for analysis in analyses} | {DEAD_LETTERS, LATE})
    env.execute_sql(sink("of_windows", outputs, topics, anything=True))
    statements.add_insert_sql(
        f"INSERT INTO of_windows (k, v, t, h) SELECT k, v, {topics.full_names('t')}, h FROM windows"  # noqa: S608 - quoted
    )


def _record_type() -> Any:
    """Return the type of rows of topic, key, value and headers."""
    data = Types.PRIMITIVE_ARRAY(Types.BYTE())
    kinds = [Types.STRING(), Types.STRING(), data, Types.MAP(Types.STRING(), data)]
    return Types.ROW_NAMED(["t", "k", "v", "h"], kinds)


def _name(row: Any) -> Any:
    return row[0]
