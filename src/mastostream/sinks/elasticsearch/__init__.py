"""The index in Elasticsearch 8. Needs the extra ``elasticsearch``.

Which module knows what:

==================  ============================================================================
``connection``      how a server is reached, which version it is
``errors``          what an error of the client becomes
``definitions``     templates, mappings and settings of the indices
``setup``           makes what is missing
``operations``      the bytes of one document in a bulk request, and what its answer means
``tombstones``      what was deleted, for good
``writer``          :class:`ElasticsearchIndex`
``reader``          :class:`ElasticsearchIndexReader`
==================  ============================================================================
"""

from mastostream.exceptions import MissingExtraError

try:
    import elasticsearch as _client  # noqa: F401 - only whether it is there
except ImportError as error:
    raise MissingExtraError("Elasticsearch", "elasticsearch") from error

from mastostream.sinks.elasticsearch.connection import SECRETS, address
from mastostream.sinks.elasticsearch.index_reader import ElasticsearchIndexReader
from mastostream.sinks.elasticsearch.index_setup import SetupStep, set_up
from mastostream.sinks.elasticsearch.index_writer import CONNECTIONS, ElasticsearchIndex

__all__ = [
    "CONNECTIONS",
    "SECRETS",
    "ElasticsearchIndex",
    "ElasticsearchIndexReader",
    "SetupStep",
    "address",
    "set_up",
]
