"""The client of a cluster: its requests to a JobManager, and how it reads the responses."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from mastostream.engines.flink import Cluster
from mastostream.engines.flink.cluster import SourceCounts
from mastostream.exceptions import BusyError, ConfigurationError, FatalError, RetriableError

NO_FOLDER = (
    "org.apache.flink.runtime.rest.handler.RestHandlerException: Config key "
    "[execution.checkpointing.savepoint-dir] is not set. Property [target-directory] must be "
    "provided.\n\tat org.apache.flink\n"
)


@pytest.fixture
def cluster(jobmanager: Any) -> Iterator[Cluster]:
    with Cluster(jobmanager.target) as cluster:
        yield cluster


def test_jobs_that_run_come_first(jobmanager: Any, cluster: Cluster) -> None:
    jobmanager.holds(("a", "old", "FINISHED"), ("b", "new", "RUNNING"))
    jobs = [cluster.detailed(job) for job in cluster.jobs()]
    assert [(job.name, job.state, job.id) for job in jobs] == [
        ("new", "RUNNING", "b" * 32),
        ("old", "FINISHED", "a" * 32),
    ]
    assert (jobs[0].restarts, jobs[0].checkpoint_ms) == (3, 1_700_000_060_000)
    assert jobs[0].failure == "Lost: it is gone"


def test_a_failure_is_told_before_its_restart_is_counted(jobmanager: Any, cluster: Cluster) -> None:
    """A JobManager's metrics are up to ten seconds old."""
    jobmanager.holds(("a", "one", "RUNNING"))
    restarts = f"GET /jobs/{'a' * 32}/metrics?get=numRestarts"
    for metrics in ([], [{"id": "numRestarts", "value": "0"}]):
        jobmanager.answers[restarts] = (200, metrics)
        assert cluster.detailed(cluster.jobs()[0]).failure == "Lost: it is gone"


def test_what_sources_leave_out_is_counted_once(jobmanager: Any, cluster: Cluster) -> None:
    """All sources of a job read the same topic."""
    jobmanager.holds(("a", "one", "RUNNING"))
    jobmanager.reads("a" * 32, posts=(990, 985), others=(1_000, 993))
    assert cluster.sources("a" * 32) == (1_000, 7)
    assert cluster.detailed(cluster.named("one")).dropped == 7


@pytest.mark.parametrize(
    ("before", "now", "read", "dropped"),
    [
        ((0, 0), (10, 1), 10, 0),  # the record may be under way
        ((10, 1), (10, 1), 0, 1),  # it was not under way
        ((10, 1), (15, 3), 5, 2),
        ((10, 1), (12, 0), 2, 0),  # it was under way
        ((10, 1), (4, 0), 4, 0),  # the job has restarted
    ],
)
def test_what_is_under_way_is_not_left_out(
    before: tuple[int, int], now: tuple[int, int], read: int, dropped: int
) -> None:
    earlier, counts = SourceCounts(*before), SourceCounts(*now)
    assert (counts.read_since(earlier), counts.surely_dropped(earlier)) == (read, dropped)


def test_what_a_job_that_is_starting_has_read_is_not_told(
    jobmanager: Any, cluster: Cluster
) -> None:
    jobmanager.holds(("a", "one", "RUNNING"))
    jobmanager.reads("a" * 32)
    assert cluster.sources("a" * 32) is None
    jobmanager.reads("a" * 32, posts=(10, 10))
    path = f"GET /jobs/{'a' * 32}/vertices/v1/subtasks/metrics"
    jobmanager.answers[path] = (200, [])
    assert cluster.sources("a" * 32) is None
    assert cluster.detailed(cluster.named("one")).dropped is None


def test_a_job_is_found_by_its_name_or_its_id(jobmanager: Any, cluster: Cluster) -> None:
    jobmanager.holds(("a", "one", "RUNNING"), ("b", "two", "RUNNING"), ("c", "one", "CANCELED"))
    assert cluster.named("one").id == "a" * 32
    assert cluster.named("b" * 32).name == "two"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("three", "no job is named three at .*: choose one of those that run, one, two"),
        ("two", "2 jobs named two run at .*: say which by its id, one of b{32}, c{32}"),
        ("gone", r"the job gone has ended at .* \(FAILED\): choose"),
    ],
)
def test_a_job_that_cannot_be_told_apart_is_explained(
    jobmanager: Any, cluster: Cluster, name: str, message: str
) -> None:
    jobmanager.holds(
        ("a", "one", "RUNNING"),
        ("b", "two", "RUNNING"),
        ("c", "two", "RESTARTING"),
        ("d", "gone", "FAILED"),
    )
    with pytest.raises(ConfigurationError, match=message):
        cluster.named(name)


