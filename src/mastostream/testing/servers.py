"""pytest fixtures for real servers: Kafka, Elasticsearch, HDFS and Flink on free loopback ports.

Put this into the topmost ``conftest.py``::

    pytest_plugins = ["mastostream.testing.servers"]

It provides the fixtures ``kafka_server``, ``elasticsearch_server``, ``hdfs_server`` and
``flink_cluster``. The servers that the selected tests use are started in parallel as soon as the
tests are collected, and end with the test run. If pytest-xdist runs tests in several processes, all
processes share one server of each kind.

If Java is missing, or the network for a download, or an optional dependency, tests that need a
server are skipped with the reason. They fail instead if ``MASTOSTREAM_REQUIRE_SERVERS`` is set. A
test that stops or kills a server has to start it again, and no other test may run meanwhile.

For a server with other settings use :func:`server_or_skip`, or without pytest
:func:`mastostream.testing.temporary.temporary_server`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from mastostream.exceptions import ConfigurationError, RetriableError
from mastostream.services import (
    ElasticsearchServer,
    FlinkCluster,
    HdfsServer,
    KafkaServer,
    Service,
)
from mastostream.testing.server_pool import ServerPool
from mastostream.testing.temporary import temporary_server

__all__ = [
    "REQUIRE",
    "elasticsearch_server",
    "flink_cluster",
    "hdfs_server",
    "kafka_server",
    "server_or_skip",
]

REQUIRE: Final = "MASTOSTREAM_REQUIRE_SERVERS"
"""The environment variable that lets tests fail where no server can run, instead of skipping."""

_SERVER_NAMES: Final = {
    "kafka_server": "kafka",
    "elasticsearch_server": "elasticsearch",
    "hdfs_server": "hdfs",
    "flink_cluster": "flink",
}
_POOL: Final = pytest.StashKey[ServerPool]()
_POOL_FOLDER: Final = "mastostream_server_pool"
"""The key under which a worker process of pytest-xdist receives the folder of the pool."""

_ServiceT = TypeVar("_ServiceT", bound=Service)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Send the folder of the pool to a worker process of pytest-xdist."""
    node.workerinput[_POOL_FOLDER] = str(_pool(node.config).folder)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the servers that the selected tests need, without waiting for them."""
    if session.config.option.collectonly:
        return
    needed = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    for fixture, name in _SERVER_NAMES.items():
        if fixture in needed:
            _pool(session.config).start(name)


def _pool(config: pytest.Config) -> ServerPool:
    """Return the pool of this test run: that of the process that began the run, or a new one."""
    if _POOL not in config.stash:
        folder = getattr(config, "workerinput", {}).get(_POOL_FOLDER)
        config.stash[_POOL] = pool = ServerPool(None if folder is None else Path(folder))
        config.add_cleanup(pool.close)
    return config.stash[_POOL]


@pytest.fixture(scope="session")
def kafka_server(pytestconfig: pytest.Config) -> KafkaServer:
    """A Kafka broker with ``.address``. Consumer sessions may be as short as two seconds."""
    return _shared(pytestconfig, "kafka", KafkaServer)


@pytest.fixture(scope="session")
def elasticsearch_server(pytestconfig: pytest.Config) -> ElasticsearchServer:
    """An Elasticsearch node without security, with ``.url``."""
    return _shared(pytestconfig, "elasticsearch", ElasticsearchServer)


@pytest.fixture(scope="session")
def hdfs_server(pytestconfig: pytest.Config) -> HdfsServer:
    """An HDFS with ``.url``, ``.webhdfs_url``, ``.namenode`` and ``.datanode``."""
    return _shared(pytestconfig, "hdfs", HdfsServer)


@pytest.fixture(scope="session")
def flink_cluster(pytestconfig: pytest.Config) -> FlinkCluster:
    """A Flink session cluster with ``.address``, ``.jobmanager`` and ``.taskmanager``."""
    return _shared(pytestconfig, "flink", FlinkCluster)


def _shared(config: pytest.Config, name: str, kind: type[_ServiceT]) -> _ServiceT:
    with _skip_if_impossible():
        server = _pool(config).get(name)
    assert isinstance(server, kind)  # noqa: S101 - mypy needs it
    return server


@contextmanager
def _skip_if_impossible() -> Iterator[None]:
    """Skip the test if a server cannot run here; with :data:`REQUIRE`, let the test fail."""
    try:
        yield
    except (ConfigurationError, RetriableError) as error:
        if os.environ.get(REQUIRE):
            raise
        pytest.skip(f"no server here: {error}")


@contextmanager
def server_or_skip(kind: Callable[..., _ServiceT], **options: Any) -> Iterator[_ServiceT]:
    """Run a server for one block; if it cannot run here, skip the test as the fixtures do.

    Args:
        kind: the class of the server; see
            :func:`mastostream.testing.temporary.temporary_server`.
        options: arguments of the class besides the folder and the ports, such as ``settings``.
    """
    with ExitStack() as stack:
        with _skip_if_impossible():
            server = stack.enter_context(temporary_server(kind, **options))
        yield server
