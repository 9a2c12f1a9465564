"""What is to run on Flink, and with which settings."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from mastostream.config import FlinkSettings
from mastostream.engines.flink.cluster import LOCAL, address
from mastostream.engines.flink.ddl import Delivery

if TYPE_CHECKING:
    from pyflink.table import StatementSet, StreamTableEnvironment, Table

__all__ = ["FlinkJob", "by_flink_run", "job_settings"]

_GATEWAY: Final = "PYFLINK_GATEWAY_PORT"


def by_flink_run() -> bool:
    """Return whether ``flink run`` has started this Python.

    Its options say then where the job runs, and with which Python.
    """
    return _GATEWAY in os.environ


@attrs.frozen(kw_only=True)
class FlinkJob:
    """What is to run.

    Attributes:
        name: as Flink shows it.
        declare: makes its tables and statements, or the one query that is shown; starts nothing.
        delivery: what a reader of its outputs may rely on.
        archive: with this package, for workers that do not have it; see :mod:`archive`.
        folder: whose modules, as far as they are imported here, travel to a cluster.
        savepoint: whose state it begins with; empty for none.
        parallelism: where the settings choose none; ``None`` leaves it to Flink's configuration.
        settings: by Flink's names; those of the user win over them.
        on_row: told of each row of the query, in a thread of its own; ``None`` for statements.
    """

    name: str
    declare: "Callable[[StreamTableEnvironment], StatementSet | Table]"
    delivery: Delivery
    archive: Path | None = None
    folder: Path | None = None
    savepoint: str = ""
    parallelism: int | None = None
    settings: Mapping[str, str] = attrs.field(factory=dict)
    on_row: Callable[[Sequence[object]], None] | None = None


def job_settings(
    settings: FlinkSettings, jar: Path, job: FlinkJob, archives: Mapping[str, Path] | None = None
) -> dict[str, str]:
    """Return the configuration of a job, by Flink's names.

    Args:
        settings: where it runs, and how.
        jar: Flink's connector for Kafka.
        job: what runs.
        archives: what is unpacked for the Python workers, and found by them before all that they
            have, by names of folders.

    Raises:
        ConfigurationError: the target is none.
    """
    found = {
        "pipeline.name": job.name,
        "pipeline.jars": jar.resolve().as_uri(),
        "python.fn-execution.bundle.size": str(settings.bundle_records),
        "python.fn-execution.arrow.batch.size": str(settings.bundle_records),
        "python.fn-execution.bundle.time": str(settings.bundle_ms),
        "execution.checkpointing.interval": f"{round(settings.checkpoint_s * 1000)} ms",
        "execution.checkpointing.mode": job.delivery.replace("-", "_").upper(),
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.max-backoff": "30 s",
        **job.settings,
    }
    if not by_flink_run():
        found["python.client.executable"] = sys.executable
        if job.archive is None:
            # Else Flink's default is right: the `python` of a TaskManager's path.
            found["python.executable"] = sys.executable
    if parallelism := settings.parallelism or job.parallelism:
        found["parallelism.default"] = str(parallelism)
    if job.savepoint:
        found["execution.state-recovery.path"] = job.savepoint
    if settings.target == LOCAL:
        found["rest.bind-address"] = "localhost"  # who reaches it can run any code here
        found["metrics.fetcher.update-interval"] = "1 s"  # of the counts that are shown
    else:
        host, port = address(settings.target)
        found |= {"execution.target": "remote", "rest.address": host, "rest.port": port}
    found |= settings.settings
    if archives:
        # In the folder where the worker starts; relative, as nobody knows here where that is.
        unpacked = [f"{path.resolve()}#{name}" for name, path in archives.items()]
        found["python.archives"] = _joined(",", [*unpacked, found.get("python.archives")])
        found["python.pythonpath"] = _joined(":", [*archives, found.get("python.pythonpath")])
    return found


def _joined(separator: str, parts: Iterable[str | None]) -> str:
    return separator.join(part for part in parts if part)
