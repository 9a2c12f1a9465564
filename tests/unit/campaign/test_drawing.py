"""The campaign's own parts that need no tool: the draw, and what is left out of it."""

from collections import Counter
from pathlib import Path

import pytest
from tests.campaign.by_hand import ByHand
from tests.campaign.drawing import draw
from tests.campaign.irrelevant import inside, irrelevant_spans
from tests.campaign.results import Result, Results, is_enough, table
from tests.campaign.steps import mirror_tests

SOURCE = '''
"""Two + two."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    ONE = 1 + 1

__all__ = ["a" + "b"]
_logger = logging.getLogger(__name__)
LIMIT: int | None = 3 + 4


def total(first: "é | int", second: int | None = 5 - 2, *rest: int | str) -> int | None:
    """Six * seven."""
    _logger.info("%d", second * 2)
    é, kept = "é", 8 + 1
    return kept / 9
'''


def place_of(text: str) -> tuple[tuple[int, int], tuple[int, int]]:
    lines = SOURCE.splitlines()
    (found,) = [
        (number, line.index(text)) for number, line in enumerate(lines, start=1) if text in line
    ]
    return found, (found[0], found[1] + len(text))


@pytest.mark.parametrize(
    "text",
    ["Two + two", "1 + 1", '"a" + "b"', "int | None = 3", "int | str", "second * 2", "Six * seven"],
)
def test_what_cannot_matter_is_left_out(text: str) -> None:
    start, end = place_of(text)
    end = (end[0], start[1] + len("int | None")) if "=" in text else end
    assert inside((start, end), irrelevant_spans(SOURCE))


@pytest.mark.parametrize("text", ["3 + 4", "5 - 2", "8 + 1", "kept / 9", "getLogger(__name__)"])
def test_all_else_can_be_drawn(text: str) -> None:
    assert not inside(place_of(text), irrelevant_spans(SOURCE))


def test_a_seed_gives_the_same_draw_again() -> None:
    assert draw(range(10_000), 30, 7) == draw(range(10_000), 30, 7)
    assert draw(range(10_000), 30, 7) != draw(range(10_000), 30, 8)


def test_a_draw_has_nothing_twice_and_only_what_fits() -> None:
    drawn = draw(range(100), 200, 7, lambda number: number % 2 == 0)
    assert sorted(drawn) == list(range(0, 100, 2))


def test_all_that_fits_is_equally_likely() -> None:
    counts = Counter(
        number
        for seed in range(2_000)
        for number in draw(range(10), 2, seed, lambda number: number != 3)
    )
    assert set(counts) == set(range(10)) - {3}
    assert all(350 < count < 540 for count in counts.values()), counts  # 444 each, on average


@pytest.mark.parametrize("text", ["a = 1\n", "b = 2\nb = 2\n"])
def test_a_break_by_hand_refuses_a_text_that_is_not_there_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "module.py").write_text(text)
    lost = ByHand(what="a wrong b", path="module.py", before="b = 2", after="b = 3")
    with pytest.raises(ValueError, match=r"'a wrong b' expects this text once in module\.py"):
        lost.made(tmp_path)


def test_a_break_by_hand_changes_its_text_alone(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("a = 1\nb = 2\nc = 3\n")
    made = ByHand(what="a wrong b", path="module.py", before="b = 2", after="b = 3").made(tmp_path)
    assert (made.line, made.text) == (2, "a = 1\nb = 3\nc = 3\n")


@pytest.mark.parametrize(
    ("source", "tests"),
    [
        ("core/windows.py", ["core/test_windows.py"]),
        ("log/kafka/place.py", ["log/test_kafka_place.py"]),
        ("log/kafka/writer.py", ["log/test_kafka_other.py", "log/test_kafka_place.py"]),
        ("log/sqlite/__init__.py", ["log/test_sqlite.py"]),
        ("sinks/archive/sink.py", ["sinks/archive/test_sink.py"]),
        ("sinks/archive/listing.py", ["sinks/archive/test_sink.py"]),
        (
            "testing/simulator/pages.py",
            ["testing/test_simulator.py", "testing/simulator/test_rest.py"],
        ),
        ("nowhere.py", []),
    ],
)
def test_the_nearest_unit_tests_come_first(tmp_path: Path, source: str, tests: list[str]) -> None:
    for name in (
        "core/test_windows.py",
        "log/test_kafka_place.py",
        "log/test_kafka_other.py",
        "log/test_sqlite.py",
        "sinks/archive/test_sink.py",
        "testing/test_simulator.py",
        "testing/simulator/test_rest.py",
    ):
        path = tmp_path / "tests/unit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = mirror_tests(tmp_path, Path("src/mastostream") / source)
    assert found == [f"tests/unit/{test}" for test in tests]


def result(number: int, tier: str | None) -> Result:
    return Result(
        number=number, where="a.py:1", what="a | b", tier=tier, test="t", unsteady=[], seconds=1.0
    )


@pytest.mark.parametrize(("caught", "enough"), [(35, True), (34, False)])
def test_five_of_forty_may_survive(caught: int, enough: bool) -> None:
    results = [result(number, "unit" if number < caught else None) for number in range(40)]
    assert is_enough(results) is enough
    assert f"caught: {caught}/40" in table(results)


def test_results_that_were_cut_off_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    results = Results(path)
    results.begin({"seed": 7})
    results.add(result(1, "unit"))
    results.add(result(2, None))
    path.write_text(path.read_text()[:-5])
    assert results.read() == ({"seed": 7}, {1: result(1, "unit")})
