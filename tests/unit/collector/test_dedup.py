"""Deduplication: which observations are logged."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream import Deletion, Post, decode
from mastostream.collector.dedup import Deduplicator, DeleteObserved
from mastostream.collector.observation import KeyBy, Observation, identify, seen_entry_of
from mastostream.collector.state_store import CollectorStateStore
from mastostream.core.consent import ConsentPolicy
from mastostream.core.time import from_ms, to_ms
from mastostream.ports.log import Record

NOW = 1_750_000_000_000
KEY = b"0123456789abcdef"


class Log:
    """A log and a state store, which carry out the plans of a deduplicator."""

    def __init__(self, path: Path, key_by: KeyBy = "id", **options: object) -> None:
        self.state_store = CollectorStateStore(path, key_by=key_by, refresh_after_s=(60,))
        self.dedup = Deduplicator(self.state_store, **options)  # type: ignore[arg-type]  # by name
        self.values: list[bytes] = []

    def take(self, *observations: Observation | DeleteObserved) -> list[str]:
        """Return the events of the records that were logged."""
        write_plan = self.dedup.plan(observations)
        records = [
            Record(new.topic, 0, len(self.values) + order, NOW, new.key, new.value)
            for order, new in enumerate(write_plan.records)
        ]
        entries = [entry for record in records if (entry := seen_entry_of(record))]
        self.state_store.remember([*entries, *write_plan.left_out], {}, {}, NOW)
        self.state_store.seen_again(write_plan.reobserved, NOW)
        self.state_store.expedite(write_plan.expedite, NOW)
        self.values += [record.value for record in records]
        return [json.loads(record.value)["mastostream"]["event"] for record in records]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path / "m")
    yield made
    made.state_store.close()


def iso(ms: int) -> str:
    return from_ms(ms).isoformat()


def observation(
    post_id: str = "1",
    event: str = "new",
    edited_ms: int | None = None,
    at_ms: int = NOW,
    server: str = "s.example",
    key_by: KeyBy = "id",
    **members: object,
) -> Observation:
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
    assert log.take(observation(), observation()) == ["new"]
    assert log.take(observation(), observation(event="edit")) == []
    assert (log.dedup.stats.new, log.dedup.stats.known) == (1, 3)


def test_a_refresh_is_logged_each_time(log: Log) -> None:
    assert log.take(observation(), observation(event="refresh")) == ["new", "refresh"]
    assert log.take(observation(event="refresh", at_ms=NOW + 1)) == ["refresh"]


def test_an_edit_that_a_refresh_or_a_page_shows_is_an_edit(log: Log) -> None:
    log.take(observation())
    assert log.take(observation(event="refresh", edited_ms=NOW + 1)) == ["edit"]
    assert log.take(observation(event="new", edited_ms=NOW + 2)) == ["edit"]


@given(st.permutations(range(5)), st.booleans())
def test_the_newest_edit_wins_in_whatever_order_edits_arrive(
    tmp_path_factory: pytest.TempPathFactory, order: Sequence[int], together: bool
) -> None:
    log = Log(tmp_path_factory.mktemp("m") / "m")
    versions = [
        observation(event="edit" if n else "new", edited_ms=NOW + n if n else None, at_ms=NOW + 9)
        for n in order
    ]
    for batch in [versions] if together else [[version] for version in versions]:
        log.take(*batch)
    assert_versions_rise(log)
    assert json.loads(log.values[-1])["content"] == f"as of {NOW + 4}"
    log.state_store.close()


def test_nothing_brings_a_deleted_post_back(log: Log) -> None:
    log.take(observation())
    assert log.take(DeleteObserved("s.example", "1", NOW + 1)) == ["delete"]
    assert log.take(DeleteObserved("s.example", "1", NOW + 2), observation(edited_ms=NOW + 3)) == []
    assert log.take(observation(event="refresh")) == []
    assert log.dedup.stats.after_delete == 2


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("key_by", ["id", "uri"])
def test_a_delete_may_overtake_its_post(tmp_path: Path, key_by: KeyBy, together: bool) -> None:
    log = Log(tmp_path / "m", key_by)
    delete, post = DeleteObserved("s.example", "1", NOW), observation(key_by=key_by)
    if together:
        assert log.take(delete, post) == []
    else:
        assert log.take(delete) == []
        assert log.take(post) == []
    assert log.take(observation("2", key_by=key_by), DeleteObserved("s.example", "2", NOW)) == [
        "new",
        "delete",
    ]
    log.state_store.close()


def test_a_delete_of_an_unknown_post_is_taken_calmly(log: Log) -> None:
    assert log.take(DeleteObserved("s.example", "999", NOW)) == []
    assert log.values == []


def test_one_post_on_several_servers_is_one_post(tmp_path: Path) -> None:
    log = Log(tmp_path / "m", "uri")
    first = observation("11", server="s.example", key_by="uri")
    second = observation("21", server="t.example", key_by="uri")
    assert log.take(first) == ["new"]
    assert log.take(second) == []
    assert log.take(DeleteObserved("t.example", "21", NOW)) == ["delete"]
    deletion = decode(log.values[-1])
    assert isinstance(deletion, Deletion)
    assert (deletion.key, deletion.id, deletion.uri) == (first.key, "21", first.key)
    log.state_store.close()


@pytest.mark.parametrize("together", [True, False])
def test_counts_are_read_where_the_author_lives(tmp_path: Path, together: bool) -> None:
    log = Log(tmp_path / "m", "uri")
    far = observation("11", server="far.example", key_by="uri")
    home = observation("21", server="home.example", key_by="uri", account={"acct": "somebody"})
    for batch in [(far, home)] if together else [(far,), (home,)]:
        log.take(*batch)
    assert log.state_store.refreshes.due("home.example", NOW + 59_999, 9) == []
    assert log.state_store.refreshes.server_of(home.key) == "home.example"
    later = observation("11", event="edit", edited_ms=NOW + 1, server="far.example", key_by="uri")
    assert log.take(later) == ["edit"]
    due = log.state_store.refreshes.due("home.example", NOW, 9)
    assert [post.id for post in due] == ["21"], "the edit brought the counts of another server"
    log.state_store.close()


def test_versions_rise_even_if_the_clock_is_set_back(log: Log) -> None:
    log.take(observation(at_ms=NOW))
    log.take(observation(event="edit", edited_ms=NOW + 1, at_ms=NOW - 3_600_000))
    log.take(DeleteObserved("s.example", "1", NOW - 7_200_000))
    assert_versions_rise(log)
    assert len(log.values) == 3


def test_what_is_left_out_is_counted_once_and_never_logged(tmp_path: Path) -> None:
    policy = ConsentPolicy(leave_out_bots=True, languages=frozenset({"en"}))
    log = Log(tmp_path / "m", policy=policy)
    bot = observation("1", account={"acct": "a", "bot": True}, language="en")
    german, english = observation("2", language="de"), observation("3", language="en-GB")
    private = observation("4", visibility="private", language="en")
    assert log.take(bot, german, english, private) == ["new"]
    assert log.take(bot, german, private, observation("1", edited_ms=NOW + 1, language="en")) == []
    assert log.take(DeleteObserved("s.example", "1", NOW)) == []
    assert dict(log.dedup.stats.left_out) == {"bot": 1, "language": 1, "visibility": 1}
    log.state_store.close()


def test_pseudonyms_are_all_that_is_logged_of_names(tmp_path: Path) -> None:
    log = Log(tmp_path / "m", "uri", pseudonym_key=KEY)
    first = observation("11", key_by="uri")
    log.take(first)
    log.take(observation("11", event="refresh", key_by="uri"))
    log.take(DeleteObserved("s.example", "11", NOW))
    assert len({json.loads(value)["mastostream"]["key"] for value in log.values}) == 1
    for value in log.values:
        assert b"somebody" not in value
        assert b"home.example/" not in value
    assert isinstance(decode(log.values[0]), Post)
    log.state_store.close()


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"", b"{}", b"[1]", b'{"id":[]}'])))
def test_bytes_that_are_no_status_are_logged_once_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes]
) -> None:
    log = Log(tmp_path_factory.mktemp("m") / "m")
    for body in bodies:
        write_plan = log.dedup.plan(
            [identify(body, instance="s", key_by="id", event="new", observed_ms=NOW)]
        )
        assert len(write_plan.records) <= 1
    log.state_store.close()


VALUES = st.one_of(
    st.sampled_from([None, False, 0, 1.5, "", [], {}, {"a": 1}, "x", 7]),
    st.sampled_from(["Mon, 21 Oct 2024 21:29:01 +0200", "2024-12-31T23:59:60Z", "2024-10-21"]),
)
WRONG = st.dictionaries(
    st.sampled_from(["id", "uri", "created_at", "edited_at", "account", "reblog", "tags"]), VALUES
)


@given(WRONG, st.none() | WRONG, st.sampled_from(["id", "uri"]))
def test_the_collector_reads_a_status_as_the_engines_do(
    wrong: dict[str, object], boosted: dict[str, object] | None, key_by: KeyBy
) -> None:
    """A wrong member that nobody needs leaves a post its key: it is no unreadable record."""
    status = json.loads(observation("5").raw) | wrong
    if boosted is not None:
        status["reblog"] = json.loads(observation("6").raw) | boosted
    raw = json.dumps(status).encode()
    seen = identify(raw, instance="s", key_by=key_by, event="new", observed_ms=NOW)
    post = decode(raw)
    if isinstance(post, Post):
        assert seen.post_id == post.id
        assert seen.key == (post.uri if key_by == "uri" and post.uri else post.id)
        assert seen.created_ms == to_ms(post.created_at)
        assert seen.edited_ms == (0 if post.edited_at is None else to_ms(post.edited_at))


def test_a_boost_is_the_boosted_post(log: Log) -> None:
    inner = json.loads(observation("5").raw)
    wrapper = {"id": "77", "reblog": inner, "created_at": iso(NOW), "account": {"acct": "x"}}
    boost = identify(
        json.dumps(wrapper).encode(),
        instance="s.example",
        key_by="id",
        event="new",
        observed_ms=NOW,
    )
    assert (boost.id, boost.post_id, boost.key) == ("77", "5", "5")
    assert log.take(boost, observation("5")) == ["new"]
    assert log.take(DeleteObserved("s.example", "77", NOW)) == [], "only the boost is gone"
    assert log.take(DeleteObserved("s.example", "5", NOW)) == ["delete"]


def test_a_record_of_another_producer_is_known_by_its_key() -> None:
    value = b'{"id":"1","created_at":"2024-01-01T00:00:00Z","account":{"acct":"a"}}'
    entry = seen_entry_of(Record("t", 0, 0, NOW, "1", value))
    assert entry is not None
    assert (entry.key, entry.event, entry.seen_ms) == ("1", "new", NOW)
    assert seen_entry_of(Record("t", 0, 0, NOW, None, b"{broken")) is None
