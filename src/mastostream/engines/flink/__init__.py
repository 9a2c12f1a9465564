"""The engine on Apache Flink: the functions of the core inside its operators."""

from mastostream.engines.flink.running import LOCAL, FlinkEngine, Job, check_cluster
from mastostream.engines.flink.tables import OnError, Topics

__all__ = ["LOCAL", "FlinkEngine", "Job", "OnError", "Topics", "check_cluster"]
