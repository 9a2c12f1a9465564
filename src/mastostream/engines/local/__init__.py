"""The local engine, in plain Python: one process, which decodes each record once."""

from mastostream.engines.local.local_engine import EngineStats, LocalEngine

__all__ = ["EngineStats", "LocalEngine"]
