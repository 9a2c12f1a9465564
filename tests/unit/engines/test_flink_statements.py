"""The SQL files: without changes they are what the default settings run."""

import math
import re
from importlib.resources import files
from importlib.util import find_spec

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.config import Settings, WindowSettings
from mastostream.core.analyses import SQL_ANALYSES, built_in
from mastostream.core.trends import SIZE_S, SLIDE_S, TrendingHashtags
from mastostream.core.window_records import DashboardMetrics, LateRecord, WindowCount
from mastostream.engines.flink import SQL_NAMES, Topics, read_sql
from mastostream.engines.flink.statements import PRELUDE
from mastostream.wiring.flink_stage import sql_literals

NAMED = re.compile(r"/\*([a-z_]+)\*/")


def text_of(name: str) -> str:
    return (files("mastostream.engines.flink") / "sql" / f"{name}.sql").read_text("utf-8")


def statements_of(name: str) -> str:
    return "\n".join(read_sql(name, {}).declarations)


TOPICS = Topics(servers="localhost:9092", group="mastostream-flink-sql")


def test_there_is_a_file_for_each_analysis() -> None:
    assert set(SQL_NAMES) == set(SQL_ANALYSES)


@pytest.mark.parametrize("name", SQL_NAMES)
def test_a_file_stands_for_the_default_settings(name: str) -> None:
    assert read_sql(name, {}) == read_sql(name, sql_literals(Settings(), TOPICS))


@pytest.mark.parametrize("name", SQL_NAMES)
def test_every_named_literal_is_a_setting(name: str) -> None:
    known = sql_literals(Settings(), TOPICS)
    named = set(NAMED.findall(text_of(PRELUDE) + text_of(name)))
    assert named <= set(known)
    changed = read_sql(name, dict.fromkeys(known, "changed"))
    statements = "\n".join(
        [*changed.declarations, *map("{0[0]} = '{0[1]}'".format, changed.settings.items())]
    )
    assert statements.count("'changed'") >= len(named) > 4
    assert not NAMED.search(statements)


@pytest.mark.parametrize("name", SQL_NAMES)
def test_every_topic_of_a_file_gets_the_prefix(name: str) -> None:
    prefixed = attrs.evolve(TOPICS, prefix="a.", group="a.g")
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
        ("trends", "trends", TrendingHashtags),
    ],
)
def test_a_table_has_the_members_of_its_records(name: str, table: str, model: type) -> None:
    columns = [
        re.findall(r"^  `?([a-z_]+)`? [A-Z]", statement.partition("WITH")[0], re.MULTILINE)
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


def test_a_record_is_written_when_the_settings_say() -> None:
    every = {
        (seconds, once): read_sql("count", sql_literals(settings_with(seconds), topics)).settings
        for once in (False, True)
        for seconds in (0.0, 2.5, math.inf)
        for topics in [attrs.evolve(TOPICS, bounded=once)]
    }
    batches = {
        case: (
            settings["table.exec.mini-batch.enabled"],
            settings["table.exec.mini-batch.allow-latency"],
        )
        for case, settings in every.items()
    }
    assert batches[0.0, False] == batches[0.0, True] == ("false", "1 ms")
    assert batches[2.5, False] == ("true", "2500 ms")
    assert batches[2.5, True] == batches[math.inf, True] == ("true", "86400000 ms")


def settings_with(correct_every_s: float) -> Settings:
    return Settings(windows=WindowSettings(correct_every_s=correct_every_s))


def test_what_is_known_is_kept_for_longer_than_a_post_may_be_observed() -> None:
    settings = Settings(windows=WindowSettings(horizon_s=3_600.0))
    file = read_sql("count", sql_literals(settings, TOPICS))
    assert file.settings["table.exec.state.ttl"] == f"{(3_600 + 86_400) * 1000} ms"
    assert "> 3600000" in "\n".join(file.declarations)


@pytest.mark.parametrize("name", SQL_NAMES)
def test_windows_are_those_of_the_local_engine(name: str) -> None:
    (analysis,) = built_in("sql", name)
    assert analysis.aggregate is not None
    slide_ms = analysis.aggregate.slide_s * 1000
    statements = statements_of(name)
    assert re.findall(r"(\d+) AS slide_ms", statements)[-1] == str(slide_ms)
    (number, unit) = re.findall(r"INTERVAL '(\d+)' (\w+) AS window_end", statements)[0]
    assert int(number) * {"SECOND": 1, "MINUTE": 60}[unit] == analysis.aggregate.size_s


def test_trends_are_in_all_windows_that_contain_them() -> None:
    lists = re.findall(r"ARRAY\[([\d,\s]+)\] AS backs", statements_of("trends"))
    expected = list(range(0, SIZE_S * 1000, SLIDE_S * 1000))
    assert [[int(number) for number in each.split(",")] for each in lists] == [expected] * 2


@pytest.mark.parametrize("name", SQL_NAMES)
def test_only_hashtags_take_python(name: str) -> None:
    functions = read_sql(name, {}).functions
    assert set(functions) == ({"hashtag_uses"} if name in {"dashboard", "trends"} else set())
    assert all(find_spec(path.rpartition(".")[0]) for path in functions.values())


def test_the_files_share_the_prelude_without_copies() -> None:
    shared = {statement.partition(" AS")[0] for statement in creations(text_of(PRELUDE))}
    assert len(shared) > 8
    for name in SQL_NAMES:
        assert not shared & {each.partition(" AS")[0] for each in creations(text_of(name))}


def creations(text: str) -> list[str]:
    return re.findall(r"^CREATE (?:TABLE|VIEW) \w+", text, re.MULTILINE)
