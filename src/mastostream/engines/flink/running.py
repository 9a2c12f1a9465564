"""Starting a job, and waiting for it."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    from pyflink.common import Configuration, JobClient
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import StatementSet, StreamTableEnvironment, Table, TableResult

__all__ = ["FlinkEngine", "Job", "job_settings", "table_of"]

_GATEWAY: Final = "PYFLINK_GATEWAY_PORT"
"""Set by ``flink run``, whose options say where the job runs, and with which Python."""

_WORKERS: Final = "_python_worker_execution_mode"

_SKIP_FOR_FLINK: Final = "the --allowNonRestoredState option on the CLI"
_SKIP: Final = '"execution.state-recovery.ignore-unclaimed-state" to true in [flink.settings]'
_TABLE: Final = re.compile(r"\bdefault_catalog(?:, |\.)([\w-]+)(?:, |\.)([\w-]+)")
_TIMES_OUT: Final = "java.util.concurrent.TimeoutException"


@attrs.frozen(kw_only=True)
class Job:
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
        "python.fn-execution.bundle.size": str(settings.bundle_records),
        "python.fn-execution.arrow.batch.size": str(settings.bundle_records),
        "python.fn-execution.bundle.time": str(settings.bundle_ms),
        "execution.checkpointing.interval": f"{round(settings.checkpoint_s * 1000)} ms",
        "execution.checkpointing.mode": job.delivery.replace("-", "_").upper(),
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.max-backoff": "30 s",
        **job.settings,
    }
    if _GATEWAY not in os.environ:
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


class FlinkEngine:
    """A job as a stage of this process. A :class:`ports.stage.Stage`.

    It is cancelled when the stage is closed; a job that has come to its end has nothing more to do.
    A script that starts it itself needs no stage: ``job.declare(engine.environment()).execute()``.

    Attributes:
        ended: whether the job has come to its end.
        job: what runs.
    """

    def __init__(self, settings: FlinkSettings, jar: Path, job: Job) -> None:
        """Start nothing yet.

        Args:
            settings: where the job runs, and how.
            jar: Flink's connector for Kafka.
            job: what runs.
        """
        self.ended = False
        self.job = job
        self._settings = settings
        self._jar = jar
        self._client: JobClient | None = None
        self._end: Any = None
        self._rows: _Rows | None = None

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
        """Start the job, or wait for its end; it does not tell how many records it has read.

        Raises:
            FatalError: the job failed.
        """
        if self.ended:
            return 0
        with self._explained():
            if self._client is None:
                self._client = self._start()
            if self._rows is not None:
                self.ended = self._rows.wait(timeout_s)
                return 0
            if self._end is None:
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
                self._rows = _Rows(result, self.job.on_row)
                return result.get_job_client()
            declared.attach_as_datastream()
            _name_states(environment)
            return environment.execute_async(self.job.name)

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
        """Start Java, and return an environment in which a job can be declared."""
        from pyflink.common import Configuration  # noqa: PLC0415 - an extra, and seconds to import

        # Else this process, too, listens for functions to run, on all addresses of the machine.
        os.environ.setdefault(_WORKERS, "process")
        settings = job_settings(self._settings, self._jar, self.job, archives)
        jars = settings.pop("pipeline.jars").split(";")
        if self._settings.target != LOCAL:
            jars.append(_python_jar().as_uri())
        chosen = Configuration()
        for name, value in settings.items():
            chosen.set_string(name, value)
        environment = self._execution_environment(chosen)
        environment.add_jars(*jars)  # beside those that `flink run` has brought
        return environment

    def _execution_environment(self, chosen: "Configuration") -> "StreamExecutionEnvironment":
        from pyflink.datastream import StreamExecutionEnvironment  # noqa: PLC0415 - an extra

        if self._settings.target == LOCAL or _GATEWAY in os.environ:
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


class _Rows:
    """Collects the rows of a query: PyFlink knows no other way than to wait for the next one."""

    def __init__(self, result: "TableResult", on_row: Callable[[Sequence[object]], None]) -> None:
        self._result = result
        self._on_row = on_row
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._collect, name="flink-rows", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Return whether the query has come to its end; raise what ended it."""
        self._thread.join(timeout_s)
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    def _collect(self) -> None:
        try:
            with self._result.collect() as rows:
                for row in rows:
                    self._on_row(list(row))
        except Exception as error:  # noqa: BLE001 - handed over to whoever waits
            self._error = error


def _name_states(environment: "StreamExecutionEnvironment") -> None:
    """Name what keeps state after its table, so that a savepoint finds it in another plan.

    Flink's own names are hashes of the plan, or with ``table.exec.uid.generation`` their numbers
    in it: both change with any step that is added. Of other operators only the windows of SQL have
    state; they keep Flink's names, and so need the plan that they had.
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
            each.setUid(table_of(each.getDescription()) or each.getName().rpartition("[")[0])


def table_of(description: str) -> str:
    """Return which table Flink describes as read or written; empty for none.

    With its database, where that is not the default one.
    """
    found = _TABLE.search(description)
    if found is None:
        return ""
    database, table = found.groups()
    return table if database == "default_database" else f"{database}.{table}"


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
