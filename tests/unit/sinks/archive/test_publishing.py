"""Two writers that finish the same records at the same time, in every order of their steps."""

import threading
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import pytest

from mastostream.exceptions import RetriableError
from mastostream.ports.clock import SystemClock
from mastostream.sinks.archive import FileArchive, LocalFiles
from mastostream.sinks.archive.naming import new_writer_name
from mastostream.sinks.archive.publishing import TakenOverError, publish
from mastostream.testing.conformance.archive import records_of
from mastostream.testing.fakes import WatchedFiles

from .reading import kept, place_of

WATCHED = ("create", "list", "remove", "rename")
VALUES = [b"%d" % number for number in range(6)]
STEPS = 5
"""The steps of a writer: it creates a file, lists, removes the other's, lists again, renames."""


class Turns:
    """Lets two threads make one step each time it is their turn."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order = list(order)
        self._changed = threading.Condition()
        self._done: set[int] = set()

    def wait(self, who: int) -> None:
        with self._changed:
            while self._whose() not in (None, who):
                self._changed.wait(5)
            if self._order:
                self._order.pop(0)
            self._changed.notify_all()

    def end(self, who: int) -> None:
        with self._changed:
            self._done.add(who)
            self._changed.notify_all()

    def _whose(self) -> int | None:
        while self._order and self._order[0] in self._done:
            self._order.pop(0)
        return self._order[0] if self._order else None


def orders() -> Iterator[tuple[int, ...]]:
    """Yield all orders of the steps of two writers: 0 is a step of the first, 1 of the second."""
    for chosen in combinations(range(2 * STEPS), STEPS):
        yield tuple(0 if step in chosen else 1 for step in range(2 * STEPS))


def race(folder: Path, order: Sequence[int]) -> list[bool]:
    """Let two writers create and finish a file in this order of steps; return who finished it."""
    turns: Turns | None = None
    won = [False, False]

    def writer(who: int) -> FileArchive:
        def watch(when: str, what: str) -> None:
            if turns is not None and when == "before" and what in WATCHED:
                turns.wait(who)

        sink = FileArchive(
            str(folder), "t", clock=SystemClock(), filesystem=WatchedFiles(LocalFiles(), watch)
        )
        sink.reload()
        return sink

    sinks = [writer(0), writer(1)]
    turns = Turns(order)

    def finish(who: int) -> None:
        try:
            sinks[who].write(records_of(VALUES[: 4 + who]))
            won[who] = bool(sinks[who].flush(force=True))
        except RetriableError:
            pass
        finally:
            turns.end(who)

    threads = [threading.Thread(target=finish, args=(who,)) for who in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return won


def test_never_do_two_files_keep_the_same_records(tmp_path: Path) -> None:
    outcomes = set()
    for number, order in enumerate(orders()):
        folder = tmp_path / str(number)
        won = race(folder, order)
        outcomes.add(tuple(won))
        archived = kept(place_of(folder))
        assert sum(won) == len(archived), order
        assert not archived or archived[0] in (VALUES[:4], VALUES[:5])
    assert outcomes == {(True, False), (False, True), (False, False)}


def names_of(*spans: tuple[int, int]) -> list[str]:
    return [f"t+00000+{first:020}-{last:020}.jsonl" for first, last in spans]


@pytest.mark.parametrize(
    ("there", "works"),
    [
        ([(0, 1), (2, 3), (4, 5)], True),
        ([(2, 3), (4, 5), (6, 6)], True),
        ([(2, 3), (5, 5)], False),
        ([(3, 3), (4, 5)], False),
        ([(2, 3)], False),
        ([], False),
        ([(2, 5)], False),
        ([(0, 3), (4, 5)], False),
        ([(2, 3), (4, 6)], False),
        ([(0, 9)], False),
        ([(2, 3), (2, 4), (4, 5)], False),
    ],
)
def test_what_was_merged_replaces_whole_files_that_are_all_there(
    tmp_path: Path, there: list[tuple[int, int]], works: bool
) -> None:
    place = place_of(tmp_path)
    folder = tmp_path / "t"
    folder.mkdir()
    temporary = folder / new_writer_name("t", 0, 2, compacting=True)
    (target,) = names_of((2, 5))
    for name in (*names_of(*there), temporary.name):
        (folder / name).write_bytes(b"{}\n")
    if works:
        publish(place, str(temporary), str(folder / target), compacting=True)
        assert (folder / target).exists()
    else:
        with pytest.raises(TakenOverError):
            publish(place, str(temporary), str(folder / target), compacting=True)
        assert temporary.exists()
