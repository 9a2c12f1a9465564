"""The index in Elasticsearch 8. Needs the extra ``elasticsearch``.

The modules:

======================  ========================================================================
``cluster_connection``  connects to a server and checks its version
``errors``              translates the client's errors
``definitions``         templates, mappings and settings of the indices
``index_setup``         creates and updates templates, indices and aliases
``operations``          the bytes of one document in a bulk request, and what the response means
``tombstones``          remembers deleted documents for good
``index_writer``        :class:`ElasticsearchIndex`
``index_reader``        :class:`ElasticsearchIndexReader`
======================  ========================================================================
"""

from mastostream.exceptions import MissingExtraError

try:
    import elasticsearch as _client  # noqa: F401 - imported to see if it is installed
except ImportError as error:
    raise MissingExtraError("Elasticsearch", "elasticsearch") from error

from mastostream.sinks.elasticsearch.cluster_connection import SECRETS, address
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
