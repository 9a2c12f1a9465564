"""The log in one SQLite file.

Writers in several processes take turns; readers do not wait for them. A record survives a crash of
the process and of the machine once ``append`` or ``commit`` has returned.
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
