"""The engine on Apache Flink: the functions of the core inside its operators."""

from mastostream.engines.flink.running import LOCAL, FlinkEngine, check_cluster
from mastostream.engines.flink.tables import Topics

__all__ = ["LOCAL", "FlinkEngine", "Topics", "check_cluster"]
