"""The archive: raw records in files that are named by topic, partition and offsets.

A file is written under a temporary name, made durable, and then renamed; afterwards it is never
written again. Temporary names begin with ``_``: the usual readers of such folders, Spark for
example, leave these files out.
"""

from mastostream.sinks.archive.archive_reader import values
from mastostream.sinks.archive.compacting import Compacted, compact_archive
from mastostream.sinks.archive.exporting import export_lines
from mastostream.sinks.archive.filesystems import LocalFiles, is_url, open_place
from mastostream.sinks.archive.lines import line_of, value_of
from mastostream.sinks.archive.listing import Listing, TopicPlace, list_archive, look, topic_place
from mastostream.sinks.archive.naming import ArchiveFile, breaks, parse_name, placed
from mastostream.sinks.archive.sink import FileArchive
from mastostream.sinks.archive.verifying import PartitionFacts, Verified, verify_archive

__all__ = [
    "ArchiveFile",
    "Compacted",
    "FileArchive",
    "Listing",
    "LocalFiles",
    "PartitionFacts",
    "TopicPlace",
    "Verified",
    "breaks",
    "compact_archive",
    "export_lines",
    "is_url",
    "line_of",
    "list_archive",
    "look",
    "open_place",
    "parse_name",
    "placed",
    "topic_place",
    "value_of",
    "values",
    "verify_archive",
]
