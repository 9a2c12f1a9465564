"""The engine on Apache Flink: the functions of the core inside its operators."""

from mastostream.engines.flink.archive import Packed, archive_name, check_archive, pack
from mastostream.engines.flink.cluster import ENDED, LOCAL, Cluster, ClusterJob, check_cluster
from mastostream.engines.flink.job import Job
from mastostream.engines.flink.results import record_of
from mastostream.engines.flink.running import FlinkEngine
from mastostream.engines.flink.statements import SQL_NAMES, SqlFile, delay_literal, read_sql
from mastostream.engines.flink.tables import OnError, Topics

__all__ = [
    "ENDED",
    "LOCAL",
    "SQL_NAMES",
    "Cluster",
    "ClusterJob",
    "FlinkEngine",
    "Job",
    "OnError",
    "Packed",
    "SqlFile",
    "Topics",
    "archive_name",
    "check_archive",
    "check_cluster",
    "delay_literal",
    "pack",
    "read_sql",
    "record_of",
]