def test_where_nothing_runs_that_is_said(jobmanager: Any, cluster: Cluster) -> None:
    jobmanager.holds()
    with pytest.raises(ConfigurationError, match="no other runs there: is it the right --target"):
        cluster.named("one")


def test_a_name_cannot_steer_a_terminal(jobmanager: Any, cluster: Cluster) -> None:
    jobmanager.holds(("a", "\x1b[2Jevil\n", "RUNNING"))
    assert cluster.jobs()[0].name == "?[2Jevil?"


def test_a_name_is_taken_only_while_its_job_runs(jobmanager: Any, cluster: Cluster) -> None:
    jobmanager.holds(("a", "one", "RESTARTING"), ("b", "two", "FINISHED"))
    cluster.check_free("two")
    with pytest.raises(BusyError, match=r"a job named one runs .* flink savepoint one --stop"):
        cluster.check_free("one")


@pytest.mark.parametrize(
    ("stop", "path", "body"),
    [
        (False, "savepoints", {"formatType": "CANONICAL", "target-directory": "hdfs:///s"}),
        (True, "stop", {"formatType": "CANONICAL", "targetDirectory": "hdfs:///s", "drain": True}),
    ],
)
def test_a_savepoint_is_asked_for_and_waited_for(
    jobmanager: Any, cluster: Cluster, stop: bool, path: str, body: object
) -> None:
    jobmanager.holds(("a", "one", "RUNNING"))
    job = cluster.named("one")
    where = f"/jobs/{job.id}"
    jobmanager.answers[f"POST {where}/{path}"] = (202, {"request-id": "r"})
    request = cluster.begin_savepoint(job, "hdfs:///s", stop=stop, drain=stop)
    assert jobmanager.asked[-1] == (f"POST {where}/{path}", body)
    status: dict[str, object] = {"status": {"id": "IN_PROGRESS"}}
    jobmanager.answers[f"GET {where}/savepoints/r"] = (200, status)
    assert cluster.savepoint(job, request) is None
    status |= {"status": {"id": "COMPLETED"}, "operation": {"location": "hdfs:///s/1"}}
    assert cluster.savepoint(job, request) == "hdfs:///s/1"
    cause = {
        "failure-cause": {"stack-trace": "a.B: x\nCaused by: c.D: Failure reason: no space.\n"}
    }
    status |= {"operation": cause}
    with pytest.raises(FatalError, match="the savepoint of one failed: no space; the job goes on"):
        cluster.savepoint(job, request)


def test_a_savepoint_without_a_folder_says_where_to_set_one(
    jobmanager: Any, cluster: Cluster
) -> None:
    jobmanager.holds(("a", "one", "RUNNING"))
    job = cluster.named("one")
    jobmanager.refuses(f"POST /jobs/{job.id}/savepoints", 400, NO_FOLDER)
    with pytest.raises(ConfigurationError, match="say one with --folder"):
        cluster.begin_savepoint(job, "", stop=False, drain=False)


def test_a_savepoint_of_a_job_that_is_starting_is_for_later(
    jobmanager: Any, cluster: Cluster
) -> None:
    jobmanager.holds(("a", "one", "RUNNING"))
    _, overview = jobmanager.answers["GET /jobs/overview"]
    overview["jobs"][0]["tasks"]["running"] = 1
    with pytest.raises(RetriableError, match=r"just starting .1 of 2 tasks run"):
        cluster.begin_savepoint(cluster.named("one"), "", stop=False, drain=False)


def test_a_cancelled_job_is_asked_about_until_it_has_ended(
    jobmanager: Any, cluster: Cluster
) -> None:
    jobmanager.holds(("a", "one", "RUNNING"))
    job = cluster.named("one")
    jobmanager.answers[f"PATCH /jobs/{job.id}?mode=cancel"] = (202, {})
    cluster.cancel(job)
    jobmanager.holds(("a", "one", "CANCELED"))
    assert cluster.state(job.id) == "CANCELED"
    jobmanager.holds()
    with pytest.raises(FatalError, match="does not know the job"):
        cluster.state(job.id)


@pytest.mark.parametrize("response", [(200, b"<html>"), (200, {"a": 1}), (404, b"not here")])
def test_what_is_no_jobmanager_is_told(
    jobmanager: Any, cluster: Cluster, response: tuple[int, object]
) -> None:
    jobmanager.answers["GET /jobs/overview"] = response
    with pytest.raises(ConfigurationError, match="is no JobManager of Flink"):
        cluster.jobs()


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Cluster(f"127.0.0.1:{port}") as cluster, pytest.raises(RetriableError, match="can be rea"):
        cluster.jobs()


@pytest.mark.parametrize("target", ["local", "cluster", "cluster:x", ":8081"])
def test_a_target_that_is_none_is_told(target: str) -> None:
    with pytest.raises(ConfigurationError, match=r"flink\.target"):
        Cluster(target)
