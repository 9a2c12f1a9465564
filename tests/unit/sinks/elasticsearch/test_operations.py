"""What a bulk request holds of a document."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import encode, engagement_record
from mastostream.exceptions import ConfigurationError, FatalError, RetriableError
from mastostream.ports.index import Document
from mastostream.sinks.elasticsearch.operations import (
    bulk_operation,
    indexed_at_prefix,
    refusal_reason,
)
from mastostream.testing.strategies import posts

NAME = "mastodon-engagement"
NOW = "2024-01-01T00:00:00.000Z"
WHERE = "http://localhost:9200"
JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def lines(document: Document) -> list[bytes]:
    sent = bulk_operation(0, document, indexed_at_prefix(NOW)).lines
    assert sent.endswith(b"\n")
    return sent[:-1].split(b"\n")


@given(posts())
def test_a_record_goes_as_it_is_with_the_time_of_its_indexing(post: Any) -> None:
    body = encode(engagement_record(post))
    action, source = lines(Document(NAME, post.key, 7, body))
    assert json.loads(action) == {
        "index": {
            "_index": NAME,
            "_id": post.key,
            "version": 7,
            "version_type": "external_gte",
        }
    }
    assert source == b'{"indexed_at":"%b",%b' % (NOW.encode(), body[1:])


@given(posts(), st.sampled_from([None, b"{}"]))
def test_a_prefix_changes_the_name_of_the_index_and_nothing_else(
    post: Any, body: bytes | None
) -> None:
    document = Document(NAME, post.key, 7, body)
    plain, named = (
        bulk_operation(3, document, indexed_at_prefix(NOW), prefix) for prefix in ("", "team-a-")
    )
    assert plain == bulk_operation(3, document, indexed_at_prefix(NOW))
    assert named.lines == plain.lines.replace(b'"mastodon-e', b'"team-a-mastodon-e', 1)
    assert named._replace(lines=plain.lines) == plain


@given(st.dictionaries(st.text(), JSON_TEXTS, max_size=4), st.sampled_from([None, 0, 2]))
def test_however_it_is_spelled_it_stays_one_line(members: Any, indent: int | None) -> None:
    members.pop("indexed_at", None)
    body = json.dumps(members, indent=indent, ensure_ascii=False).encode()
    _, source = lines(Document(NAME, "a", 1, body))
    assert json.loads(source) == members | {"indexed_at": NOW}


@given(st.text(min_size=1, max_size=40), st.binary(max_size=60))
def test_no_bytes_begin_another_request(id_: str, tail: bytes) -> None:
    """Either it is refused, or it is two lines: the second is the server's to judge."""
    document = Document(NAME, id_, 1, b'{"a":1' + tail)
    try:
        sent = bulk_operation(0, document, indexed_at_prefix(NOW)).lines
    except (ValueError, msgspec.MsgspecError):
        return
    assert sent.count(b"\n") == 2
    assert json.loads(sent.split(b"\n")[0])["index"]["_id"] == id_


def test_a_deletion_is_one_line() -> None:
    (action,) = lines(Document(NAME, "a", 7, None))
    assert json.loads(action)["delete"]["version"] == 7


def test_versions_from_before_1970_count_as_none() -> None:
    assert bulk_operation(0, Document(NAME, "a", -5, b"{}"), indexed_at_prefix(NOW)).version == 0


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (Document("other", "a", 1, b"{}"), "no index other"),
        (Document(NAME, "", 1, b"{}"), "needs an id"),
        (Document(NAME, "é" * 257, 1, b"{}"), "512 bytes"),
        (Document(NAME, "\ud800", 1, b"{}"), "surrogates"),
        (Document(NAME, "a", 2**63, b"{}"), "64-bit"),
        (Document(NAME, "a", 1, b""), "truncated"),
        (Document(NAME, "a", 1, b"[]"), "object"),
        (Document(NAME, "a", 1, b'x"a":1}'), "malformed"),
        (Document(NAME, "a", 1, b'{"a":1}\n{"delete":{}}'), "trailing"),
        (Document(NAME, "a", 1, b'{"a":"x\ny"}'), "invalid character"),
        (Document(NAME, "a", 1, b"{\n" + b'"a":{' * 100_000), "recursion|truncated"),
    ],
)
def test_what_can_never_be_stored_says_why(document: Document, reason: str) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError, RecursionError), match=reason):
        bulk_operation(0, document, indexed_at_prefix(NOW))


def test_the_longest_id_is_taken() -> None:
    bulk_operation(0, Document(NAME, "é" * 256, 1, b"{}"), indexed_at_prefix(NOW))
    bulk_operation(0, Document(NAME, '"' * 512, 1, b"{}"), indexed_at_prefix(NOW))


def bulk_item(status: int, error: object = None) -> dict[str, Any]:
    return {"index": {"status": status} | ({} if error is None else {"error": error})}


@pytest.mark.parametrize(
    "outcome",
    [
        bulk_item(200),
        bulk_item(201),
        {"delete": {"status": 404}},
        bulk_item(409, {"type": "version_conflict_engine_exception"}),
    ],
)
def test_what_is_stored_or_known_newer_is_done(outcome: dict[str, Any]) -> None:
    assert refusal_reason(outcome, WHERE) is None


@pytest.mark.parametrize(
    "kind",
    [
        "document_parsing_exception",
        "strict_dynamic_mapping_exception",
        "illegal_argument_exception",
    ],
)
def test_a_document_that_does_not_fit_is_refused(kind: str) -> None:
    reason = refusal_reason(
        bulk_item(400, {"type": kind, "reason": "no write index, he wrote"}), WHERE
    )
    assert reason is not None
    assert kind in reason


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (429, "es_rejected_execution_exception", ""),
        (429, "cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/...]"),
        (403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/5/index read-only]"),
        (404, "index_not_found_exception", "require_alias"),
        (400, "index_closed_exception", "closed"),
        (400, "illegal_argument_exception", "no write index is defined for alias [x]"),
        (503, "unavailable_shards_exception", ""),
        (500, "already_closed_exception", ""),
    ],
)
def test_what_passes_is_tried_again(status: int, kind: str, reason: str) -> None:
    with pytest.raises(RetriableError, match=WHERE):
        refusal_reason(bulk_item(status, {"type": kind, "reason": reason}), WHERE)


def test_one_who_may_not_write_is_told() -> None:
    with pytest.raises(ConfigurationError, match="privileges"):
        refusal_reason(
            bulk_item(403, {"type": "security_exception", "reason": "unauthorized"}), WHERE
        )
    assert not issubclass(ConfigurationError, FatalError)


def test_the_time_of_the_opening_is_a_time() -> None:
    document = json.loads(indexed_at_prefix(NOW).removesuffix(b',"') + b"}")
    assert datetime.fromisoformat(document["indexed_at"]) == datetime(2024, 1, 1, tzinfo=UTC)
