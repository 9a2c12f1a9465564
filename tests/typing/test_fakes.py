"""To a type checker each fake is what its port describes; checked by mypy, and runs as well."""

from mastostream.ports.clock import Clock
from mastostream.ports.filesystem import FileSystem
from mastostream.ports.index import IndexWriter
from mastostream.ports.log import EngineLog, LogReader, LogWriter
from mastostream.ports.sink import ArchiveSink
from mastostream.ports.source import MastodonServer
from mastostream.ports.stream import Streams
from mastostream.testing.fakes import (
    FakeArchive,
    FakeClock,
    FakeIndex,
    FakeLog,
    FakeServer,
    FakeStreams,
    WatchedFiles,
)


def test_each_fake_is_what_its_port_describes() -> None:
    log = FakeLog()
    writer: LogWriter = log.writer()
    reader: LogReader = log.reader("topic", "group")
    engine: EngineLog = log.engine("topic")
    index: IndexWriter = FakeIndex()
    sink: ArchiveSink = FakeArchive().sink()
    server: MastodonServer = FakeServer()
    streams: Streams = FakeStreams(lambda _: None)
    for each in (writer, reader, engine, index, sink, server, streams):
        each.close()


def check(files: FileSystem) -> tuple[Clock, FileSystem]:
    return FakeClock(), WatchedFiles(files, lambda _when, _step: None)
