"""What is logged of what is seen."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream import Deletion, Post, decode
from mastostream.collector.intake import Gone, Intake
from mastostream.collector.memory import CollectorMemory
from mastostream.collector.sighting import KeyBy, Sighting, identify
from mastostream.collector.traces import trace_of
from mastostream.core.consent import ConsentPolicy
from mastostream.core.metrics import from_ms
from mastostream.ports.log import Record

NOW = 1_750_000_000_000
KEY = b"0123456789abcdef"


class Log:
    """Logs and remembers what an intake lets through."""

    def __init__(self, path: Path, key_by: KeyBy = "id", **options: object) -> None:
        self.memory = CollectorMemory(path, key_by=key_by, refresh_after_s=(60,))
        self.intake = Intake(self.memory, **options)  # type: ignore[arg-type]  # by name
        self.values: list[bytes] = []

    def take(self, *seen: Sighting | Gone) -> list[str]:
        """Return what was logged, as events."""
        sifted = self.intake.sift(seen)
        records = [
            Record(new.topic, 0, len(self.values) + order, NOW, new.key, new.value)
            for order, new in enumerate(sifted.records)
        ]
        traces = [trace for record in records if (trace := trace_of(record))]
        self.memory.remember([*traces, *sifted.left_out], {}, {}, NOW)
        self.memory.seen_again(sifted.again, NOW)
        self.memory.hasten(sifted.hasten, NOW)
        self.values += [record.value for record in records]
        return [json.loads(record.value)["mastostream"]["event"] for record in records]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path / "m")
    yield made
    made.memory.close()


def iso(ms: int) -> str:
    return from_ms(ms).isoformat()


def seen(
    post_id: str = "1",
    event: str = "new",
    edited_ms: int | None = None,
    at_ms: int = NOW,
    server: str = "s.example",
    key_by: KeyBy = "id",
    **members: object,
) -> Sighting:
    status = {
        "id": post_id,
        "uri": f"https://home.example/{post_id[-1]}",
        "created_at": iso(NOW - 1000),
        "account": {"acct": "somebody@home.example"},
        "content": f"as of {edited_ms}",
    }
    if edited_ms is not None:
        status["edited_at"] = iso(edited_ms)
    raw = json.dumps(status | members).encode()
    return identify(raw, instance=server, key_by=key_by, event=event, observed_ms=at_ms)  # type: ignore[arg-type]


def assert_versions_rise(log: Log) -> None:
    times = [
        datetime.fromisoformat(json.loads(value)["mastostream"]["observed_at"])
        for value in log.values
    ]
    assert times == sorted(set(times))


def test_a_post_is_logged_once_however_often_it_is_seen(log: Log) -> None:
    assert log.take(seen(), seen()) == ["new"]
    assert log.take(seen(), seen(event="edit")) == []
    assert (log.intake.stats.new, log.intake.stats.known) == (1, 3)


def test_a_refresh_is_logged_each_time(log: Log) -> None:
    assert log.take(seen(), seen(event="refresh")) == ["new", "refresh"]
    assert log.take(seen(event="refresh", at_ms=NOW + 1)) == ["refresh"]


def test_an_edit_that_a_refresh_or_a_page_shows_is_an_edit(log: Log) -> None:
    log.take(seen())
    assert log.take(seen(event="refresh", edited_ms=NOW + 1)) == ["edit"]
    assert log.take(seen(event="new", edited_ms=NOW + 2)) == ["edit"]


@given(st.permutations(range(5)), st.booleans())
def test_the_newest_edit_wins_in_whatever_order_edits_arrive(
    tmp_path_factory: pytest.TempPathFactory, order: Sequence[int], together: bool
) -> None:
    log = Log(tmp_path_factory.mktemp("m") / "m")
    versions = [
        seen(event="edit" if n else "new", edited_ms=NOW + n if n else None, at_ms=NOW + 9)
        for n in order
    ]
    for batch in [versions] if together else [[each] for each in versions]:
        log.take(*batch)
    assert_versions_rise(log)
    assert json.loads(log.values[-1])["content"] == f"as of {NOW + 4}"
    log.memory.close()


def test_nothing_brings_a_deleted_post_back(log: Log) -> None:
    log.take(seen())
    assert log.take(Gone("s.example", "1", NOW + 1)) == ["delete"]
    assert log.take(Gone("s.example", "1", NOW + 2), seen(edited_ms=NOW + 3)) == []
    assert log.take(seen(event="refresh")) == []
    assert log.intake.stats.after_delete == 2


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("key_by", ["id", "uri"])
def test_a_delete_may_overtake_its_post(tmp_path: Path, key_by: KeyBy, together: bool) -> None:
    log = Log(tmp_path / "m", key_by)
    gone, post = Gone("s.example", "1", NOW), seen(key_by=key_by)
    if together:
        assert log.take(gone, post) == []
    else:
        assert log.take(gone) == []
        assert log.take(post) == []
    assert log.take(seen("2", key_by=key_by), Gone("s.example", "2", NOW)) == ["new", "delete"]
    log.memory.close()


def test_a_delete_of_an_unknown_post_is_taken_calmly(log: Log) -> None:
    assert log.take(Gone("s.example", "999", NOW)) == []
    assert log.values == []


def test_one_post_on_several_servers_is_one_post(tmp_path: Path) -> None:
    log = Log(tmp_path / "m", "uri")
    first = seen("11", server="s.example", key_by="uri")
    second = seen("21", server="t.example", key_by="uri")
    assert log.take(first) == ["new"]
    assert log.take(second) == []
    assert log.take(Gone("t.example", "21", NOW)) == ["delete"]
    deletion = decode(log.values[-1])
    assert isinstance(deletion, Deletion)
    assert (deletion.key, deletion.id, deletion.uri) == (first.key, "21", first.key)
    log.memory.close()


@pytest.mark.parametrize("together", [True, False])
def test_counts_are_read_where_the_author_lives(tmp_path: Path, together: bool) -> None:
    log = Log(tmp_path / "m", "uri")
    far = seen("11", server="far.example", key_by="uri")
    home = seen("21", server="home.example", key_by="uri", account={"acct": "somebody"})
    for batch in [(far, home)] if together else [(far,), (home,)]:
        log.take(*batch)
    assert log.memory.refreshes.due("home.example", NOW + 59_999, 9) == []
    assert log.memory.refreshes.server_of(home.key) == "home.example"
    later = seen("11", event="edit", edited_ms=NOW + 1, server="far.example", key_by="uri")
    assert log.take(later) == ["edit"]
    due = log.memory.refreshes.due("home.example", NOW, 9)
    assert [each.id for each in due] == ["21"], "the edit brought the counts of another server"
    log.memory.close()


def test_versions_rise_even_if_the_clock_is_set_back(log: Log) -> None:
    log.take(seen(at_ms=NOW))
    log.take(seen(event="edit", edited_ms=NOW + 1, at_ms=NOW - 3_600_000))
    log.take(Gone("s.example", "1", NOW - 7_200_000))
    assert_versions_rise(log)
    assert len(log.values) == 3


def test_what_is_left_out_is_counted_once_and_never_logged(tmp_path: Path) -> None:
    policy = ConsentPolicy(leave_out_bots=True, languages=frozenset({"en"}))
    log = Log(tmp_path / "m", policy=policy)
    bot = seen("1", account={"acct": "a", "bot": True}, language="en")
    german, english = seen("2", language="de"), seen("3", language="en-GB")
    private = seen("4", visibility="private", language="en")
    assert log.take(bot, german, english, private) == ["new"]
    assert log.take(bot, german, private, seen("1", edited_ms=NOW + 1, language="en")) == []
    assert log.take(Gone("s.example", "1", NOW)) == []
    assert dict(log.intake.stats.left_out) == {"bot": 1, "language": 1, "visibility": 1}
    log.memory.close()


def test_pseudonyms_are_all_that_is_logged_of_names(tmp_path: Path) -> None:
    log = Log(tmp_path / "m", "uri", pseudonym_key=KEY)
    first = seen("11", key_by="uri")
    log.take(first)
    log.take(seen("11", event="refresh", key_by="uri"))
    log.take(Gone("s.example", "11", NOW))
    assert len({json.loads(value)["mastostream"]["key"] for value in log.values}) == 1
    for value in log.values:
        assert b"somebody" not in value
        assert b"home.example/" not in value
    assert isinstance(decode(log.values[0]), Post)
    log.memory.close()


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"", b"{}", b"[1]", b'{"id":[]}'])))
def test_bytes_that_are_no_status_are_logged_once_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes]
) -> None:
    log = Log(tmp_path_factory.mktemp("m") / "m")
    for body in bodies:
        sifted = log.intake.sift(
            [identify(body, instance="s", key_by="id", event="new", observed_ms=NOW)]
        )
        assert len(sifted.records) <= 1
    log.memory.close()


def test_a_boost_is_the_boosted_post(log: Log) -> None:
    inner = json.loads(seen("5").raw)
    wrapper = {"id": "77", "reblog": inner, "created_at": iso(NOW), "account": {"acct": "x"}}
    boost = identify(
        json.dumps(wrapper).encode(),
        instance="s.example",
        key_by="id",
        event="new",
        observed_ms=NOW,
    )
    assert (boost.id, boost.post_id, boost.key) == ("77", "5", "5")
    assert log.take(boost, seen("5")) == ["new"]
    assert log.take(Gone("s.example", "77", NOW)) == [], "only the boost is gone"
    assert log.take(Gone("s.example", "5", NOW)) == ["delete"]


def test_a_record_of_another_producer_is_known_by_its_key() -> None:
    value = b'{"id":"1","created_at":"2024-01-01T00:00:00Z","account":{"acct":"a"}}'
    trace = trace_of(Record("t", 0, 0, NOW, "1", value))
    assert trace is not None
    assert (trace.key, trace.event, trace.seen_ms) == ("1", "new", NOW)
    assert trace_of(Record("t", 0, 0, NOW, None, b"{broken")) is None
