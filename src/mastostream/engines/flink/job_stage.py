"""Runs a Flink job as a stage: starts it, waits for its end, and counts what it has read."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mastostream.config import FlinkSettings
from mastostream.engines.flink.cluster import LOCAL, Cluster, SourceCounts
from mastostream.engines.flink.environment import (
    name_states,
    open_environment,
    silence_java_output,
)
from mastostream.engines.flink.error_summary import root_cause
from mastostream.engines.flink.job import FlinkJob, job_settings
from mastostream.engines.flink.python_bundle import own_modules, write_modules
from mastostream.engines.flink.rows import Rows
from mastostream.exceptions import FatalError, MastostreamError

if TYPE_CHECKING:
    from pyflink.common import JobClient
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import StreamTableEnvironment

__all__ = ["FlinkEngine"]

_COUNT_EVERY_S: Final = 3.0
_CLUSTER_COUNT_EVERY_S: Final = 12.0
"""Both are longer than the time after which Flink updates its metrics: 1 s here, where the job's
settings say so, and by default 10 s on a cluster (``metrics.fetcher.update-interval``)."""

_TIMES_OUT: Final = "java.util.concurrent.TimeoutException"


class FlinkEngine:
    """Runs a job as a stage of this process. A :class:`ports.stage.Stage`.

    Closing the stage cancels the job, unless it has ended. A script that starts the job itself
    needs no stage: ``job.declare(engine.environment()).execute()``.

    Attributes:
        ended: whether the job has ended.
        dropped: the number of values that SQL certainly left out because they are no JSON.
        job: the job.
    """

    def __init__(self, settings: FlinkSettings, jar: Path, job: FlinkJob) -> None:
        """Prepare the stage; nothing is started yet.

        Args:
            settings: where the job runs, and how.
            jar: Flink's connector for Kafka.
            job: the job.
        """
        self.ended = False
        self.dropped = 0
        self.job = job
        self._settings = settings
        self._jar = jar
        self._client: JobClient | None = None
        self._end: Any = None
        self._rows: Rows | None = None
        self._cluster: Cluster | None = None
        self._counts = SourceCounts(0, 0)
        self._next_count_s = 0.0

    @property
    def name(self) -> str:
        """The name of the stage: ``analyze``."""
        return "analyze"

    @property
    def job_name(self) -> str:
        """The name of the job that the cluster shows."""
        return self.job.name

    def detach(self) -> str:
        """Start the job on a cluster; it goes on when this process ends.

        Returns:
            The id of the job.

        Raises:
            FatalError: the job cannot be started.
        """
        with self._translated_errors():
            return str(self._start().get_job_id())

    def step(self, timeout_s: float) -> int:
        """Start the job in the first call; in later calls wait for its end.

        Args:
            timeout_s: how long to wait, in seconds.

        Returns:
            The number of records that the job has read since the last call, as far as its metrics
            say; they are read every 3 s, or every 12 s from a cluster.

        Raises:
            FatalError: the job failed.
        """
        if self.ended:
            return 0
        with self._translated_errors():
            if self._client is None:
                self._client = self._start()
                self._cluster = self._jobmanager(self._client)
            if self._rows is not None:
                self.ended = self._rows.wait(timeout_s)
            else:
                if self._end is None:
                    self._end = self._client._j_job_client.getJobExecutionResult()  # noqa: SLF001 - PyFlink's own waits for ever
                self.ended = _has_ended(self._end, timeout_s)
        return 0 if self.ended else self._records_read()

    def finish(self) -> None:
        """Do nothing: :meth:`close` cancels the job."""

    def close(self) -> None:
        """Cancel the job if it still runs."""
        if self._client is not None and not self.ended:
            with suppress(Exception):  # it has ended meanwhile
                self._client.cancel().result()
        if self._cluster is not None:
            self._cluster.close()
        self.ended = True

    def environment(self) -> "StreamTableEnvironment":
        """Start Java, and return an environment with the job's settings, without its tables.

        In a script that ``flink run`` has started, it is the environment of the cluster, with the
        options of ``flink run``.

        Raises:
            ConfigurationError: the target is neither ``local`` nor ``host:port``.
        """
        from pyflink.table import StreamTableEnvironment  # noqa: PLC0415 - an extra

        return StreamTableEnvironment.create(self._open({}))

    def _start(self) -> "JobClient":
        from pyflink.table import StreamTableEnvironment  # noqa: PLC0415 - an extra

        with tempfile.TemporaryDirectory(prefix="mastostream-flink-") as folder:
            environment = self._open(self._archives(Path(folder)))
            silence_java_output()
            declared = self.job.declare(StreamTableEnvironment.create(environment))
            if self.job.on_row is not None:
                result = declared.execute()
                self._rows = Rows(result, self.job.on_row)
                return result.get_job_client()
            declared.attach_as_datastream()
            name_states(environment)
            return environment.execute_async(self.job.name)

    def _jobmanager(self, client: "JobClient") -> Cluster | None:
        """Return a client for the metrics of the job; ``None`` if the job has ended already."""
        if self._settings.target != LOCAL:
            return Cluster(self._settings.target)
        from py4j.protocol import Py4JJavaError  # noqa: PLC0415 - an extra
        from pyflink.util.java_utils import get_field_value  # noqa: PLC0415 - an extra

        try:
            cluster = get_field_value(client._j_job_client, "miniCluster")  # noqa: SLF001 - has the port
            url = cluster.getRestAddress().get()
        except Py4JJavaError:
            return None
        return Cluster(f"{url.getHost()}:{url.getPort()}")

    def _records_read(self) -> int:
        """Return how many records were read since the last count, and count what was left out.

        Between two counts, and while there are no metrics, the result is 0.
        """
        if self._client is None or self._cluster is None or time.monotonic() < self._next_count_s:
            return 0
        is_local = self._settings.target == LOCAL
        self._next_count_s = time.monotonic() + (
            _COUNT_EVERY_S if is_local else _CLUSTER_COUNT_EVERY_S
        )
        try:
            counts = self._cluster.sources(str(self._client.get_job_id()))
        except MastostreamError:
            return 0
        if counts is None:
            return 0
        before, self._counts = self._counts, counts
        self.dropped = max(self.dropped, counts.surely_dropped(before))
        return counts.read_since(before)

    def _archives(self, folder: Path) -> dict[str, Path]:
        """Return the archives for the workers of a cluster, by names of folders.

        The user's own modules are packed here, into this folder.
        """
        archives: dict[str, Path] = {}
        if self._settings.target == LOCAL:
            return archives
        modules = own_modules(self.job.folder) if self.job.folder else {}
        if modules:
            archives["own-modules"] = folder / "own-modules.zip"
            write_modules(archives["own-modules"], modules)
        if self.job.archive is not None:
            archives["mastostream-archive"] = self.job.archive
        return archives

    def _open(self, archives: Mapping[str, Path]) -> "StreamExecutionEnvironment":
        settings = job_settings(self._settings, self._jar, self.job, archives)
        return open_environment(self._settings.target, settings)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Translate what Java raises into ``FatalError``."""
        try:
            yield
        except Exception as error:
            if not type(error).__module__.startswith(("py4j", "pyflink")):
                raise
            target = self._settings.target
            raise FatalError(
                f"the Flink job ({target}) failed: {root_cause(str(error))}"
            ) from error


def _has_ended(end: Any, timeout_s: float) -> bool:
    from py4j.protocol import Py4JJavaError  # noqa: PLC0415 - an extra
    from pyflink.java_gateway import get_gateway  # noqa: PLC0415 - an extra

    unit = get_gateway().jvm.java.util.concurrent.TimeUnit.MILLISECONDS
    try:
        end.get(max(1, round(timeout_s * 1000)), unit)
    except Py4JJavaError as error:
        if error.java_exception.getClass().getName() == _TIMES_OUT:
            return False
        raise
    return True
