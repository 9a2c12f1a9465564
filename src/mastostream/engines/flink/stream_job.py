"""Declares the Flink job of analyses that work post by post.

Posts cross from Java to Python once, in Arrow batches, whatever the number of analyses. One Python
operator runs the functions of the core in a loop, and returns one row for each record. Each sink
takes its columns of that row.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyflink.table.udf import udf, udtf

from mastostream.core.analyses import Analysis
from mastostream.core.topic_names import DEAD_LETTERS
from mastostream.engines.flink.batches import REST, column_names
from mastostream.engines.flink.ddl import OnError, Topics, sink, source
from mastostream.engines.flink.functions import Analyze, Unpack

if TYPE_CHECKING:
    from pyflink.table import StatementSet, StreamTableEnvironment

__all__ = ["stream_job"]


def stream_job(
    env: "StreamTableEnvironment",
    analyses: Sequence[Analysis],
    topic: str,
    topics: Topics,
    on_error: OnError = "dead-letter",
) -> "StatementSet":
    """Return the statements of a job that runs these analyses; nothing is started.

    Args:
        env: the environment in which tables and functions are declared.
        analyses: each has a function and a topic.
        topic: the topic of the input.
        topics: how topics are read and written.
        on_error: whether a post for which a function fails becomes a dead letter, or fails the job.
    """
    names = column_names(analyses)
    kinds = ", ".join(f"{name} {'STRING' if name.startswith('k') else 'BYTES'}" for name in names)
    function = Analyze(analyses, topic, raises=on_error == "fail")
    analyze: Any = udf(function, result_type=f"ROW<{kinds}>", func_type="pandas")
    rows = "ROW<t STRING, k STRING, v BYTES, h MAP<STRING, BYTES>>"
    env.create_temporary_system_function("analyze", analyze)
    env.create_temporary_system_function("unpack", udtf(Unpack(), result_types=rows))
    env.execute_sql(source("posts", topic, topics))
    env.execute_sql("CREATE TEMPORARY VIEW results AS SELECT analyze(v, p, o, k) AS r FROM posts")
    statements = env.create_statement_set()
    outputs = []
    for number, analysis in enumerate(analyses):
        assert analysis.topic is not None  # noqa: S101 - post by post analyses here have one
        outputs.append(analysis.topic)
        out = f"out-{analysis.name}"  # no number: a savepoint may continue beside other analyses
        env.execute_sql(sink(out, [analysis.topic], topics))
        statements.add_insert_sql(
            f"INSERT INTO `{out}` SELECT r.k{number}, r.v{number} FROM results "  # noqa: S608 - a checked name
            f"WHERE r.v{number} IS NOT NULL"
        )
    everything = sorted({*outputs, DEAD_LETTERS})
    env.execute_sql(sink("others", everything, topics, anything=True))
    statements.add_insert_sql(
        f"INSERT INTO others (k, v, t, h) SELECT u.k, u.v, {topics.full_names('u.t')}, u.h "  # noqa: S608 - quoted
        "FROM results, "
        f"LATERAL TABLE(unpack(r.{REST})) AS u (t, k, v, h) WHERE r.{REST} IS NOT NULL"
    )
    return statements
