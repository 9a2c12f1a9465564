"""Runs windowed analyses as SQL: the statements of the prelude and of the file of each analysis."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mastostream.engines.flink.ddl import Topics, delivery_options, literal
from mastostream.engines.flink.statements import SqlFile

if TYPE_CHECKING:
    from pyflink.table import StatementSet, StreamTableEnvironment, Table

__all__ = ["add_sql", "results_of"]


def add_sql(
    env: "StreamTableEnvironment",
    statements: "StatementSet",
    name: str,
    file: SqlFile,
    topics: Topics,
) -> None:
    """Add the statements of a file that write its results.

    Args:
        env: the environment in which the file's tables are declared. They get a database of their
            own, as all files use the same names.
        statements: the statements of the job.
        name: the name of the analysis.
        file: its SQL file.
        topics: how topics are read and written.
    """
    _declare(env, name, file, topics)
    for insert in file.inserts:
        statements.add_insert_sql(insert)


def results_of(env: "StreamTableEnvironment", name: str, file: SqlFile, topics: Topics) -> "Table":
    """Return the query of a file's results, to be shown. Nothing is written.

    Its rows are a changelog: each row of a window replaces the one before it.

    Args:
        env: the environment in which the file's tables are declared.
        name: the name of the analysis.
        file: its SQL file.
        topics: how topics are read.
    """
    _declare(env, name, file, topics)
    return env.sql_query("SELECT * FROM results WHERE posts IS NOT NULL")


def _declare(env: "StreamTableEnvironment", name: str, file: SqlFile, topics: Topics) -> None:
    for setting, value in file.settings.items():
        env.get_config().set(setting, value)
    env.execute_sql(f"CREATE DATABASE sql_{name}")
    env.use_database(f"sql_{name}")
    for function, path in file.functions.items():
        # The statement of SQL would start one more Python, as Java does not know this one.
        module, _, attribute = path.rpartition(".")
        env.create_temporary_function(function, getattr(importlib.import_module(module), attribute))
    for statement in file.declarations:
        env.execute_sql(statement)
    for table in file.tables:
        options = _options(name, table, topics)
        changes = ", ".join(
            f"{literal(option)} = {literal(value)}" for option, value in options.items()
        )
        if changes:
            env.execute_sql(f"ALTER TABLE {table} SET ({changes})")


def _options(name: str, table: str, topics: Topics) -> Mapping[str, str]:
    """Return the options that the user's settings add to a table of a file."""
    options = {f"properties.{setting}": value for setting, value in topics.settings.items()}
    if table == "posts":
        return options | ({"scan.bounded.mode": "latest-offset"} if topics.bounded else {})
    options["properties.compression.type"] = topics.compression
    return options | delivery_options(f"{name}-{table}", topics)
