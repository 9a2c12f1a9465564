"""A client of a Flink cluster: the REST API of its JobManager.

Source: https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/ops/rest_api/
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar
from urllib.parse import urlencode

import attrs
import msgspec
import requests

from mastostream.engines.flink import rest_models
from mastostream.engines.flink.error_summary import printable, root_cause
from mastostream.exceptions import BusyError, ConfigurationError, FatalError, RetriableError

__all__ = [
    "ENDED",
    "LOCAL",
    "Cluster",
    "ClusterJob",
    "SourceCounts",
    "address",
    "check_cluster",
]

LOCAL: Final = "local"
ENDED: Final = frozenset({"FINISHED", "CANCELED", "FAILED"})
"""States in which a job has ended."""

_TIMEOUT_S: Final = 10.0
_SAVEPOINT_FOLDER: Final = "execution.checkpointing.savepoint-dir"
_SHOWN_JOBS: Final = 10
"""The number of jobs that an error message names, at most."""

_SOURCE_PREFIX: Final = "Source: "
_RECORDS_IN: Final = re.compile(r"Source__.+\.numRecordsIn$")
_T = TypeVar("_T")


@attrs.frozen(kw_only=True)
class ClusterJob:
    """One job on a cluster.

    Attributes:
        id: 32 hexadecimal digits.
        name: the name that it was started with; not unique. Characters that could control a
            terminal are replaced by ``?``.
        state: Flink's word for its state: ``RUNNING``, ``RESTARTING``, ``CANCELED`` ...
        started_ms: when it was started, in milliseconds since the epoch.
        running_tasks: the number of tasks that run now.
        tasks: the number of all its tasks.
        restarts: the number of restarts since it was started; ``None`` where it is not known.
        checkpoint_ms: when the last checkpoint was completed, in milliseconds since the epoch;
            ``None`` where there is none.
        dropped: the number of values that SQL left out because they are no JSON, since the last
            restart. It may count a value that is just being read. ``None`` where it is not known.
        failure: the reason of the last failure or restart; empty where there was none.
    """

    id: str
    name: str
    state: str
    started_ms: int
    running_tasks: int
    tasks: int
    restarts: int | None = None
    checkpoint_ms: int | None = None
    dropped: int | None = None
    failure: str = ""


class SourceCounts(NamedTuple):
    """What a job has read. Several sources of one job read the same topic: one of them counts.

    Attributes:
        read: the number of records read.
        dropped: the number of these that the source left out because it could not decode their
            values. Flink's JSON format does so for SQL, and reports it nowhere else; in jobs
            without SQL the source decodes nothing. A record that is just being read is included.
    """

    read: int
    dropped: int

    def read_since(self, before: "SourceCounts") -> int:
        """Return how many records were read since ``before``: all, where the job has restarted."""
        return self.read - before.read if self.read >= before.read else self.read

    def surely_dropped(self, before: "SourceCounts") -> int:
        """Return how many records were certainly left out, judged by two counts in a row.

        While the source reads, one record may be read already and not passed on yet. So one is
        subtracted unless ``before`` has read as many.
        """
        return max(0, self.dropped - (self.read != before.read))


class _RefusedError(Exception):
    """The JobManager responded with an error; its text is the cause, in one sentence."""


class Cluster:
    """A client of a session cluster. It keeps nothing: each method sends its own requests.

    The caller closes it. Each method raises ``RetriableError`` where nothing answers at the target,
    and ``ConfigurationError`` where something answers that is no JobManager.
    """

    def __init__(self, target: str) -> None:
        """Prepare the connection; no request is sent yet.

        Args:
            target: ``host:port`` of the JobManager's web page.

        Raises:
            ConfigurationError: the target is not ``host:port``.
        """
        address(target)
        self.target = target
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the cluster and its jobs stay as they are."""
        self._session.close()

    def version(self) -> str:
        """Return the cluster's version of Flink."""
        return self._get("/overview", rest_models.Overview).flink_version

    def jobs(self) -> tuple[ClusterJob, ...]:
        """Return all jobs that the cluster remembers: first those that run, and the newest first.

        Restarts, checkpoint, dropped values and failure are only in what :meth:`detailed` returns.
        """
        jobs = [
            ClusterJob(
                id=job.jid,
                name=printable(job.name),
                state=job.state,
                started_ms=job.start_time,
                running_tasks=job.tasks.running,
                tasks=job.tasks.total,
            )
            for job in self._get("/jobs/overview", rest_models.Jobs).jobs
        ]
        return tuple(sorted(jobs, key=lambda job: (job.state in ENDED, -job.started_ms)))

    def detailed(self, job: ClusterJob) -> ClusterJob:
        """Return the job with its restarts, last checkpoint, dropped values and last failure.

        What the cluster does not report stays as it is.
        """
        try:
            checkpoints = self._get(f"/jobs/{job.id}/checkpoints", rest_models.Checkpoints)
            metrics = self._get(f"/jobs/{job.id}/metrics?get=numRestarts", list[rest_models.Metric])
            restarts = metrics[0].value if metrics else ""
            # Asked for without restarts too: their count arrives some seconds after the failure.
            history = self._get(
                f"/jobs/{job.id}/exceptions", rest_models.Exceptions
            ).exception_history
            counts = self.sources(job.id) if job.state == "RUNNING" else None
        except FatalError:  # it has just ended
            return job
        done = checkpoints.latest.completed
        return attrs.evolve(
            job,
            checkpoint_ms=None if done is None else done.latest_ack_timestamp,
            restarts=int(restarts) if restarts.isdecimal() else None,
            dropped=None if counts is None else counts.dropped,
            failure=root_cause(history.entries[0].stacktrace) if history.entries else "",
        )

    def sources(self, job_id: str) -> SourceCounts | None:
        """Return what a job has read since it last started; ``None`` where it is not known yet.

        Raises:
            FatalError: the cluster does not know the job any more.
        """
        sources = []
        for vertex in self._get(f"/jobs/{job_id}", rest_models.Topology).vertices:
            if not vertex.name.startswith(_SOURCE_PREFIX):
                continue
            path = f"/jobs/{job_id}/vertices/{vertex.id}/subtasks/metrics"
            names = [total.id for total in self._get(path, list[rest_models.Total])]
            for read in filter(_RECORDS_IN.match, names):
                emitted = read.replace("numRecordsIn", "numRecordsOut")
                query = urlencode({"get": f"{read},{emitted}", "agg": "sum"})
                totals = self._get(f"{path}?{query}", list[rest_models.Total])
                sums = {total.id: round(total.sum) for total in totals}
                if len(sums) == 2:
                    dropped = max(0, sums[read] - sums[emitted])
                    sources.append(SourceCounts(sums[read], dropped))
        return max(sources, default=None, key=lambda counts: counts.read)

    def named(self, name: str) -> ClusterJob:
        """Return the one job of this name, or of this id, that has not ended.

        Raises:
            ConfigurationError: there is none, or there are several.
        """
        jobs = self.jobs()
        running = [job for job in jobs if job.state not in ENDED]
        matches = [job for job in running if name in {job.name, job.id}]
        if len(matches) == 1:
            return matches[0]
        if matches:
            ids = ", ".join(job.id for job in matches)
            raise ConfigurationError(
                f"{len(matches)} jobs named {name} run at {self.target}: say which by its id, "
                f"one of {ids}"
            )
        ended = next((job.state for job in jobs if name in {job.name, job.id}), None)
        problem = f"the job {name} has ended at {self.target} ({ended})" if ended else ""
        problem = problem or f"no job is named {name} at {self.target}"
        if not running:
            raise ConfigurationError(
                f"{problem}, and no other runs there: is it the right --target?"
            )
        names = ", ".join(dict.fromkeys(job.name for job in running[:_SHOWN_JOBS]))
        others = f" and {len(running) - _SHOWN_JOBS} more" if len(running) > _SHOWN_JOBS else ""
        raise ConfigurationError(f"{problem}: choose one of those that run, {names}{others}")

    def state(self, job_id: str) -> str:
        """Return the state of a job.

        Raises:
            FatalError: the cluster does not know it any more.
        """
        for job in self.jobs():
            if job.id == job_id:
                return job.state
        raise FatalError(f"the cluster at {self.target} does not know the job {job_id} any more")

    def check_free(self, name: str) -> None:
        """Check that no job of this name runs.

        Two jobs of one name would process the same posts, and use the same transactions.

        Raises:
            BusyError: a job of this name runs.
        """
        if any(job.name == name and job.state not in ENDED for job in self.jobs()):
            raise BusyError(
                f"a job named {name} runs at {self.target} already: stop it with 'mastostream "
                f"flink savepoint {name} --stop' or 'mastostream flink cancel {name}', or give "
                "this one another kafka.group"
            )

    def cancel(self, job: ClusterJob) -> None:
        """Ask the cluster to cancel a job; :meth:`state` says when it has ended.

        Raises:
            FatalError: the job cannot be canceled; usually it has ended meanwhile.
        """
        with self._translated_errors(f"cannot cancel {job.name}"):
            self._request("PATCH", f"/jobs/{job.id}?mode=cancel")

    def begin_savepoint(self, job: ClusterJob, folder: str, *, stop: bool, drain: bool) -> str:
        """Ask the cluster to begin a savepoint; :meth:`savepoint` says when it is complete.

        Args:
            job: the job.
            folder: the URL of a folder that all servers of the cluster can write; empty for the
                configured one.
            stop: whether the job ends with the savepoint.
            drain: with ``stop``: whether all windows close before. Such a savepoint is not meant
                to continue from.

        Returns:
            The id of the request, for :meth:`savepoint`.

        Raises:
            ConfigurationError: no folder is configured.
            RetriableError: the job is still starting.
            FatalError: the cluster refuses the savepoint.
        """
        if job.running_tasks < job.tasks:
            raise RetriableError(
                f"{job.name} is just starting ({job.running_tasks} of {job.tasks} tasks run): try "
                "again when 'mastostream flink status' shows that all do"
            )
        body: dict[str, str | bool] = {"formatType": "CANONICAL"}
        if stop:
            body["drain"] = drain
        if folder:
            body["targetDirectory" if stop else "target-directory"] = folder
        path = f"/jobs/{job.id}/{'stop' if stop else 'savepoints'}"
        with self._translated_errors(f"no savepoint of {job.name}"):
            return msgspec.json.decode(
                self._request("POST", path, body), type=rest_models.Triggered
            ).request_id

    def savepoint(self, job: ClusterJob, request: str) -> str | None:
        """Return the URL of a savepoint; ``None`` while it is being made.

        Args:
            job: the job.
            request: what :meth:`begin_savepoint` returned.

        Raises:
            FatalError: the savepoint failed; the message has the cause.
        """
        with self._translated_errors(f"no savepoint of {job.name}"):
            content = self._request("GET", f"/jobs/{job.id}/savepoints/{request}")
            savepoint = msgspec.json.decode(content, type=rest_models.Savepoint)
        if savepoint.status.id != "COMPLETED":
            return None
        operation = savepoint.operation or rest_models.SavepointOperation()
        if operation.location is None:
            cause = root_cause((operation.failure_cause or rest_models.Cause()).stack_trace)
            raise FatalError(
                f"the savepoint of {job.name} failed: {cause}; the job goes on, unless "
                "'mastostream flink status' says otherwise"
            )
        return operation.location

    def _get(self, path: str, kind: type[_T]) -> _T:
        with self._translated_errors(f"{self.target} does not answer {path}"):
            return msgspec.json.decode(self._request("GET", path), type=kind)

    def _request(
        self, method: str, path: str, body: Mapping[str, str | bool] | None = None
    ) -> bytes:
        url = f"http://{self.target}{path}"
        response = self._session.request(method, url, json=body, timeout=_TIMEOUT_S)
        if response.ok:
            return response.content
        raise _RefusedError(
            root_cause(
                "\n".join(msgspec.json.decode(response.content, type=rest_models.Errors).errors)
            )
        )

    @contextmanager
    def _translated_errors(self, what: str) -> Iterator[None]:
        """Translate the errors of requests and of the JobManager into errors of this package.

        Args:
            what: the beginning of the message: what could not be done.
        """
        try:
            yield
        except _RefusedError as error:
            if _SAVEPOINT_FOLDER in str(error):
                raise ConfigurationError(
                    f"{what}: the cluster has no folder for savepoints: say one with --folder, or "
                    f'set "{_SAVEPOINT_FOLDER}" in [flink.settings] or in Flink\'s config.yaml'
                ) from error
            raise FatalError(f"{what}: {error}") from error
        except (requests.ConnectionError, requests.Timeout) as error:
            raise RetriableError(
                f"no Flink can be reached at {self.target}: start it ('mastostream services up "
                "flink'), or check flink.target"
            ) from error
        except (requests.RequestException, msgspec.MsgspecError, UnicodeError) as error:
            raise ConfigurationError(
                f"what answers at {self.target} is no JobManager of Flink: check flink.target, it "
                "is the address of its web page"
            ) from error


def check_cluster(target: str) -> None:
    """Check that the JobManager can be reached, and that its version suits apache-flink here.

    The first two numbers of the versions have to be equal.

    Raises:
        ConfigurationError: the target is not ``host:port``, or what answers there is another
            version of Flink, or no Flink.
        RetriableError: nothing answers.
    """
    from pyflink.version import __version__  # noqa: PLC0415 - an extra

    with Cluster(target) as cluster:
        version = cluster.version()
    if version.split(".")[:2] != __version__.split(".")[:2]:
        raise ConfigurationError(
            f"Flink at {target} is {version}, and apache-flink here is {__version__}: they have to "
            "be of one version"
        )


def address(target: str) -> tuple[str, str]:
    """Return host and port of a JobManager.

    Raises:
        ConfigurationError: the target is not ``host:port``.
    """
    host, _, port = target.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(
            f"flink.target: expected 'local' or host:port of a JobManager, got {target}"
        )
    return host, port
