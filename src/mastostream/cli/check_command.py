"""``simulate --check``: run a chaos experiment on the collector, and report the result."""

import tempfile
from pathlib import Path

import attrs
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mastostream.cli.options import Output, tell
from mastostream.exceptions import ConfigurationError, FatalError
from mastostream.testing.chaos import ChaosExperiment, run_experiment

__all__ = ["check_collector"]


def check_collector(experiment: ChaosExperiment, data: str | None, output: Output) -> None:
    """Run a chaos experiment with a progress bar, and print its result.

    Raises:
        ConfigurationError: the folder is not empty.
        FatalError: the stored posts are not as they should be, a rate limit was exceeded, or the
            collector ended by itself.
    """
    folder = Path(data or tempfile.mkdtemp(prefix="mastostream-check-")).absolute()
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder} is not empty: choose a new folder with --data")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=output.console, disable=output.json) as bar:
        task = bar.add_task("starting", total=1.0)
        result = run_experiment(
            experiment,
            folder,
            on_progress=lambda share, text: bar.update(task, completed=share, description=text),
        )
    output.emit(
        "check",
        ok=result.ok,
        **attrs.asdict(result.check),
        logged=dict(result.logged),
        kills=result.kills,
        ended=result.ended,
        usage={host: attrs.asdict(usage) for host, usage in result.usage.items()},
    )
    if not output.json:
        tell(output, str(result))
        tell(output, f"The data and the collector's log are in {folder}")
    if not result.ok:
        raise FatalError("the collector does not hold what it should: see above")
