"""Real servers for tests: Kafka, Elasticsearch, HDFS and Flink, each on free ports of loopback.

In ``conftest.py``::

    pytest_plugins = ["mastostream.testing.servers"]

gives the fixtures ``kafka_server``, ``elasticsearch_server``, ``hdfs_server`` and
``flink_cluster``: started when a test first asks for them, ended with the session. Where there is
no Java, no network to get a server, or an extra is missing, such tests are skipped, and say why;
where ``MASTOSTREAM_REQUIRE_SERVERS`` is set they fail. A test that stops or kills a server has to
start it again.

For a server with settings of its own there is :func:`server_or_skip`, without pytest
:func:`mastostream.testing.temporary.temporary_server`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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

_Some = TypeVar("_Some", bound=Service)


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer]:
    """A Kafka broker: ``.address``."""
    with server_or_skip(KafkaServer) as server:
        yield server


@pytest.fixture(scope="session")
def elasticsearch_server() -> Iterator[ElasticsearchServer]:
    """An Elasticsearch node without security: ``.url``."""
    with server_or_skip(ElasticsearchServer) as server:
        yield server


@pytest.fixture(scope="session")
def hdfs_server() -> Iterator[HdfsServer]:
    """An HDFS: ``.url``, ``.webhdfs_url``, ``.namenode``, ``.datanode``."""
    with server_or_skip(HdfsServer) as server:
        yield server


@pytest.fixture(scope="session")
def flink_cluster() -> Iterator[FlinkCluster]:
    """A Flink session cluster: ``.address``, ``.jobmanager``, ``.taskmanager``."""
    with server_or_skip(FlinkCluster) as server:
        yield server


@contextmanager
def server_or_skip(kind: Callable[..., _Some], **options: Any) -> Iterator[_Some]:
    """Run a server as the fixtures do: where it cannot run, the test is skipped, or fails.

    Args:
        kind: of server; see :func:`mastostream.testing.temporary.temporary_server`.
        options: what it takes besides folder and ports, such as ``settings``.
    """
    with ExitStack() as stack:
        try:
            server = stack.enter_context(temporary_server(kind, **options))
        except (ConfigurationError, RetriableError) as error:
            if os.environ.get(REQUIRE):
                raise
            pytest.skip(f"no server here: {error}")
        yield server
