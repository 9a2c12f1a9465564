"""Describes a Flink job, and makes its configuration."""

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

_GATEWAY_PORT: Final = "PYFLINK_GATEWAY_PORT"


def by_flink_run() -> bool:
    """Return whether ``flink run`` has started this process.

    Then the options of ``flink run`` choose the cluster and the Python of the job.
    """
    return _GATEWAY_PORT in os.environ


@attrs.frozen(kw_only=True)
class FlinkJob:
    """The description of a job.

    Attributes:
        name: the name that Flink shows.
        declare: declares the tables, and returns the statements, or the one query whose rows are
            shown. It starts nothing.
        delivery: the delivery guarantee of the job's outputs.
        archive: an archive with this package, for workers that do not have it; see
            :mod:`python_bundle`. ``None`` for none.
        folder: modules that this process has imported from this folder are sent to the cluster.
            ``None`` for none.
        savepoint: the URL of the savepoint whose state the job begins with; empty for none.
        parallelism: the parallelism where the settings choose none; ``None`` leaves it to Flink's
            configuration.
        settings: more configuration, by Flink's names. The settings of the user win over it.
        on_row: called with each row of the query, in a thread of its own; ``None`` for statements.
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
        settings: the user's settings: where the job runs, and how.
        jar: Flink's connector for Kafka.
        job: the job.
        archives: archives for the Python workers, by the names of the folders into which they are
            unpacked. Their modules come first in the workers' search path.

    Raises:
        ConfigurationError: the target is neither ``local`` nor ``host:port``.
    """
    chosen = {
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
        chosen["python.client.executable"] = sys.executable
        if job.archive is None:
            # With an archive Flink's default is right: `python` in the path of a TaskManager.
            chosen["python.executable"] = sys.executable
    if parallelism := settings.parallelism or job.parallelism:
        chosen["parallelism.default"] = str(parallelism)
    if job.savepoint:
        chosen["execution.state-recovery.path"] = job.savepoint
    if settings.target == LOCAL:
        chosen["rest.bind-address"] = "localhost"  # whoever reaches it can run any code here
        chosen["metrics.fetcher.update-interval"] = "1 s"  # of the counts that FlinkEngine reads
    else:
        host, port = address(settings.target)
        chosen |= {"execution.target": "remote", "rest.address": host, "rest.port": port}
    chosen |= settings.settings
    if archives:
        # Archives are unpacked in the folder where a worker starts. Its path is not known here,
        # so these are relative.
        unpacked = [f"{path.resolve()}#{name}" for name, path in archives.items()]
        chosen["python.archives"] = _joined(",", [*unpacked, chosen.get("python.archives")])
        chosen["python.pythonpath"] = _joined(":", [*archives, chosen.get("python.pythonpath")])
    return chosen


def _joined(separator: str, parts: Iterable[str | None]) -> str:
    return separator.join(part for part in parts if part)
