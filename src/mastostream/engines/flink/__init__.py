"""The engine on Apache Flink: Flink's operators call the functions of the core."""

from mastostream.engines.flink.cluster import ENDED, LOCAL, Cluster, ClusterJob, check_cluster
from mastostream.engines.flink.ddl import OnError, Topics
from mastostream.engines.flink.job import FlinkJob
from mastostream.engines.flink.job_stage import FlinkEngine
from mastostream.engines.flink.python_bundle import PythonBundle, bundle_name, check_bundle, pack
from mastostream.engines.flink.results import record_of
from mastostream.engines.flink.statements import SQL_NAMES, SqlFile, read_sql

__all__ = [
    "ENDED",
    "LOCAL",
    "SQL_NAMES",
    "Cluster",
    "ClusterJob",
    "FlinkEngine",
    "FlinkJob",
    "OnError",
    "PythonBundle",
    "SqlFile",
    "Topics",
    "bundle_name",
    "check_bundle",
    "check_cluster",
    "pack",
    "read_sql",
    "record_of",
]
