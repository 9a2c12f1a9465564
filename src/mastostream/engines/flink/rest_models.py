"""What a JobManager answers, as far as it is read; the paths are those of :mod:`cluster`."""

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
    """How many tasks a job has."""

    total: int
    running: int


class JobOverview(msgspec.Struct, frozen=True, rename="kebab"):
    """One of all jobs."""

    jid: str
    name: str
    state: str
    start_time: int
    tasks: Tasks


class Jobs(msgspec.Struct, frozen=True):
    """``/jobs/overview``."""

    jobs: list[JobOverview]


class Completed(msgspec.Struct, frozen=True):
    """A checkpoint."""

    latest_ack_timestamp: int


class Latest(msgspec.Struct, frozen=True):
    """The last checkpoints."""

    completed: Completed | None = None


class Checkpoints(msgspec.Struct, frozen=True):
    """``/jobs/:id/checkpoints``."""

    latest: Latest


class Metric(msgspec.Struct, frozen=True):
    """One of ``/jobs/:id/metrics``."""

    value: str


class Vertex(msgspec.Struct, frozen=True):
    """A step of a job, or several that Flink does in one."""

    id: str
    name: str


class Topology(msgspec.Struct, frozen=True):
    """``/jobs/:id``."""

    vertices: list[Vertex]


class Total(msgspec.Struct, frozen=True):
    """One of ``/jobs/:id/vertices/:vertex/subtasks/metrics``; its sum only where asked for."""

    id: str
    sum: float = 0.0


class JobException(msgspec.Struct, frozen=True):
    """Why a job failed once."""

    stacktrace: str = ""


class ExceptionHistory(msgspec.Struct, frozen=True):
    """The failures of a job, the newest first."""

    entries: list[JobException] = []


class Exceptions(msgspec.Struct, frozen=True, rename="camel"):
    """``/jobs/:id/exceptions``."""

    exception_history: ExceptionHistory = ExceptionHistory()


class Overview(msgspec.Struct, frozen=True, rename="kebab"):
    """``/overview``."""

    flink_version: str


class Triggered(msgspec.Struct, frozen=True, rename="kebab"):
    """Of what was only begun."""

    request_id: str


class Status(msgspec.Struct, frozen=True):
    """Whether it is done."""

    id: str


class Cause(msgspec.Struct, frozen=True, rename="kebab"):
    """Why it failed."""

    stack_trace: str = ""


class SavepointOperation(msgspec.Struct, frozen=True, rename="kebab"):
    """What came of it."""

    location: str | None = None
    failure_cause: Cause | None = None


class Savepoint(msgspec.Struct, frozen=True):
    """``/jobs/:id/savepoints/:request``."""

    status: Status
    operation: SavepointOperation | None = None


class Errors(msgspec.Struct, frozen=True):
    """Any request that failed."""

    errors: list[str]
