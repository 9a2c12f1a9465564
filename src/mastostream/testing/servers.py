"""Real servers for tests: Kafka, Elasticsearch, HDFS and Flink, each on free ports of loopback.

In ``conftest.py``::

    pytest_plugins = ["mastostream.testing.servers"]

gives the fixtures ``kafka_server``, ``elasticsearch_server``, ``hdfs_server`` and
``flink_cluster``: started when a test first asks for them, ended with the session. Where there is
no Java, no network to get a server, or an extra is missing, such tests are skipped, and say why;
where ``MASTOSTREAM_REQUIRE_SERVERS`` is set they fail. A test that stops or kills a server has to
start it again.

Without pytest, or for a server with settings of its own, there is
:func:`mastostream.testing.temporary.temporary_server`.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, TypeVar

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
]

REQUIRE: Final = "MASTOSTREAM_REQUIRE_SERVERS"

_Some = TypeVar("_Some", bound=Service)


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer]:
    """A Kafka broker: ``.address``."""
    yield from _running(KafkaServer)


@pytest.fixture(scope="session")
def elasticsearch_server() -> Iterator[ElasticsearchServer]:
    """An Elasticsearch node without security: ``.url``."""
    yield from _running(ElasticsearchServer)


@pytest.fixture(scope="session")
def hdfs_server() -> Iterator[HdfsServer]:
    """An HDFS: ``.url``, ``.webhdfs_url``, ``.namenode``, ``.datanode``."""
    yield from _running(HdfsServer)


@pytest.fixture(scope="session")
def flink_cluster() -> Iterator[FlinkCluster]:
    """A Flink session cluster: ``.address``, ``.jobmanager``, ``.taskmanager``."""
    yield from _running(FlinkCluster)


def _running(kind: type[_Some]) -> Iterator[_Some]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(temporary_server(kind))
        except (ConfigurationError, RetriableError) as error:
            if os.environ.get(REQUIRE):
                raise
            pytest.skip(f"no server here: {error}")
        yield server
