"""Reads the SQL files of the windowed analyses. This module does not import Flink.

``prelude.sql`` has what the files share: settings, the table of posts, and the view of the rows of
windows. The file of an analysis comes after it. It changes the view ``analysed_records``, where it
needs other windows or hashtags; the view ``results`` has its results. At the end stands either a
statement set that writes, or a query. Flink's own SQL client runs both files as they are
(``sql-client.sh -i prelude.sql -f count.sql``).

A literal behind a comment with one name, ``/*servers*/ 'localhost:9092'``, is the default of a
setting.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Final

import attrs

from mastostream.engines.flink.ddl import literal

__all__ = ["PRELUDE", "SQL_NAMES", "SqlFile", "read_sql"]

SQL_NAMES: Final = ("engagement", "language", "users", "count", "dashboard", "trends")

PRELUDE: Final = "prelude"
"""The name of the file that comes before each of the others."""

_SETTING: Final = re.compile(r"/\*([a-z_]+)\*/ ('(?:[^']|'')*'|\d+)")
_COMMENT: Final = re.compile(r"('(?:[^']|'')*')|--[^\n]*")
_STATEMENT: Final = re.compile(r"(?:[^;']|'(?:[^']|'')*')+")
_SET: Final = re.compile(r"SET '([^']+)' = '([^']*)'")
_TABLE: Final = re.compile(r"CREATE TABLE (\w+)")
_FUNCTION: Final = re.compile(r"CREATE TEMPORARY FUNCTION (\w+)\s+AS '([^']+)' LANGUAGE PYTHON")


@attrs.frozen(kw_only=True)
class SqlFile:
    """The statements of an analysis, with the user's settings in them.

    Attributes:
        settings: the settings of the job, by Flink's names.
        functions: the functions in Python, by their names in SQL: ``module.name``.
        declarations: the statements that create and change tables and views, in their order.
        tables: the names of the tables.
        inserts: the statements that write; none where the results are only shown.
    """

    settings: Mapping[str, str]
    functions: Mapping[str, str]
    declarations: tuple[str, ...]
    tables: tuple[str, ...]
    inserts: tuple[str, ...]


def read_sql(name: str, values: Mapping[str, str | int]) -> SqlFile:
    """Read the prelude and the file of an analysis.

    Args:
        name: the name of the analysis, one of :data:`SQL_NAMES`.
        values: the settings by their names. A literal whose name is not here keeps its default.
    """
    folder = files("mastostream.engines.flink") / "sql"
    text = "".join((folder / f"{part}.sql").read_text("utf-8") for part in (PRELUDE, name))
    settings: dict[str, str] = {}
    functions: dict[str, str] = {}
    declarations, inserts = [], []
    for statement in _split(_COMMENT.sub(r"\1", _filled(text, values))):
        if match := _FUNCTION.fullmatch(statement):
            functions[match[1]] = match[2]
        elif statement.startswith(("CREATE", "ALTER")):
            declarations.append(statement)
        elif "INSERT INTO" in statement:
            inserts.append(statement[statement.index("INSERT INTO") :])
        elif (match := _SET.fullmatch(statement)) and not match[1].startswith("sql-client."):
            settings[match[1]] = match[2]
    return SqlFile(
        settings=settings,
        functions=functions,
        declarations=tuple(declarations),
        tables=tuple(match[1] for create in declarations if (match := _TABLE.match(create))),
        inserts=tuple(inserts),
    )


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
