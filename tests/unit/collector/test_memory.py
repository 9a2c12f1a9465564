"""What the collector remembers."""

from pathlib import Path

import pytest

from mastostream.collector.memory import KEEP_MS, CollectorMemory, Known, State, Trace
from mastostream.collector.refreshes import Due
from mastostream.exceptions import ConfigurationError

NOW = 1_750_000_000_000
FAR = NOW + 10 * KEEP_MS


def remember(memory: CollectorMemory, *traces: Trace, now_ms: int = NOW) -> None:
    memory.remember(traces, {}, {}, now_ms)


def test_a_post_is_known_with_its_newest_version(tmp_path: Path) -> None:
    memory = CollectorMemory(tmp_path / "m")
    remember(memory, Trace("a", "new", "s", "1", NOW))
    remember(memory, Trace("a", "edit", "s", "1", NOW + 5, edited_ms=NOW + 4))
    remember(memory, Trace("a", "refresh", "s", "1", NOW + 3, edited_ms=NOW + 1))
    assert memory.known("a") == Known(NOW + 5, NOW + 4, State.LOGGED)
    assert memory.known("b") is None
    remember(memory, Trace("a", "delete", "s", "1", NOW + 6))
    remember(memory, Trace("a", "new", "s", "1", NOW + 7))
    known = memory.known("a")
    assert known is not None
    assert known.state is State.DELETED, "a delete stays"
    memory.close()


def test_counts_are_due_after_each_span_and_then_no_more(tmp_path: Path) -> None:
    memory = CollectorMemory(tmp_path / "m", refresh_after_s=(60, 3600))
    remember(memory, Trace("a", "new", "s", "1", NOW))
    assert memory.refreshes.due("s", NOW + 59_999, 20) == []
    assert memory.refreshes.due("s", NOW + 60_000, 20) == [Due("a", "1")]
    assert memory.refreshes.due("other", NOW + 60_000, 20) == []
    remember(memory, Trace("a", "refresh", "s", "1", NOW + 61_000))
    assert memory.refreshes.due("s", NOW + 3_599_999, 20) == []
    memory.close()
    memory = CollectorMemory(tmp_path / "m", refresh_after_s=(60, 3600))
    assert memory.refreshes.due("s", NOW + 3_600_000, 20) == [Due("a", "1")]
    remember(memory, Trace("a", "refresh", "s", "1", NOW + 3_700_000))
    assert memory.refreshes.due("s", FAR, 9) == []
    memory.close()


def test_after_a_long_absence_counts_are_read_once_not_once_a_span(tmp_path: Path) -> None:
    memory = CollectorMemory(tmp_path / "m", refresh_after_s=(60, 3600, 7200))
    remember(memory, Trace("a", "new", "s", "1", NOW))
    remember(memory, Trace("a", "refresh", "s", "1", NOW + 5_000_000))
    assert memory.refreshes.due("s", NOW + 7_199_999, 9) == []
    assert memory.refreshes.due("s", NOW + 7_200_000, 9) == [Due("a", "1")]
    remember(memory, Trace("a", "refresh", "s", "1", NOW + 9_000_000))
    assert memory.refreshes.due("s", FAR, 9) == []
    memory.close()


def test_a_deleted_or_left_out_post_is_not_read_again(tmp_path: Path) -> None:
    memory = CollectorMemory(tmp_path / "m", refresh_after_s=(60,))
    remember(memory, Trace("a", "new", "s", "1", NOW), Trace("a", "delete", "s", "1", NOW + 1))
    remember(memory, Trace("b", "new", "s", "2", NOW, left_out=True))
    assert memory.refreshes.due("s", FAR, 9) == []
    memory.close()


def test_a_post_has_another_id_on_each_server(tmp_path: Path) -> None:
    memory = CollectorMemory(tmp_path / "m", key_by="uri", refresh_after_s=(60,))
    remember(memory, Trace("u:a", "new", "s", "1", NOW))
    memory.seen_again([("u:a", "t", "9", True)], NOW)
    assert memory.key_of("s", "1") == memory.key_of("t", "9") == "u:a"
    assert memory.key_of("t", "1") is None
    assert memory.refreshes.due("s", NOW + 60_000, 9) == []
    assert memory.refreshes.due("t", NOW + 60_000, 9) == [Due("u:a", "9")], "its author's server"
    memory.close()


@pytest.mark.parametrize("key_by", ["id", "uri"])
def test_a_delete_that_comes_before_its_post_is_remembered(tmp_path: Path, key_by: str) -> None:
    memory = CollectorMemory(tmp_path / "m", key_by=key_by)
    memory.bury_unseen("s", "1", NOW)
    known = memory.known("1")
    assert memory.deleted_unseen("s", "1") or (known and known.state is State.DELETED)
    assert not memory.deleted_unseen("s", "2")
    memory.close()


def test_what_nobody_shows_any_more_is_forgotten_and_the_rest_is_kept(tmp_path: Path) -> None:
    memory = CollectorMemory(tmp_path / "m", key_by="uri")
    remember(memory, Trace("a", "new", "s", "1", NOW), Trace("b", "new", "s", "2", NOW))
    memory.seen_again([("b", "s", "2", False)], NOW + KEEP_MS)
    remember(memory, now_ms=NOW + KEEP_MS + 1)
    assert memory.known("a") is None
    assert memory.key_of("s", "1") is None
    assert memory.known("b") is not None
    memory.close()


def test_counts_that_nobody_reads_any_more_are_forgotten(tmp_path: Path) -> None:
    memory = CollectorMemory(tmp_path / "m", refresh_after_s=(60,))
    remember(memory, Trace("a", "new", "gone.example", "1", NOW))
    memory.close()
    memory = CollectorMemory(tmp_path / "m", refresh_after_s=(60,))
    remember(memory, now_ms=NOW + 60_000 + KEEP_MS)
    assert memory.refreshes.due("gone.example", FAR, 9) == [Due("a", "1")]
    remember(memory, now_ms=NOW + 60_001 + KEEP_MS)
    assert memory.refreshes.due("gone.example", FAR, 9) == []
    memory.close()


def test_posts_that_are_known_by_another_name_are_not_mixed(tmp_path: Path) -> None:
    CollectorMemory(tmp_path / "m", key_by="id").close()
    with pytest.raises(ConfigurationError, match="another data folder"):
        CollectorMemory(tmp_path / "m", key_by="uri")


def test_requests_survive_the_end_of_the_process(tmp_path: Path) -> None:
    memory = CollectorMemory(tmp_path / "m")
    memory.requested("s", NOW, paging=True)
    memory.requested("s", NOW + 5, paging=False)
    memory.requested("t", NOW, paging=False)
    memory.close()
    memory = CollectorMemory(tmp_path / "m")
    assert memory.requests("s") == [(NOW, True), (NOW + 5, False)]
    memory.close()
