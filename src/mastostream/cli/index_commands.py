"""``index``: create the index, and fill it with results."""

import attrs
import click

from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import (
    MakeSettings,
    metrics_option,
    once_option,
    run_stage,
    seconds_option,
)
from mastostream.config import Settings
from mastostream.dashboards.text import safe
from mastostream.exceptions import ConfigurationError
from mastostream.wiring import index_place, indexer, set_up_index, stage_lock, system_clock

__all__ = ["index"]


@click.command()
@common
@click.option("--setup", is_flag=True, help="Make the index or bring it up to date, then stop.")
@click.option(
    "--index",
    "kind",
    type=click.Choice(["sqlite", "elasticsearch"]),
    help="Where the documents go.  [default: the setting index]",
)
@once_option
@seconds_option
@metrics_option
def index(
    settings: MakeSettings,
    output: Output,
    setup: bool,
    kind: str | None,
    once: bool,
    seconds: float | None,
    metrics_port: int | None,
) -> None:
    """Index the results: the newest version of each document.

    What an index needs is made at the start where it is missing; --setup also updates it.
    """
    chosen = settings(index=kind)
    place = index_place(chosen)
    if setup:
        _set_up(chosen, output)
    else:
        with stage_lock(chosen, ["index"]):
            stage = indexer(chosen, system_clock())
            run_stage(stage, chosen, output, once, seconds, metrics_port)
    output.emit("index", index=chosen.index, place=place)
    if not output.json:
        tell(output, f"The index is in {place}")


def _set_up(settings: Settings, output: Output) -> None:
    steps = set_up_index(settings)
    for step in steps:
        output.emit("setup", **attrs.asdict(step))
        if not output.json:
            advice = f" ({step.advice})" if step.advice else ""
            tell(output, safe(f"{step.what}: {step.state}{advice}"))
    wrong = [step.what for step in steps if step.state == "wrong"]
    if wrong:
        raise ConfigurationError(f"documents cannot be written: see above ({', '.join(wrong)})")
