"""Reading the SQL files. Flink is not needed.

A file is what Flink's own SQL client runs: settings, tables and views, and in the end either what
is written, as one statement set, or a query. Its view ``results`` is what it finds. A literal
behind a comment of one name, ``/*servers*/ 'localhost:9092'``, is a setting's default.

SQL has no way to include another file, and the Kafka source reads all columns that its table has:
so each file declares its own table of posts, with what it needs, and a test holds together what
the files have in common.
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
        settings: of the job, by Flink's names.
        declarations: tables and views, in their order.
        tables: the names of the tables.
        inserts: what is written; none where the results are only shown.
    """

    settings: Mapping[str, str]
    declarations: tuple[str, ...]
    tables: tuple[str, ...]
    inserts: tuple[str, ...]


def read_sql(name: str, values: Mapping[str, str | int]) -> SqlFile:
    """Read the file of an analysis.

    Args:
        name: of :data:`SQL_NAMES`.
        values: the settings; a literal that none of them names stays as it is.
    """
    text = (files("mastostream.engines.flink") / "sql" / f"{name}.sql").read_text("utf-8")
    settings: dict[str, str] = {}
    declarations, inserts = [], []
    for statement in _split(_COMMENT.sub(r"\1", _filled(text, values))):
        if statement.startswith("CREATE"):
            declarations.append(statement)
        elif "INSERT INTO" in statement:
            inserts.append(statement[statement.index("INSERT INTO") :])
        elif (found := _SET.fullmatch(statement)) and not found[1].startswith("sql-client."):
            settings[found[1]] = found[2]
    return SqlFile(
        settings=settings,
        declarations=tuple(declarations),
        tables=tuple(found[1] for each in declarations if (found := _TABLE.match(each))),
        inserts=tuple(inserts),
    )


def delay_literal(delay_ms: int) -> str:
    """Return how an ``INTERVAL DAY TO SECOND(3)`` writes this time: ``0 00:00:30.000``."""
    seconds, ms = divmod(delay_ms, 1_000)
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    return f"{days} {h:02}:{m:02}:{s:02}.{ms:03}"


def _filled(text: str, values: Mapping[str, str | int]) -> str:
    def fill(found: re.Match[str]) -> str:
        value = values.get(found[1])
        if value is None:
            return found[2]
        return literal(value) if isinstance(value, str) else str(value)

    return _SETTING.sub(fill, text)


def _split(text: str) -> Iterator[str]:
    for found in _STATEMENT.finditer(text):
        if statement := found[0].strip():
            yield statement
