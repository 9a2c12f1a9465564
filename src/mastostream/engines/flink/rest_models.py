"""The responses of Flink's REST API, with only the fields that :mod:`cluster` reads.

Source: https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/ops/rest_api/
"""

import msgspec

__all__ = [
    "Cause",
    "Checkpoints",
    "Completed",
    "Errors",
    "ExceptionHistory",
    "Exceptions",
    "JobException",
    "JobOverview",
    "Jobs",
    "Latest",
    "Metric",
    "Overview",
    "Savepoint",
    "SavepointOperation",
    "Status",
    "Tasks",
    "Topology",
    "Total",
    "Triggered",
    "Vertex",
]


class Tasks(msgspec.Struct, frozen=True):
    """The numbers of tasks of a job: all, and those that run."""

    total: int
    running: int


class JobOverview(msgspec.Struct, frozen=True, rename="kebab"):
    """A job in the response of ``/jobs/overview``; its start is in milliseconds since the epoch."""

    jid: str
    name: str
    state: str
    start_time: int
    tasks: Tasks


class Jobs(msgspec.Struct, frozen=True):
    """The response of ``/jobs/overview``: all jobs that the cluster remembers."""

    jobs: list[JobOverview]


class Completed(msgspec.Struct, frozen=True):
    """A completed checkpoint, with the time of its end in milliseconds since the epoch."""

    latest_ack_timestamp: int


class Latest(msgspec.Struct, frozen=True):
    """The last checkpoints of a job; ``completed`` is ``None`` where there is none."""

    completed: Completed | None = None


class Checkpoints(msgspec.Struct, frozen=True):
    """The response of ``/jobs/:id/checkpoints``."""

    latest: Latest


class Metric(msgspec.Struct, frozen=True):
    """A metric in the response of ``/jobs/:id/metrics``, a list."""

    value: str


class Vertex(msgspec.Struct, frozen=True):
    """A step of a job, or several steps that Flink has chained into one."""

    id: str
    name: str


class Topology(msgspec.Struct, frozen=True):
    """The response of ``/jobs/:id``: the steps of a job."""

    vertices: list[Vertex]


class Total(msgspec.Struct, frozen=True):
    """A metric in the response of ``/jobs/:id/vertices/:vertex/subtasks/metrics``, a list.

    The sum over the subtasks is there only if the request names the metric.
    """

    id: str
    sum: float = 0.0


class JobException(msgspec.Struct, frozen=True):
    """One failure of a job, with the stack trace of Java."""

    stacktrace: str = ""


class ExceptionHistory(msgspec.Struct, frozen=True):
    """The failures of a job, the newest first."""

    entries: list[JobException] = []


class Exceptions(msgspec.Struct, frozen=True, rename="camel"):
    """The response of ``/jobs/:id/exceptions``."""

    exception_history: ExceptionHistory = ExceptionHistory()


class Overview(msgspec.Struct, frozen=True, rename="kebab"):
    """The response of ``/overview``: the version of Flink."""

    flink_version: str


class Triggered(msgspec.Struct, frozen=True, rename="kebab"):
    """The response to a request for a savepoint: the id under which to ask for its state."""

    request_id: str


class Status(msgspec.Struct, frozen=True):
    """The state of a savepoint: ``IN_PROGRESS`` or ``COMPLETED``, also after a failure."""

    id: str


class Cause(msgspec.Struct, frozen=True, rename="kebab"):
    """The cause of a failed savepoint."""

    stack_trace: str = ""


class SavepointOperation(msgspec.Struct, frozen=True, rename="kebab"):
    """The result of a savepoint: where it is, or why it failed."""

    location: str | None = None
    failure_cause: Cause | None = None


class Savepoint(msgspec.Struct, frozen=True):
    """The response of ``/jobs/:id/savepoints/:request``."""

    status: Status
    operation: SavepointOperation | None = None


class Errors(msgspec.Struct, frozen=True):
    """The response to any request that failed."""

    errors: list[str]
