"""A Flink cluster, through the REST API of its JobManager.

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
"""States that a job does not leave."""

_TIMEOUT_S: Final = 10.0
_NO_FOLDER: Final = "execution.checkpointing.savepoint-dir"
_SHOWN_JOBS: Final = 10
_SOURCE: Final = "Source: "
_TAKEN: Final = re.compile(r"Source__.+\.numRecordsIn$")
_T = TypeVar("_T")


@attrs.frozen(kw_only=True)
class ClusterJob:
    """One job on a cluster.

    Attributes:
        id: 32 hexadecimal digits.
        name: it was started under; not unique. What steers a terminal stands as ``?``.
        state: in Flink's words: ``RUNNING``, ``RESTARTING``, ``CANCELED`` ...
        started_ms: when it was started, milliseconds since 1970.
        running_tasks: that work now.
        tasks: all of them.
        restarts: since it was started; ``None`` where the cluster does not tell.
        checkpoint_ms: when the last checkpoint was complete; ``None`` for never.
        dropped: values that were no JSON, and left out of SQL, since it last began, and perhaps one
            that is just being read; ``None`` where the cluster does not tell.
        failure: why it last had to start again, or has failed; empty where it never did.
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
    """What a job has read. Several sources of one job read the same: it is that of one of them.

    Attributes:
        read: records.
        dropped: those of them whose values the source could not decode, and left out. Flink's JSON
            format does so for SQL, and tells nowhere else; other values are decoded later. One
            that is just being read is among them.
    """

    read: int
    dropped: int

    def read_since(self, before: "SourceCounts") -> int:
        """Return how many have been read since then: all, where the job has begun again."""
        return self.read - before.read if self.read >= before.read else self.read

    def surely_dropped(self, before: "SourceCounts") -> int:
        """Return how many were left out for sure, as far as two looks in a row can tell.

        While records come, one may be under way, and not yet passed on.
        """
        return max(0, self.dropped - (self.read != before.read))


class _RefusedError(Exception):
    """The JobManager's answer is an error; its cause, in one sentence."""


