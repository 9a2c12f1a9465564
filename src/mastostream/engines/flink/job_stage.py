"""Starting a job, and waiting for it."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mastostream.config import FlinkSettings
from mastostream.engines.flink.cluster import LOCAL, Cluster, SourceCounts
from mastostream.engines.flink.environment import name_states, open_environment
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

_LOOK_EVERY_S: Final = 3.0
_LOOK_AT_CLUSTER_EVERY_S: Final = 12.0
"""Both are longer than it tells the same again (``metrics.fetcher.update-interval``: 1 s, 10 s)."""

_TIMES_OUT: Final = "java.util.concurrent.TimeoutException"


class FlinkEngine:
    """A job as a stage of this process. A :class:`ports.stage.Stage`.

    It is cancelled when the stage is closed; a job that has come to its end has nothing more to do.
    A script that starts it itself needs no stage: ``job.declare(engine.environment()).execute()``.

    Attributes:
        ended: whether the job has come to its end.
        dropped: values that were no JSON, and left out of SQL, as far as the job has told for sure.
        job: what runs.
    """

    def __init__(self, settings: FlinkSettings, jar: Path, job: FlinkJob) -> None:
        """Start nothing yet.

        Args:
            settings: where the job runs, and how.
            jar: Flink's connector for Kafka.
            job: what runs.
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
        self._seen = SourceCounts(0, 0)
        self._look_s = 0.0

    @property
    def name(self) -> str:
        """``analyze``."""
        return "analyze"

    @property
    def job_name(self) -> str:
        """As the cluster shows the job."""
        return self.job.name

    def detach(self) -> str:
        """Start the job on a cluster, and leave it there whatever becomes of this process.

        Returns:
            Its id.

        Raises:
            FatalError: it cannot be started.
        """
        with self._explained():
            return str(self._start().get_job_id())

    def step(self, timeout_s: float) -> int:
        """Start the job, or wait for its end.

        Returns:
            How many records it has read meanwhile, as far as it has told.

        Raises:
            FatalError: the job failed.
        """
        if self.ended:
            return 0
        with self._explained():
            if self._client is None:
                self._client = self._start()
                self._cluster = self._jobmanager(self._client)
            if self._rows is not None:
                self.ended = self._rows.wait(timeout_s)
            else:
                if self._end is None:
                    self._end = self._client._j_job_client.getJobExecutionResult()  # noqa: SLF001 - PyFlink's own waits for ever
                self.ended = _has_ended(self._end, timeout_s)
        return 0 if self.ended else self._read()

    def finish(self) -> None:
        """Leave the job to :meth:`close`."""

    def close(self) -> None:
        """Cancel the job if it runs still."""
        if self._client is not None and not self.ended:
            with suppress(Exception):  # it has ended meanwhile
                self._client.cancel().result()
        if self._cluster is not None:
            self._cluster.close()
        self.ended = True

    def environment(self) -> "StreamTableEnvironment":
        """Start Java, and return an environment with all that the job needs; nothing is declared.

        In a script that ``flink run`` has started, it is that of the cluster, and the options of
        ``flink run`` count.

        Raises:
            ConfigurationError: the target is none.
        """
        from pyflink.table import StreamTableEnvironment  # noqa: PLC0415 - an extra

        return StreamTableEnvironment.create(self._open({}))

    def _start(self) -> "JobClient":
        from pyflink.table import StreamTableEnvironment  # noqa: PLC0415 - an extra

        with tempfile.TemporaryDirectory(prefix="mastostream-flink-") as folder:
            environment = self._open(self._archives(Path(folder)))
            declared = self.job.declare(StreamTableEnvironment.create(environment))
            if self.job.on_row is not None:
                result = declared.execute()
                self._rows = Rows(result, self.job.on_row)
                return result.get_job_client()
            declared.attach_as_datastream()
            name_states(environment)
            return environment.execute_async(self.job.name)

    def _jobmanager(self, client: "JobClient") -> Cluster | None:
        """Return who is asked what the job has read; nobody, where it has ended already."""
        if self._settings.target != LOCAL:
            return Cluster(self._settings.target)
        from py4j.protocol import Py4JJavaError  # noqa: PLC0415 - an extra
        from pyflink.util.java_utils import get_field_value  # noqa: PLC0415 - as above

        try:
            cluster = get_field_value(client._j_job_client, "miniCluster")  # noqa: SLF001 - it chose a port
            url = cluster.getRestAddress().get()
        except Py4JJavaError:
            return None
        return Cluster(f"{url.getHost()}:{url.getPort()}")

    def _read(self) -> int:
        """Ask, now and then, what has been read; what cannot be told now is told later."""
        if self._client is None or self._cluster is None or time.monotonic() < self._look_s:
            return 0
        is_local = self._settings.target == LOCAL
        self._look_s = time.monotonic() + (_LOOK_EVERY_S if is_local else _LOOK_AT_CLUSTER_EVERY_S)
        try:
            counts = self._cluster.sources(str(self._client.get_job_id()))
        except MastostreamError:
            return 0
        if counts is None:
            return 0
        before, self._seen = self._seen, counts
        self.dropped = max(self.dropped, counts.surely_dropped(before))
        return counts.read_since(before)

    def _archives(self, folder: Path) -> dict[str, Path]:
        """Return what travels; an archive of modules is written into this folder."""
        found: dict[str, Path] = {}
        if self._settings.target == LOCAL:
            return found
        modules = own_modules(self.job.folder) if self.job.folder else {}
        if modules:
            found["own-modules"] = folder / "own-modules.zip"
            write_modules(found["own-modules"], modules)
        if self.job.archive is not None:
            found["mastostream-archive"] = self.job.archive
        return found

    def _open(self, archives: Mapping[str, Path]) -> "StreamExecutionEnvironment":
        settings = job_settings(self._settings, self._jar, self.job, archives)
        return open_environment(self._settings.target, settings)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what Java raises into ours."""
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
    from pyflink.java_gateway import get_gateway  # noqa: PLC0415 - as above

    unit = get_gateway().jvm.java.util.concurrent.TimeUnit.MILLISECONDS
    try:
        end.get(max(1, round(timeout_s * 1000)), unit)
    except Py4JJavaError as error:
        if error.java_exception.getClass().getName() == _TIMES_OUT:
            return False
        raise
    return True
