"""Renders results in a terminal: the live view of ``mastostream run``, and tables of records."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import msgspec
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mastostream.dashboards.text import safe, safe_text
from mastostream.ports.index import Summary
from mastostream.ports.stage import StageHealth

__all__ = ["ViewState", "render", "window_table"]

_SHOWN_NAMES: Final = 5
_BARS: Final = "▁▂▃▄▅▆▇█"
_STATE_STYLES: Final = {
    "running": "green",
    "starting": "cyan",
    "retrying": "yellow",
    "failed": "bold red",
    "stopped": "dim",
}


@attrs.frozen(kw_only=True)
class ViewState:
    """What the live view shows.

    Attributes:
        title: the servers and hashtags that are collected.
        hint: where the data is and how to leave.
        now: time of the view, UTC.
        elapsed_s: seconds since the start.
        summary: the results in the index; ``None`` before they are first read.
        stages: health of each stage.
        interval_s: seconds for which each bar of the volume counts posts.
    """

    title: str
    hint: str
    now: datetime
    elapsed_s: float
    summary: Summary | None
    stages: Sequence[StageHealth]
    interval_s: int = 10


def render(state: ViewState, width: int, height: int) -> RenderableType:
    """Return the live view for a terminal of this width and height, in character cells."""
    layout = Layout()
    stage_rows = len(state.stages) + 3
    layout.split_column(
        Layout(_header(state), size=3),
        Layout(name="volume", size=max(5, min(9, height // 5))),
        Layout(name="middle", size=max(5, min(12, (height - stage_rows - 8) // 2))),
        Layout(name="posts", minimum_size=4),
        Layout(_stages(state.stages), size=stage_rows),
    )
    summary = state.summary
    if summary is None or summary.posts == 0:
        layout["volume"].update(Panel(Text(_why_nothing_comes(state.stages)), title="posts"))
        layout["middle"].update(Panel(Text("")))
        layout["posts"].update(Panel(Text("")))
        return layout
    layout["volume"].update(_volume(summary, state.interval_s, width - 4))
    layout["middle"].split_row(
        Layout(_bars("languages", summary.languages, summary.posts)),
        Layout(_bars("top hashtags", summary.hashtags, None)),
    )
    layout["posts"].update(_top_posts(summary, state.now))
    return layout


def _why_nothing_comes(stages: Sequence[StageHealth]) -> str:
    reasons = [
        f"{stage.name}: {safe(stage.error or stage.trouble)}"
        + ("; trying again" if stage.state == "retrying" else "")
        for stage in stages
        if not stage.ok
    ]
    return "\n".join(reasons) or "waiting for the first posts ..."


def _header(state: ViewState) -> Panel:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(safe(state.title), style="bold")
    text.append(f"   {_duration(state.elapsed_s)}   ")
    text.append(safe(state.hint), style="dim")
    return Panel(text, title="mastostream")


def _volume(summary: Summary, interval_s: int, width: int) -> Panel:
    counts = [count for _, count in summary.volume][-width:]
    highest = max(counts, default=0) or 1
    bars = "".join(
        _BARS[min(len(_BARS) - 1, count * len(_BARS) // (highest + 1))] if count else " "
        for count in counts
    )
    first = summary.volume[-len(counts)][0] if counts else summary.since
    last = summary.volume[-1][0] if counts else summary.since
    begin, end = f"{first:%H:%M:%S}", f"{last:%H:%M:%S} UTC"
    axis = begin + " " * max(1, len(counts) - len(begin) - len(end)) + end
    facts = (
        f"{summary.posts} posts by {summary.accounts} accounts; at most {highest} in {interval_s} s"
        f"; engagement {summary.average_engagement:.1f} on average, "
        f"{summary.max_engagement} at most"
    )
    return Panel(
        Group(
            Text(facts, no_wrap=True, overflow="ellipsis"),
            Text(bars, style="cyan", no_wrap=True),
            Text(axis, style="dim", no_wrap=True),
        ),
        title=f"posts in {interval_s} s",
    )


def _bars(title: str, counts: Sequence[tuple[str, int]], total: int | None) -> Panel:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(max_width=18, no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="crop")
    highest = max((count for _, count in counts), default=1)
    for name, count in counts:
        share = f"{count} ({count * 100 // total} %)" if total else str(count)
        table.add_row(Text(safe(name)), share, Text("█" * max(1, count * 24 // highest)))
    return Panel(table, title=title)


def _top_posts(summary: Summary, now: datetime) -> Panel:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(justify="right", no_wrap=True, style="bold")
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(max_width=24, no_wrap=True, overflow="ellipsis", style="cyan")
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for post in summary.top_posts:
        table.add_row(
            str(post.engagement_score),
            _duration((now - post.created_at).total_seconds()),
            Text(safe(post.account)),
            Text(safe_text(post.content)),
        )
    return Panel(table, title="top posts by engagement")


def _stages(stages: Sequence[StageHealth]) -> Panel:
    table = Table.grid(padding=(0, 1), expand=True)
    for justify in ("left", "left", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for stage in stages:
        table.add_row(
            Text(stage.name),
            Text(stage.state, style=_STATE_STYLES[stage.state] if not stage.trouble else "yellow"),
            f"{stage.processed}",
            f"{stage.rate_per_s:.1f}/s",
            Text(safe(stage.error or stage.trouble or stage.detail)),
        )
    return Panel(table, title="stages")


def _duration(seconds: float) -> str:
    seconds = max(0, int(seconds))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 172_800 else f"{seconds // 86_400} d"


def window_table(title: str, records: Sequence[object]) -> Table:
    """Return a table of records of one kind, in their order: one column for each member."""
    table = Table(title=safe(title))
    rows = [_members(record) for record in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        table.add_column(safe(name).replace("_", " "))
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in names))
    return table


def _members(record: object) -> dict[str, Any]:
    members: Any
    if attrs.has(type(record)):
        members = attrs.asdict(record)  # type: ignore[arg-type]  # attrs.has has checked it
    else:
        members = msgspec.to_builtins(record, builtin_types=(datetime,))
    if not isinstance(members, dict):
        return {"result": members}
    left_out = ("key", "observed_at", "window_end")
    return _paired({name: value for name, value in members.items() if name not in left_out})


def _paired(members: dict[str, Any]) -> dict[str, Any]:
    """Put names and their counts, which are two lists on the wire, into one column."""
    columns = dict(members)
    for names, counts in (
        ("languages", "language_counts"),
        ("hashtags", "hashtag_counts"),
        ("accounts", "account_counts"),
    ):
        if isinstance(columns.get(names), (list, tuple)) and counts in columns:
            pairs = list(zip(columns[names], columns.pop(counts), strict=False))[:_SHOWN_NAMES]
            columns[names] = ", ".join(f"{name} {count}" for name, count in pairs)
    return columns


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.2f}"
    return "" if value is None else safe(str(value))