class Cluster:
    """A session cluster. To be closed; each method asks anew.

    Each raises ``RetriableError`` where nothing answers, and ``ConfigurationError`` where what
    answers is no JobManager.
    """

    def __init__(self, target: str) -> None:
        """Ask nothing yet.

        Args:
            target: ``host:port`` of the JobManager's web page.

        Raises:
            ConfigurationError: the target is none.
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
        """Leave it as it is."""
        self._session.close()

    def version(self) -> str:
        """Return Flink's version there."""
        return self._get("/overview", rest_models.Overview).flink_version

    def jobs(self) -> tuple[ClusterJob, ...]:
        """Return all jobs that the cluster remembers, those that run first, the newest first."""
        found = [
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
        return tuple(sorted(found, key=lambda job: (job.state in ENDED, -job.started_ms)))

    def detailed(self, job: ClusterJob) -> ClusterJob:
        """Return a job with its restarts, its last checkpoint and its failure, as far as known."""
        try:
            checkpoints = self._get(f"/jobs/{job.id}/checkpoints", rest_models.Checkpoints)
            metrics = self._get(f"/jobs/{job.id}/metrics?get=numRestarts", list[rest_models.Metric])
            restarts = metrics[0].value if metrics else ""
            # Not only where there were restarts: these are told some seconds later.
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
        """Return what a job has read since it last began; ``None`` where it is not told.

        Raises:
            FatalError: the cluster does not know the job any more.
        """
        found = []
        for vertex in self._get(f"/jobs/{job_id}", rest_models.Topology).vertices:
            if not vertex.name.startswith(_SOURCE):
                continue
            path = f"/jobs/{job_id}/vertices/{vertex.id}/subtasks/metrics"
            names = [total.id for total in self._get(path, list[rest_models.Total])]
            for taken in filter(_TAKEN.match, names):
                passed = taken.replace("numRecordsIn", "numRecordsOut")
                query = urlencode({"get": f"{taken},{passed}", "agg": "sum"})
                totals = self._get(f"{path}?{query}", list[rest_models.Total])
                sums = {total.id: round(total.sum) for total in totals}
                if len(sums) == 2:
                    counts = SourceCounts(sums[taken], max(0, sums[taken] - sums[passed]))
                    found.append(counts)
        return max(found, default=None, key=lambda counts: counts.read)

    def named(self, name: str) -> ClusterJob:
        """Return the one job of this name, or of this id, that has not ended.

        Raises:
            ConfigurationError: there is none, or there are several.
        """
        jobs = self.jobs()
        going = [job for job in jobs if job.state not in ENDED]
        found = [job for job in going if name in {job.name, job.id}]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(job.id for job in found)
            raise ConfigurationError(
                f"{len(found)} jobs named {name} run at {self.target}: say which by its id, one of "
                f"{ids}"
            )
        ended = next((job.state for job in jobs if name in {job.name, job.id}), None)
        told = f"the job {name} has ended at {self.target} ({ended})" if ended else ""
        told = told or f"no job is named {name} at {self.target}"
        if not going:
            raise ConfigurationError(f"{told}, and no other runs there: is it the right --target?")
        names = ", ".join(dict.fromkeys(job.name for job in going[:_SHOWN_JOBS]))
        more = f" and {len(going) - _SHOWN_JOBS} more" if len(going) > _SHOWN_JOBS else ""
        raise ConfigurationError(f"{told}: choose one of those that run, {names}{more}")

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
        """See that no job of this name runs: two would take the same posts and transactions.

        Raises:
            BusyError: one does.
        """
        if any(job.name == name and job.state not in ENDED for job in self.jobs()):
            raise BusyError(
                f"a job named {name} runs at {self.target} already: stop it with 'mastostream "
                f"flink savepoint {name} --stop' or 'mastostream flink cancel {name}', or give "
                "this one another kafka.group"
            )

    def cancel(self, job: ClusterJob) -> None:
        """Ask a job to end at once; :meth:`state` tells when it has.

        Raises:
            FatalError: it cannot be ended, as it has ended meanwhile.
        """
        with self._told(f"cannot cancel {job.name}"):
            self._ask("PATCH", f"/jobs/{job.id}?mode=cancel")

    def begin_savepoint(self, job: ClusterJob, folder: str, *, stop: bool, drain: bool) -> str:
        """Ask for a savepoint; :meth:`savepoint` tells what becomes of it.

        Args:
            job: which.
            folder: a URL that all servers of the cluster can write; empty for the configured one.
            stop: the job ends with it.
            drain: its windows close before; it is not to go on from there.

        Returns:
            The request.

        Raises:
            ConfigurationError: no folder is configured.
            RetriableError: the job is just starting.
            FatalError: the cluster refuses.
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
        with self._told(f"no savepoint of {job.name}"):
            return msgspec.json.decode(
                self._ask("POST", path, body), type=rest_models.Triggered
            ).request_id

    def savepoint(self, job: ClusterJob, request: str) -> str | None:
        """Return where the savepoint is; ``None`` while it is being made.

        Raises:
            FatalError: there is none, and why.
        """
        with self._told(f"no savepoint of {job.name}"):
            answer = self._ask("GET", f"/jobs/{job.id}/savepoints/{request}")
            found = msgspec.json.decode(answer, type=rest_models.Savepoint)
        if found.status.id != "COMPLETED":
            return None
        done = found.operation or rest_models.SavepointOperation()
        if done.location is None:
            cause = root_cause((done.failure_cause or rest_models.Cause()).stack_trace)
            raise FatalError(
                f"the savepoint of {job.name} failed: {cause}; the job goes on, unless "
                "'mastostream flink status' says otherwise"
            )
        return done.location

    def _get(self, path: str, kind: type[_T]) -> _T:
        with self._told(f"{self.target} does not answer {path}"):
            return msgspec.json.decode(self._ask("GET", path), type=kind)

    def _ask(self, method: str, path: str, body: Mapping[str, str | bool] | None = None) -> bytes:
        url = f"http://{self.target}{path}"
        answer = self._session.request(method, url, json=body, timeout=_TIMEOUT_S)
        if answer.ok:
            return answer.content
        raise _RefusedError(
            root_cause(
                "\n".join(msgspec.json.decode(answer.content, type=rest_models.Errors).errors)
            )
        )

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn what requests raises, and the JobManager's errors, into ours."""
        try:
            yield
        except _RefusedError as error:
            if _NO_FOLDER in str(error):
                raise ConfigurationError(
                    f"{what}: the cluster has no folder for savepoints: say one with --folder, or "
                    f'set "{_NO_FOLDER}" in [flink.settings] or in Flink\'s config.yaml'
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
    """See that the JobManager is there, and of the version that is installed here.

    Raises:
        ConfigurationError: the target is none, or what answers there is another Flink, or none.
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
        ConfigurationError: the text has not both.
    """
    host, _, port = target.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(
            f"flink.target: expected 'local' or host:port of a JobManager, got {target}"
        )
    return host, port
