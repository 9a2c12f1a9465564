"""In-memory fakes of the ports, for tests of stages and of programs that use them.

Each fake passes the conformance suite of its port in :mod:`mastostream.testing.conformance`, as the
real adapters do. No fake starts a thread. A test can let the calls of a fake fail::

    log, index = FakeLog(), FakeIndex()
    index.failures.add("write", RetriableError("the disk is full"))
    log.append("mastodon-engagement", b'{"key": "1", "observed_at": "2024-01-01T00:00:00Z"}')
"""

from mastostream.testing.fakes.archive import FakeArchive, FakeArchiveSink
from mastostream.testing.fakes.clock import FakeClock
from mastostream.testing.fakes.failures import Failures, Killed
from mastostream.testing.fakes.filesystem import WatchedFiles
from mastostream.testing.fakes.index import FakeIndex
from mastostream.testing.fakes.log import FakeEngineLog, FakeLog, FakeLogReader, FakeLogWriter
from mastostream.testing.fakes.source import FakeServer
from mastostream.testing.fakes.stream import FakeStreams

__all__ = [
    "Failures",
    "FakeArchive",
    "FakeArchiveSink",
    "FakeClock",
    "FakeEngineLog",
    "FakeIndex",
    "FakeLog",
    "FakeLogReader",
    "FakeLogWriter",
    "FakeServer",
    "FakeStreams",
    "Killed",
    "WatchedFiles",
]
