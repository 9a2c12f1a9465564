"""Reads the SQL files of the windowed analyses. This module does not import Flink.

Flink's own SQL client can run a file: it has settings, tables and views, and at the end either a
statement set that writes, or a query. The view ``results`` has the results. A literal behind a
comment with one name, ``/*servers*/ 'localhost:9092'``, is the default of a setting.

SQL cannot include another file, and the Kafka source reads all columns that its table has. So each
file declares its own table of posts, with the columns that it needs. A test checks that what the
files have in common stays equal.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Final

import attrs

from mastostream.engines.flink.ddl import literal

__all__ = ["SQL_NAMES", "SqlFile", "delay_literal", "read_sql"]

SQL_NAMES: Final = ("engagement", "language", "users", "count", "dashboard")

_SETTING: Final = re.compile(r"/\*([a-z_]+)\*/ ('(?:[^']|'')*'|\d+)")
_COMMENT: Final = re.compile(r"('(?:[^']|'')*')|--[^\n]*")
_STATEMENT: Final = re.compile(r"(?:[^;']|'(?:[^']|'')*')+")
_SET: Final = re.compile(r"SET '([^']+)' = '([^']*)'")
_TABLE: Final = re.compile(r"CREATE TABLE (\w+)")


@attrs.frozen(kw_only=True)
class SqlFile:
    """The statements of one file, with the user's settings in them.

    Attributes:
        settings: the file's settings of the job, by Flink's names.
        declarations: the statements that create tables and views, in their order.
        tables: the names of the tables.
        inserts: the statements that write; none where the results are only shown.
    """

    settings: Mapping[str, str]
    declarations: tuple[str, ...]
    tables: tuple[str, ...]
    inserts: tuple[str, ...]


def read_sql(name: str, values: Mapping[str, str | int]) -> SqlFile:
    """Read the file of an analysis.

    Args:
        name: the name of the analysis, one of :data:`SQL_NAMES`.
        values: the settings by their names. A literal whose name is not here keeps its default.
    """
    text = (files("mastostream.engines.flink") / "sql" / f"{name}.sql").read_text("utf-8")
    settings: dict[str, str] = {}
    declarations, inserts = [], []
    for statement in _split(_COMMENT.sub(r"\1", _filled(text, values))):
        if statement.startswith("CREATE"):
            declarations.append(statement)
        elif "INSERT INTO" in statement:
            inserts.append(statement[statement.index("INSERT INTO") :])
        elif (match := _SET.fullmatch(statement)) and not match[1].startswith("sql-client."):
            settings[match[1]] = match[2]
    return SqlFile(
        settings=settings,
        declarations=tuple(declarations),
        tables=tuple(match[1] for create in declarations if (match := _TABLE.match(create))),
        inserts=tuple(inserts),
    )


def delay_literal(delay_ms: int) -> str:
    """Return a duration as an ``INTERVAL DAY TO SECOND(3)`` has it: ``0 00:00:30.000``."""
    seconds, ms = divmod(delay_ms, 1_000)
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    return f"{days} {h:02}:{m:02}:{s:02}.{ms:03}"


def _filled(text: str, values: Mapping[str, str | int]) -> str:
    def fill(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if value is None:
            return match[2]
        return literal(value) if isinstance(value, str) else str(value)

    return _SETTING.sub(fill, text)


def _split(text: str) -> Iterator[str]:
    for match in _STATEMENT.finditer(text):
        if statement := match[0].strip():
            yield statement
