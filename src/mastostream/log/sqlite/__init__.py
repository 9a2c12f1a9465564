"""A log in one SQLite file.

Writers of several processes take turns, readers do not wait for them. What ``append`` or
``commit`` has returned for survives the end of the process and of the machine.
"""

from mastostream.log.sqlite.engine_log import SqliteEngineLog
from mastostream.log.sqlite.pruning import Retention, RetentionStage, apply_retention
from mastostream.log.sqlite.reader import SqliteLogReader
from mastostream.log.sqlite.topics import topic_facts
from mastostream.log.sqlite.writer import SqliteLogWriter

__all__ = [
    "Retention",
    "RetentionStage",
    "SqliteEngineLog",
    "SqliteLogReader",
    "SqliteLogWriter",
    "apply_retention",
    "topic_facts",
]
