"""Starting a job, and waiting for it."""

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from mastostream.config import FlinkSettings
from mastostream.engines.flink.archive import own_modules, write_modules
from mastostream.engines.flink.causes import root_cause
from mastostream.engines.flink.cluster import LOCAL, address
from mastostream.engines.flink.tables import Delivery
from mastostream.exceptions import FatalError

if TYPE_CHECKING:
    from pyflink.common import JobClient
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import StatementSet, StreamTableEnvironment

__all__ = ["FlinkEngine", "Job", "job_settings"]

_SKIP_FOR_FLINK: Final = "the --allowNonRestoredState option on the CLI"
_SKIP: Final = '"execution.state-recovery.ignore-unclaimed-state" to true in [flink.settings]'
_TIMES_OUT: Final = "java.util.concurrent.TimeoutException"


@attrs.frozen(kw_only=True)
class Job:
    """What is to run.

    Attributes:
        name: as Flink shows it.
        declare: makes its tables and statements; starts nothing.
        delivery: what a reader of its outputs may rely on.
        archive: with this package, for workers that do not have it; see :mod:`archive`.
        folder: whose modules, as far as they are imported here, travel to a cluster.
        savepoint: whose state it begins with; empty for none.
    """

    name: str
    declare: "Callable[[StreamTableEnvironment], StatementSet]"
    delivery: Delivery
    archive: Path | None = None
    folder: Path | None = None
    savepoint: str = ""


def job_settings(
    settings: FlinkSettings, jar: Path, job: Job, archives: Mapping[str, Path] | None = None
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
        "python.client.executable": sys.executable,
        "python.fn-execution.bundle.size": str(settings.bundle_records),
        "python.fn-execution.arrow.batch.size": str(settings.bundle_records),
        "python.fn-execution.bundle.time": str(settings.bundle_ms),
        "execution.checkpointing.interval": f"{round(settings.checkpoint_s * 1000)} ms",
        "execution.checkpointing.mode": job.delivery.replace("-", "_").upper(),
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.max-backoff": "30 s",
    }
    if job.archive is None:
        # Else Flink's default is right: the `python` of a TaskManager's path.
        found["python.executable"] = sys.executable
    if settings.parallelism:
        found["parallelism.default"] = str(settings.parallelism)
    if job.savepoint:
        found["execution.state-recovery.path"] = job.savepoint
    if settings.target != LOCAL:
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


class FlinkEngine:
    """A job as a stage of this process. A :class:`ports.stage.Stage`.

    It is cancelled when the stage is closed; a job that has come to its end has nothing more to do.
    """

    def __init__(self, settings: FlinkSettings, jar: Path, job: Job) -> None:
        """Start nothing yet.

        Args:
            settings: where the job runs, and how.
            jar: Flink's connector for Kafka.
            job: what runs.
        """
        self.ended = False
        self._settings = settings
        self._jar = jar
        self._job = job
        self._client: JobClient | None = None
        self._end: Any = None

    @property
    def name(self) -> str:
        """``analyze``."""
        return "analyze"

    @property
    def job_name(self) -> str:
        """As the cluster shows the job."""
        return self._job.name

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
        """Start the job, or wait for its end; it does not tell how many records it has read.

        Raises:
            FatalError: the job failed.
        """
        if self.ended:
            return 0
        with self._explained():
            if self._client is None:
                self._client = self._start()
                self._end = self._client._j_job_client.getJobExecutionResult()  # noqa: SLF001 - PyFlink's own waits for ever
            self.ended = _has_ended(self._end, timeout_s)
        return 0

    def finish(self) -> None:
        """Leave the job to :meth:`close`."""

    def close(self) -> None:
        """Cancel the job if it runs still."""
        if self._client is not None and not self.ended:
            with suppress(Exception):  # it has ended meanwhile
                self._client.cancel().result()
        self.ended = True

    def _start(self) -> "JobClient":
        from pyflink.table import StreamTableEnvironment  # noqa: PLC0415 - an extra

        with tempfile.TemporaryDirectory(prefix="mastostream-flink-") as folder:
            environment = self._open(self._archives(Path(folder)))
            tables = StreamTableEnvironment.create(environment)
            self._job.declare(tables).attach_as_datastream()
            _name_states(environment)
            return environment.execute_async(self._job.name)

    def _archives(self, folder: Path) -> dict[str, Path]:
        """Return what travels; an archive of modules is written into this folder."""
        found: dict[str, Path] = {}
        if self._settings.target == LOCAL:
            return found
        modules = own_modules(self._job.folder) if self._job.folder else {}
        if modules:
            found["own-modules"] = folder / "own-modules.zip"
            write_modules(found["own-modules"], modules)
        if self._job.archive is not None:
            found["mastostream-archive"] = self._job.archive
        return found

    def _open(self, archives: Mapping[str, Path]) -> "StreamExecutionEnvironment":
        """Start Java, and return an environment in which a job can be declared."""
        from pyflink.common import Configuration  # noqa: PLC0415 - an extra, and seconds to import
        from pyflink.datastream import StreamExecutionEnvironment  # noqa: PLC0415 - as above

        settings = job_settings(self._settings, self._jar, self._job, archives)
        if self._settings.target != LOCAL:
            settings["pipeline.jars"] += f";{_python_jar().as_uri()}"
        chosen = Configuration()
        for name, value in settings.items():
            chosen.set_string(name, value)
        if self._settings.target == LOCAL:
            return StreamExecutionEnvironment.get_execution_environment(chosen)
        # The usual way gives one that starts a cluster of its own, whatever the target.
        from pyflink.java_gateway import get_gateway  # noqa: PLC0415 - as above

        java = get_gateway().jvm.org.apache.flink.streaming.api.environment
        return StreamExecutionEnvironment(
            java.StreamExecutionEnvironment(chosen._j_configuration)  # noqa: SLF001 - as above
        )

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


def _name_states(environment: "StreamExecutionEnvironment") -> None:
    """Name what keeps state after its table, so that a savepoint finds it in another plan.

    Flink's own names are hashes of the plan, or with ``table.exec.uid.generation`` their numbers
    in it: both change with any step that is added. Other operators have no state, and need none.
    """
    from pyflink.util.java_utils import get_field_value  # noqa: PLC0415 - an extra

    ends = get_field_value(environment._j_stream_execution_environment, "transformations")  # noqa: SLF001 - there is no other way to them
    found = {}
    waiting = list(ends)
    while waiting:
        each = waiting.pop()
        if each.getId() not in found:
            found[each.getId()] = each
            waiting.extend(each.getInputs())
    for each in found.values():
        if each.getClass().getSimpleName() in {"SourceTransformation", "SinkTransformation"}:
            each.setUid(each.getName().rpartition("[")[0])


def _python_jar() -> Path:
    """What a cluster runs Python with: it comes with the wheel, and is in no cluster's ``lib``."""
    (pyflink,) = find_spec("pyflink").submodule_search_locations  # type: ignore[union-attr,misc]
    return next(Path(pyflink, "opt").glob("flink-python-*.jar"))


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
