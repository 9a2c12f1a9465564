"""Real servers for tests: Kafka, Elasticsearch, HDFS and Flink, each on free ports of loopback.

In the topmost ``conftest.py``::

    pytest_plugins = ["mastostream.testing.servers"]

gives the fixtures ``kafka_server``, ``elasticsearch_server``, ``hdfs_server`` and
``flink_cluster``. Those that the chosen tests ask for are started at once, side by side, as soon as
the tests are collected, and end with the test run. Where pytest-xdist runs tests in several
processes, all of them share one of each. Where there is no Java, no network to get a server, or an
extra is missing, such tests are skipped, and say why; where ``MASTOSTREAM_REQUIRE_SERVERS`` is set
they fail. A test that stops or kills a server has to start it again, and no other test may run
meanwhile.

For a server with settings of its own there is :func:`server_or_skip`, without pytest
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

_FIXTURES: Final = {
    "kafka_server": "kafka",
    "elasticsearch_server": "elasticsearch",
    "hdfs_server": "hdfs",
    "flink_cluster": "flink",
}
_POOL: Final = pytest.StashKey[ServerPool]()
_POOL_FOLDER: Final = "mastostream_server_pool"
"""What a worker process of pytest-xdist is told by the process that started it."""

_Some = TypeVar("_Some", bound=Service)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker process of pytest-xdist where the pool is."""
    node.workerinput[_POOL_FOLDER] = str(_pool(node.config).folder)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start what the chosen tests need, without waiting for it."""
    if session.config.option.collectonly:
        return
    asked = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    for fixture, name in _FIXTURES.items():
        if fixture in asked:
            _pool(session.config).start(name)


def _pool(config: pytest.Config) -> ServerPool:
    """Return the pool of this run: of the process that began it, or one of our own."""
    if _POOL not in config.stash:
        folder = getattr(config, "workerinput", {}).get(_POOL_FOLDER)
        config.stash[_POOL] = pool = ServerPool(None if folder is None else Path(folder))
        config.add_cleanup(pool.close)
    return config.stash[_POOL]


@pytest.fixture(scope="session")
def kafka_server(pytestconfig: pytest.Config) -> KafkaServer:
    """A Kafka broker: ``.address``. Sessions of consumers may be as short as two seconds."""
    return _shared(pytestconfig, "kafka", KafkaServer)


@pytest.fixture(scope="session")
def elasticsearch_server(pytestconfig: pytest.Config) -> ElasticsearchServer:
    """An Elasticsearch node without security: ``.url``."""
    return _shared(pytestconfig, "elasticsearch", ElasticsearchServer)


@pytest.fixture(scope="session")
def hdfs_server(pytestconfig: pytest.Config) -> HdfsServer:
    """An HDFS: ``.url``, ``.webhdfs_url``, ``.namenode``, ``.datanode``."""
    return _shared(pytestconfig, "hdfs", HdfsServer)


@pytest.fixture(scope="session")
def flink_cluster(pytestconfig: pytest.Config) -> FlinkCluster:
    """A Flink session cluster: ``.address``, ``.jobmanager``, ``.taskmanager``."""
    return _shared(pytestconfig, "flink", FlinkCluster)


def _shared(config: pytest.Config, name: str, kind: type[_Some]) -> _Some:
    with _skipped_where_impossible():
        server = _pool(config).get(name)
    assert isinstance(server, kind)  # noqa: S101 - it tells mypy
    return server


@contextmanager
def _skipped_where_impossible() -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, RetriableError) as error:
        if os.environ.get(REQUIRE):
            raise
        pytest.skip(f"no server here: {error}")


@contextmanager
def server_or_skip(kind: Callable[..., _Some], **options: Any) -> Iterator[_Some]:
    """Run a server as the fixtures do: where it cannot run, the test is skipped, or fails.

    Args:
        kind: of server; see :func:`mastostream.testing.temporary.temporary_server`.
        options: what it takes besides folder and ports, such as ``settings``.
    """
    with ExitStack() as stack:
        with _skipped_where_impossible():
            server = stack.enter_context(temporary_server(kind, **options))
        yield server
