"""The collector's state store."""

from pathlib import Path

import pytest

from mastostream.collector.observation import SeenEntry
from mastostream.collector.refresh_queue import Due
from mastostream.collector.state_store import KEEP_MS, CollectorStateStore, Known, PostState
from mastostream.exceptions import ConfigurationError

NOW = 1_750_000_000_000
FAR = NOW + 10 * KEEP_MS


def remember(state_store: CollectorStateStore, *entries: SeenEntry, now_ms: int = NOW) -> None:
    state_store.remember(entries, {}, {}, now_ms)


def test_a_post_is_known_with_its_newest_version(tmp_path: Path) -> None:
    state_store = CollectorStateStore(tmp_path / "m")
    remember(state_store, SeenEntry("a", "new", "s", "1", NOW))
    remember(state_store, SeenEntry("a", "edit", "s", "1", NOW + 5, edited_ms=NOW + 4))
    remember(state_store, SeenEntry("a", "refresh", "s", "1", NOW + 3, edited_ms=NOW + 1))
    assert state_store.known("a") == Known(NOW + 5, NOW + 4, PostState.LOGGED)
    assert state_store.known("b") is None
    remember(state_store, SeenEntry("a", "delete", "s", "1", NOW + 6))
    remember(state_store, SeenEntry("a", "new", "s", "1", NOW + 7))
    known = state_store.known("a")
    assert known is not None
    assert known.state is PostState.DELETED, "a delete stays"
    state_store.close()


def test_counts_are_due_after_each_span_and_then_no_more(tmp_path: Path) -> None:
    state_store = CollectorStateStore(tmp_path / "m", refresh_after_s=(60, 3600))
    remember(state_store, SeenEntry("a", "new", "s", "1", NOW))
    assert state_store.refreshes.due("s", NOW + 59_999, 20) == []
    assert state_store.refreshes.due("s", NOW + 60_000, 20) == [Due("a", "1")]
    assert state_store.refreshes.due("other", NOW + 60_000, 20) == []
    remember(state_store, SeenEntry("a", "refresh", "s", "1", NOW + 61_000))
    assert state_store.refreshes.due("s", NOW + 3_599_999, 20) == []
    state_store.close()
    state_store = CollectorStateStore(tmp_path / "m", refresh_after_s=(60, 3600))
    assert state_store.refreshes.due("s", NOW + 3_600_000, 20) == [Due("a", "1")]
    remember(state_store, SeenEntry("a", "refresh", "s", "1", NOW + 3_700_000))
    assert state_store.refreshes.due("s", FAR, 9) == []
    state_store.close()


def test_after_a_long_absence_counts_are_read_once_not_once_a_span(tmp_path: Path) -> None:
    state_store = CollectorStateStore(tmp_path / "m", refresh_after_s=(60, 3600, 7200))
    remember(state_store, SeenEntry("a", "new", "s", "1", NOW))
    remember(state_store, SeenEntry("a", "refresh", "s", "1", NOW + 5_000_000))
    assert state_store.refreshes.due("s", NOW + 7_199_999, 9) == []
    assert state_store.refreshes.due("s", NOW + 7_200_000, 9) == [Due("a", "1")]
    remember(state_store, SeenEntry("a", "refresh", "s", "1", NOW + 9_000_000))
    assert state_store.refreshes.due("s", FAR, 9) == []
    state_store.close()


def test_a_deleted_or_left_out_post_is_not_read_again(tmp_path: Path) -> None:
    state_store = CollectorStateStore(tmp_path / "m", refresh_after_s=(60,))
    remember(
        state_store,
        SeenEntry("a", "new", "s", "1", NOW),
        SeenEntry("a", "delete", "s", "1", NOW + 1),
    )
    remember(state_store, SeenEntry("b", "new", "s", "2", NOW, left_out=True))
    assert state_store.refreshes.due("s", FAR, 9) == []
    state_store.close()


def test_a_post_has_another_id_on_each_server(tmp_path: Path) -> None:
    state_store = CollectorStateStore(tmp_path / "m", key_by="uri", refresh_after_s=(60,))
    remember(state_store, SeenEntry("u:a", "new", "s", "1", NOW))
    state_store.seen_again([("u:a", "t", "9", True)], NOW)
    assert state_store.key_of("s", "1") == state_store.key_of("t", "9") == "u:a"
    assert state_store.key_of("t", "1") is None
    assert state_store.refreshes.due("s", NOW + 60_000, 9) == []
    assert state_store.refreshes.due("t", NOW + 60_000, 9) == [Due("u:a", "9")], (
        "its author's server"
    )
    state_store.close()


@pytest.mark.parametrize("key_by", ["id", "uri"])
def test_a_delete_that_comes_before_its_post_is_remembered(tmp_path: Path, key_by: str) -> None:
    state_store = CollectorStateStore(tmp_path / "m", key_by=key_by)
    state_store.record_tombstone("s", "1", NOW)
    known = state_store.known("1")
    assert state_store.has_tombstone("s", "1") or (known and known.state is PostState.DELETED)
    assert not state_store.has_tombstone("s", "2")
    state_store.close()


def test_what_nobody_shows_any_more_is_forgotten_and_the_rest_is_kept(tmp_path: Path) -> None:
    state_store = CollectorStateStore(tmp_path / "m", key_by="uri")
    remember(
        state_store, SeenEntry("a", "new", "s", "1", NOW), SeenEntry("b", "new", "s", "2", NOW)
    )
    state_store.seen_again([("b", "s", "2", False)], NOW + KEEP_MS)
    remember(state_store, now_ms=NOW + KEEP_MS + 1)
    assert state_store.known("a") is None
    assert state_store.key_of("s", "1") is None
    assert state_store.known("b") is not None
    state_store.close()


def test_counts_that_nobody_reads_any_more_are_forgotten(tmp_path: Path) -> None:
    state_store = CollectorStateStore(tmp_path / "m", refresh_after_s=(60,))
    remember(state_store, SeenEntry("a", "new", "gone.example", "1", NOW))
    state_store.close()
    state_store = CollectorStateStore(tmp_path / "m", refresh_after_s=(60,))
    remember(state_store, now_ms=NOW + 60_000 + KEEP_MS)
    assert state_store.refreshes.due("gone.example", FAR, 9) == [Due("a", "1")]
    remember(state_store, now_ms=NOW + 60_001 + KEEP_MS)
    assert state_store.refreshes.due("gone.example", FAR, 9) == []
    state_store.close()


def test_posts_that_are_known_by_another_name_are_not_mixed(tmp_path: Path) -> None:
    CollectorStateStore(tmp_path / "m", key_by="id").close()
    with pytest.raises(ConfigurationError, match="another data folder"):
        CollectorStateStore(tmp_path / "m", key_by="uri")


def test_requests_survive_the_end_of_the_process(tmp_path: Path) -> None:
    state_store = CollectorStateStore(tmp_path / "m")
    state_store.requested("s", NOW, paging=True)
    state_store.requested("s", NOW + 5, paging=False)
    state_store.requested("t", NOW, paging=False)
    state_store.close()
    state_store = CollectorStateStore(tmp_path / "m")
    assert state_store.requests("s") == [(NOW, True), (NOW + 5, False)]
    state_store.close()
