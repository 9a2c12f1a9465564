"""Starting a job, and waiting for it."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import requests

from mastostream.config import FlinkSettings
from mastostream.engines.flink.tables import Delivery
from mastostream.exceptions import ConfigurationError, FatalError, RetriableError

if TYPE_CHECKING:
    from pyflink.table import StatementSet, StreamTableEnvironment, TableResult

__all__ = ["LOCAL", "FlinkEngine", "Job", "check_cluster", "job_settings"]

LOCAL: Final = "local"

_GATEWAY: Final = "PYFLINK_GATEWAY_PORT"
"""Set by ``flink run``, whose options say where the job runs, and with which Python."""

_WORKERS: Final = "_python_worker_execution_mode"

_LONGEST: Final = 500
_TIMEOUT_S: Final = 10.0
_TIMES_OUT: Final = "java.util.concurrent.TimeoutException"


@attrs.frozen(kw_only=True)
class Job:
    """What is to run.

    Attributes:
        name: as Flink shows it.
        declare: makes its tables and statements; starts nothing.
        delivery: what a reader of its outputs may rely on.
    """

    name: str
    declare: "Callable[[StreamTableEnvironment], StatementSet]"
    delivery: Delivery


def job_settings(settings: FlinkSettings, jar: Path, job: Job) -> dict[str, str]:
    """Return the configuration of a job, by Flink's names.

    Args:
        settings: where it runs, and how.
        jar: Flink's connector for Kafka.
        job: what runs.

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
    }
    if _GATEWAY not in os.environ:
        # Flink's default is whatever `python` is on the path.
        found |= dict.fromkeys(("python.executable", "python.client.executable"), sys.executable)
    if settings.parallelism:
        found["parallelism.default"] = str(settings.parallelism)
    if settings.target == LOCAL:
        found["rest.bind-address"] = "localhost"  # who reaches it can run any code here
    else:
        host, port = _address(settings.target)
        found |= {"execution.target": "remote", "rest.address": host, "rest.port": port}
    return found | dict(settings.settings)


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
        self._result: TableResult | None = None

    @property
    def name(self) -> str:
        """``analyze``."""
        return "analyze"

    def step(self, timeout_s: float) -> int:
        """Start the job, or wait for its end; it does not tell how many records it has read.

        Raises:
            FatalError: the job failed.
        """
        if self.ended:
            return 0
        if self._result is None:
            self._result = self._start()
        with self._explained():
            self.ended = _has_ended(self._result, timeout_s)
        return 0

    def finish(self) -> None:
        """Leave the job to :meth:`close`."""

    def close(self) -> None:
        """Cancel the job if it runs still."""
        if self._result is not None and not self.ended:
            client = self._result.get_job_client()
            if client is not None:
                with suppress(Exception):  # it has ended meanwhile
                    client.cancel().result()
        self.ended = True

    def _start(self) -> "TableResult":
        with self._explained():
            return self.job.declare(self.environment()).execute()

    def environment(self) -> "StreamTableEnvironment":
        """Start Java, and return an environment with all that the job needs; nothing is declared.

        In a script that ``flink run`` has started, it is that of the cluster, and the options of
        ``flink run`` count.

        Raises:
            ConfigurationError: the target is none.
        """
        from pyflink.common import Configuration  # noqa: PLC0415 - an extra, and seconds to import
        from pyflink.datastream import StreamExecutionEnvironment  # noqa: PLC0415 - as above
        from pyflink.table import StreamTableEnvironment  # noqa: PLC0415 - as above

        # Else this process, too, listens for functions to run, on all addresses of the machine.
        os.environ.setdefault(_WORKERS, "process")
        settings = job_settings(self._settings, self._jar, self.job)
        jars = settings.pop("pipeline.jars").split(";")
        if self._settings.target != LOCAL:
            jars.append(_python_jar().as_uri())
        chosen = Configuration()
        for name, value in settings.items():
            chosen.set_string(name, value)
        env = StreamExecutionEnvironment.get_execution_environment(chosen)
        env.add_jars(*jars)  # beside those that `flink run` has brought
        return StreamTableEnvironment.create(env)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what Java raises into ours."""
        try:
            yield
        except Exception as error:
            if not type(error).__module__.startswith(("py4j", "pyflink")):
                raise
            target = self._settings.target
            raise FatalError(f"the Flink job ({target}) failed: {_root(str(error))}") from error


def _python_jar() -> Path:
    """What a cluster runs Python with: it comes with the wheel, and is in no cluster's ``lib``."""
    (pyflink,) = find_spec("pyflink").submodule_search_locations  # type: ignore[union-attr,misc]
    return next(Path(pyflink, "opt").glob("flink-python-*.jar"))


def _root(stack: str) -> str:
    """What went wrong first, without Java's stack."""
    lines = stack.splitlines() or ["it does not say why"]
    causes = [line for line in lines if line.lstrip().startswith("Caused by: ")]
    return (causes[-1].strip().removeprefix("Caused by: ") if causes else lines[0])[:_LONGEST]


def check_cluster(target: str) -> None:
    """See that the JobManager is there, and of the version that is installed here.

    Raises:
        ConfigurationError: the target is none, or what answers there is another Flink, or none.
        RetriableError: nothing answers.
    """
    from pyflink.version import __version__  # noqa: PLC0415 - an extra

    _address(target)
    session = requests.Session()
    session.trust_env = False
    try:
        answer = session.get(f"http://{target}/overview", timeout=_TIMEOUT_S)
        version = str(answer.json()["flink-version"])
    except requests.ConnectionError as error:
        raise RetriableError(
            f"no Flink can be reached at {target}: start it ('mastostream services up flink'), or "
            "check flink.target"
        ) from error
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"what answers at {target} is no JobManager of Flink: check flink.target, it is the "
            "address of its web page"
        ) from error
    if version.split(".")[:2] != __version__.split(".")[:2]:
        raise ConfigurationError(
            f"Flink at {target} is {version}, and apache-flink here is {__version__}: they have to "
            "be of one version"
        )


def _address(target: str) -> tuple[str, str]:
    host, _, port = target.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(
            f"flink.target: expected 'local' or host:port of a JobManager, got {target}"
        )
    return host, port


def _has_ended(result: "TableResult", timeout_s: float) -> bool:
    from py4j.protocol import Py4JJavaError  # noqa: PLC0415 - as above

    try:
        result.wait(max(1, round(timeout_s * 1000)))
    except Py4JJavaError as error:
        if error.java_exception.getClass().getName() == _TIMES_OUT:
            return False
        raise
    return True
