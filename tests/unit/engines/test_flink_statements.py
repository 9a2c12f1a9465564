"""The SQL files: without changes they are what the default settings run."""

import re
from datetime import timedelta
from importlib.resources import files

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.config import Settings
from mastostream.core.analyses import SQL_ANALYSES, built_in
from mastostream.core.window_records import DashboardMetrics, LateRecord, WindowCount
from mastostream.engines.flink import SQL_NAMES, Topics, delay_literal, read_sql
from mastostream.wiring.flink_stage import sql_literals

NAMED = re.compile(r"/\*([a-z_]+)\*/")


def text_of(name: str) -> str:
    return (files("mastostream.engines.flink") / "sql" / f"{name}.sql").read_text("utf-8")


def topics(name: str) -> Topics:
    return Topics(servers="localhost:9092", group=f"mastostream-flink-sql-{name}")


def test_there_is_a_file_for_each_analysis() -> None:
    assert set(SQL_NAMES) == set(SQL_ANALYSES)


@pytest.mark.parametrize("name", SQL_NAMES)
def test_a_file_stands_for_the_default_settings(name: str) -> None:
    assert read_sql(name, {}) == read_sql(name, sql_literals(Settings(), topics(name)))


@pytest.mark.parametrize("name", SQL_NAMES)
def test_every_named_literal_is_a_setting(name: str) -> None:
    known = sql_literals(Settings(), topics(name))
    assert set(NAMED.findall(text_of(name))) <= set(known)
    changed = read_sql(name, dict.fromkeys(known, "changed"))
    statements = "\n".join(changed.declarations)
    assert statements.count("'changed'") >= len(set(NAMED.findall(text_of(name)))) > 4
    assert not NAMED.search(statements)


@pytest.mark.parametrize("name", SQL_NAMES)
def test_every_topic_of_a_file_gets_the_prefix(name: str) -> None:
    prefixed = attrs.evolve(topics(name), prefix="a.", group="a.g")
    with_prefix, plain = (
        [
            re.findall(r"'topic' = '([^']*)'", statement)
            for statement in read_sql(name, values).declarations
        ]
        for values in (sql_literals(Settings(), prefixed), {})
    )
    assert with_prefix == [[f"a.{topic}" for topic in topics] for topics in plain]
    assert any(plain)


@pytest.mark.parametrize("name", SQL_NAMES)
def test_only_what_has_a_topic_is_written(name: str) -> None:
    (analysis,) = built_in("sql", name)
    assert bool(read_sql(name, {}).inserts) == (analysis.topic is not None)


@pytest.mark.parametrize(
    ("name", "table", "model"),
    [
        ("count", "counts", WindowCount),
        ("dashboard", "dashboard", DashboardMetrics),
        ("count", "late", LateRecord),
        ("dashboard", "late", LateRecord),
    ],
)
def test_a_table_has_the_members_of_its_records(name: str, table: str, model: type) -> None:
    columns = [
        re.findall(r"^  `?(\w+)`? [A-Z]", statement.partition("WITH")[0], re.MULTILINE)
        for statement in read_sql(name, {}).declarations
        if statement.startswith(f"CREATE TABLE {table} ")
    ]
    assert columns == [[field.name for field in attrs.fields(model)]]


@given(st.text(min_size=1))
def test_no_setting_leaves_its_quotes(hostile: str) -> None:
    file = read_sql("count", {"servers": hostile})
    quoted = "'" + hostile.replace("'", "''") + "'"
    assert len(file.tables) == 3
    assert sum(quoted in statement for statement in file.declarations) == 3


@given(st.integers(0, 99 * 86_400_000))
def test_a_delay_is_written_as_an_interval(delay_ms: int) -> None:
    match = re.fullmatch(r"(\d+) (\d\d):(\d\d):(\d\d)\.(\d{3})", delay_literal(delay_ms))
    assert match is not None
    days, hours, minutes, seconds, ms = map(int, match.groups())
    interval = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=ms)
    assert interval == timedelta(milliseconds=delay_ms)


COMMON = ("CREATE TABLE late ", "CREATE VIEW windowed ", "CREATE VIEW first_sights ")


@pytest.mark.parametrize("beginning", COMMON)
def test_files_say_the_same_of_what_they_have_in_common(beginning: str) -> None:
    statements = [
        statement.replace("'10' SECOND", "'1' MINUTE")
        for name in SQL_NAMES
        for statement in read_sql(name, {}).declarations
        if statement.startswith(beginning)
    ]
    assert len(statements) > 1
    assert set(statements) == {statements[0]}


def test_all_files_read_posts_alike() -> None:
    """Only their columns and the names of their groups differ."""
    shared = set()
    for name in SQL_NAMES:
        posts = read_sql(name, {"group": "g"}).declarations[0]
        shared.add(posts[posts.index("arrived_at") :])
    (common,) = shared
    assert "'value.json.ignore-parse-errors' = 'true'" in common


def test_all_files_take_the_same_for_posts() -> None:
    shared = set()
    for name in SQL_NAMES:
        (view,) = (
            statement
            for statement in read_sql(name, {}).declarations
            if statement.startswith("CREATE VIEW arr")
        )
        shared.add(view[view.index("written_at,\n") :])
    assert len(shared) == 1
