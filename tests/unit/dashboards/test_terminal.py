"""The terminal view and the text that it shows."""

import io
import unicodedata
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from mastostream import WindowCount
from mastostream.dashboards.terminal import ViewState, render, window_table
from mastostream.dashboards.text import safe, safe_text
from mastostream.ports.index import Summary, TopPost
from mastostream.ports.stage import StageHealth

NOW = datetime(2024, 1, 1, tzinfo=UTC)
HOSTILE = st.text(max_size=60) | st.sampled_from(
    [
        "\x1b[31mred",
        "<script>x</script>",
        "[bold]b[/bold]",
        "a\u202eb",
        "W" * 400,
        "日本語" * 40,
        "\x00",
    ]
)


@given(HOSTILE)
def test_safe_text_steers_nothing_and_stays_when_repeated(text: str) -> None:
    clean = safe(text)
    assert not any(unicodedata.category(each) in {"Cc", "Cf", "Cs"} for each in clean)
    assert safe(clean) == clean
    assert len(clean) <= 500


def test_html_is_reduced_to_its_text() -> None:
    html = "<p>Hello &amp; <b>you</b></p><script>alert(1)</script><p>#<span>tag</span></p>"
    assert safe_text(html) == "Hello & you #tag"


def state(texts: list[str]) -> ViewState:
    first, second = texts
    post = TopPost(
        key="1",
        account=first,
        url=None,
        content=second,
        language=None,
        created_at=NOW - timedelta(seconds=90),
        engagement_score=12,
    )
    summary = Summary(
        since=NOW,
        volume=tuple((NOW + timedelta(seconds=10 * n), n % 7) for n in range(90)),
        posts=100,
        accounts=50,
        average_engagement=1.5,
        max_engagement=12,
        languages=((first, 60), ("en", 40)),
        hashtags=((second, 5),),
        top_posts=(post,) * 12,
    )
    stage = StageHealth(name="collect", state="retrying", processed=5, rate_per_s=1, error=second)
    return ViewState(
        title=first, hint=second, now=NOW, elapsed_s=5, summary=summary, stages=(stage,) * 4
    )


@settings(max_examples=30)
@given(st.lists(HOSTILE, min_size=2, max_size=2), st.sampled_from([(80, 24), (120, 40), (200, 50)]))
def test_the_view_fits_and_lets_nothing_through(texts: list[str], size: tuple[int, int]) -> None:
    width, height = size
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    console.print(render(state(texts), width, height))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)
    assert "\x1b" not in console.file.getvalue()


def test_before_the_first_post_it_says_what_it_waits_for() -> None:
    console = Console(width=80, height=24, file=io.StringIO())
    empty = ViewState(title="t", hint="h", now=NOW, elapsed_s=0, summary=None, stages=())
    console.print(render(empty, 80, 24))
    assert isinstance(console.file, io.StringIO)
    assert "waiting for the first posts" in console.file.getvalue()


@pytest.mark.parametrize(
    "record",
    [
        {"a": 1, "b": "[bold]"},
        WindowCount(key="k", observed_at=NOW, window_start=NOW, window_end=NOW, posts=3),
    ],
)
def test_records_of_any_kind_become_a_table(record: object) -> None:
    console = Console(width=80, file=io.StringIO())
    console.print(window_table("mine", [record]))
    assert isinstance(console.file, io.StringIO)
    assert "3" in console.file.getvalue() or "[bold]" in console.file.getvalue()


def test_it_says_why_nothing_comes() -> None:
    running = StageHealth(name="index", state="running", processed=0, rate_per_s=0)
    stages = (
        attrs.evolve(running, name="collect", trouble="a.example cannot be reached; trying again"),
        attrs.evolve(running, name="analyze", state="retrying", error="Kafka is away"),
        running,
    )
    assert [stage.ok for stage in stages] == [False, False, True]
    console = Console(width=100, height=24, file=io.StringIO())
    empty = ViewState(title="t", hint="h", now=NOW, elapsed_s=0, summary=None, stages=stages)
    console.print(render(empty, 100, 24))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "collect: a.example cannot be reached; trying again" in shown
    assert "analyze: Kafka is away; trying again" in shown
    assert "waiting" not in shown
