"""Each error of the client becomes one of ours, and says what to do."""

from collections.abc import Iterator
from typing import Any

import elastic_transport
import elasticsearch
import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig

from mastostream.exceptions import (
    ConfigurationError,
    FatalError,
    MastostreamError,
    RetriableError,
)
from mastostream.sinks.elasticsearch.errors import reason_text, translated

WHERE = "http://localhost:9200"


def kinds(root: type[Exception]) -> Iterator[type[Exception]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


ROOTS = (elastic_transport.ApiError, elastic_transport.TransportError)
KINDS = sorted({kind for root in ROOTS for kind in kinds(root)}, key=lambda kind: kind.__name__)


def answer(status: int, error: object = None) -> elasticsearch.ApiError:
    meta = ApiResponseMeta(
        status=status,
        http_version="1.1",
        headers=HttpHeaders(),
        duration=0.0,
        node=NodeConfig("http", "localhost", 9200),
    )
    return elasticsearch.ApiError("error", meta, {"error": error, "status": status})


def become(error: Exception) -> MastostreamError:
    with pytest.raises(MastostreamError) as caught, translated(WHERE):
        raise error
    assert caught.value.__cause__ is error
    assert WHERE in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_every_exception_of_the_client_is_translated(kind: type[Any]) -> None:
    if issubclass(kind, elastic_transport.ApiError):
        become(kind("message", answer(400).meta, None))
    else:
        become(kind("message"))


def test_the_client_has_the_exceptions_that_are_walked() -> None:
    assert {"TlsError", "ConnectionTimeout", "UnsupportedProductError", "ApiError"} <= {
        kind.__name__ for kind in KINDS
    }


def test_a_defect_is_not_translated() -> None:
    with pytest.raises(KeyError), translated(WHERE):
        raise KeyError("x")


@pytest.mark.parametrize(
    ("status", "error", "kind", "part"),
    [
        (429, {"type": "es_rejected_execution_exception"}, RetriableError, "cannot take it now"),
        (500, None, RetriableError, "cannot take it now"),
        (502, "Bad Gateway", RetriableError, "Bad Gateway"),
        (503, {"type": "unavailable_shards_exception"}, RetriableError, "unavailable_shards"),
        (504, None, RetriableError, "504"),
        (404, {"type": "index_not_found_exception"}, RetriableError, "--setup"),
        (403, {"type": "cluster_block_exception"}, RetriableError, "read-only"),
        (429, {"type": "cluster_block_exception"}, RetriableError, "read-only"),
        (400, {"type": "index_closed_exception"}, RetriableError, "closed"),
        (401, {"type": "security_exception"}, ConfigurationError, "ELASTICSEARCH_API_KEY"),
        (403, {"type": "security_exception"}, ConfigurationError, "privileges"),
        (406, None, ConfigurationError, "Elasticsearch 8"),
        (400, {"type": "media_type_header_exception"}, ConfigurationError, "Elasticsearch 8"),
        (404, None, ConfigurationError, "elasticsearch.hosts"),
        (405, None, ConfigurationError, "elasticsearch.hosts"),
        (301, None, ConfigurationError, "elasticsearch.hosts"),
        (400, {"type": "parse_exception", "reason": "why"}, FatalError, "parse_exception: why"),
    ],
)
def test_what_an_answer_means(
    status: int, error: object, kind: type[MastostreamError], part: str
) -> None:
    ours = become(answer(status, error))
    assert type(ours) is kind
    assert part in str(ours)


@pytest.mark.parametrize(
    ("cause", "kind", "part"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed", ConfigurationError, "ca_file"),
        ("Hostname mismatch, certificate is not valid for 'x'", ConfigurationError, "ca_file"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", ConfigurationError, "http://"),
        ("[SSL: RECORD_LAYER_FAILURE] record layer failure", ConfigurationError, "http://"),
        ("EOF occurred in violation of protocol", RetriableError, "secure connection"),
    ],
)
def test_trouble_with_tls(cause: str, kind: type[MastostreamError], part: str) -> None:
    error = elastic_transport.TlsError("tls")
    error.__cause__ = OSError(cause)
    with pytest.raises(MastostreamError) as caught, translated(WHERE):
        raise error
    ours = caught.value
    assert type(ours) is kind
    assert part in str(ours)


def test_a_strangers_text_decides_nothing_and_is_cut() -> None:
    quoted = f"Preview of field's value: 'no write index is defined for alias {'x' * 10_000}'"
    error = {"type": "document_parsing_exception", "reason": quoted}
    assert type(become(answer(400, error))) is FatalError
    assert len(reason_text(error)) <= 500
