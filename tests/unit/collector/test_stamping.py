"""The stamp that the collector adds to a status."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from mastostream import Stamp
from mastostream.collector import stamp_raw

NOW = datetime(2024, 1, 1, tzinfo=UTC)
STAMP = Stamp(key="k", instance="i", observed_at=NOW)
OBJECTS = st.dictionaries(
    st.text(max_size=5) | st.just("mastostream"), st.integers() | st.text(max_size=5), max_size=5
)


@given(OBJECTS, st.sampled_from(["", " ", "\n"]))
def test_a_stamp_keeps_every_member_and_is_the_only_one(
    members: dict[str, object], end: str
) -> None:
    stamped = json.loads(stamp_raw((json.dumps(members) + end).encode(), STAMP))
    assert stamped.pop("mastostream")["key"] == "k"
    members.pop("mastostream", None)
    assert stamped == members


def test_a_stamp_leaves_the_servers_bytes_as_they_are() -> None:
    raw = b'{ "id" : "1", "n":1.50, "u":"\\u00e9\xe2\x80\xa8" }'
    assert stamp_raw(raw, STAMP).startswith(raw[:-2] + b',"mastostream":{')
