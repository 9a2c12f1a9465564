"""The engine in plain Python: one process, one pass, each record decoded once."""

from mastostream.engines.local.local_engine import EngineStats, LocalEngine

__all__ = ["EngineStats", "LocalEngine"]
