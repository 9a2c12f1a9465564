"""Declares the part of a Flink job that runs analyses window by window.

Posts cross from Java to Python in Arrow batches. Parallel subtasks decode each post once, and make
a message of what each analysis keeps of it. The messages go to a step that is keyed by analysis and
post, and its changes to one that is keyed by analysis and window. These are the windows of the
core, and not Flink's, which drop late posts silently and cannot be corrected.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
from pyflink.common import Types
from pyflink.table.udf import udf

from mastostream.core.analyses import Analysis
from mastostream.core.topic_names import DEAD_LETTERS, LATE
from mastostream.engines.flink.batches import REST, column_names
from mastostream.engines.flink.ddl import Topics, literal, sink, timed_source
from mastostream.engines.flink.functions import (
    REST_NAME,
    KeepPosts,
    KeepWindows,
    MakeWindowMessages,
)
from mastostream.engines.local.windowed_analysis import WindowTiming

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
    timing: WindowTiming,
    horizon_ms: int,
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
        timing: when the records of windows are written.
        horizon_ms: how long after its creation a post may be observed and still count.
        tells_rejected: whether a record that cannot be decoded becomes a dead letter here.
    """
    # Python gets times in this zone, as times without a zone.
    env.get_config().set_local_timezone("UTC")
    function = MakeWindowMessages(
        analyses, topic, horizon_ms=horizon_ms, tells_rejected=tells_rejected
    )
    kinds = ", ".join(
        f"{name} {'STRING' if name.startswith('k') else 'BYTES'}" for name in column_names(analyses)
    )
    arrive: Any = udf(function, result_type=f"ROW<{kinds}>", func_type="pandas")
    env.create_temporary_system_function("arrive", arrive)
    own = attrs.evolve(topics, group=f"{topics.group}-windows")
    env.execute_sql(timed_source("arriving", topic, own))
    env.execute_sql(
        "CREATE TEMPORARY VIEW arrived AS SELECT arrive(v, p, o, k, m) AS r FROM arriving"
    )
    parts = [
        (analysis.name, f"r.k{number}", f"r.v{number}") for number, analysis in enumerate(analyses)
    ]
    parts.append((REST_NAME, literal(REST_NAME), f"r.{REST}"))
    messages = " UNION ALL ".join(
        f"SELECT {literal(name)} AS n, {key} AS k, {message} AS m FROM arrived "  # noqa: S608 - quoted
        f"WHERE {message} IS NOT NULL"
        for name, key, message in parts
    )
    data = Types.PRIMITIVE_ARRAY(Types.BYTE())
    changes = (
        env.to_data_stream(env.sql_query(messages))
        .key_by(_analysis_and_post, key_type=Types.STRING())
        .process(
            KeepPosts(analyses, horizon_ms),
            output_type=Types.ROW_NAMED(["w", "k", "e"], [Types.STRING(), Types.STRING(), data]),
        )
        .name("posts of windows")
        .uid("window-posts")
    )
    kinds_of_records = [Types.STRING(), Types.STRING(), data, Types.MAP(Types.STRING(), data)]
    records = (
        changes.key_by(_window, key_type=Types.STRING())
        .process(
            KeepWindows(analyses, horizon_ms, timing),
            output_type=Types.ROW_NAMED(["t", "k", "v", "h"], kinds_of_records),
        )
        .name("records of windows")
        .uid("window-records")
    )
    env.create_temporary_view("windows", env.from_data_stream(records))
    outputs = sorted({str(analysis.topic) for analysis in analyses} | {DEAD_LETTERS, LATE})
    env.execute_sql(sink("of_windows", outputs, topics, anything=True))
    statements.add_insert_sql(
        f"INSERT INTO of_windows (k, v, t, h) SELECT k, v, {topics.full_names('t')}, h FROM windows"  # noqa: S608 - quoted
    )


def _analysis_and_post(row: Any) -> str:
    return f"{row[0]}|{row[1]}"


def _window(row: Any) -> str:
    return str(row[0])
