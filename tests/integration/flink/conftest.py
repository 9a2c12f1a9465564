"""Fixtures: the places where analyses run on Flink."""

import pytest

from mastostream.services import FlinkCluster

CAMPAIGN = pytest.mark.campaign


@pytest.fixture(scope="module", params=["cluster", pytest.param("local", marks=CAMPAIGN)])
def on_flink(request: pytest.FixtureRequest, flink_cluster: FlinkCluster) -> tuple[str, ...]:
    """Options that run an analysis on Flink: on the session cluster, or within the command."""
    target = flink_cluster.address if request.param == "cluster" else "local"
    return ("--engine", "flink", "--target", target)
