"""``decode`` against ``orjson.loads`` of the same bytes: at most as long."""

import time
from collections.abc import Callable, Sequence

import orjson
import pytest

from mastostream import Post, decode
from mastostream.testing.simulator import generate_statuses

ROUNDS = 15


def per_status_us(function: Callable[[bytes], object], statuses: Sequence[bytes]) -> float:
    began = time.perf_counter()
    for status in statuses:
        function(status)
    return (time.perf_counter() - began) / len(statuses) * 1e6


def compare(title: str, statuses: Sequence[bytes]) -> float:
    """Both in turn, the best of each: what disturbs them only ever makes them slower."""
    ours, bound = [], []
    for _ in range(ROUNDS):
        ours.append(per_status_us(decode, statuses))
        bound.append(per_status_us(orjson.loads, statuses))
    ratio = min(ours) / min(bound)
    mean = sum(map(len, statuses)) / len(statuses)
    print(
        f"\ndecode, {title}: {len(statuses)} statuses of {mean:.0f} bytes: "
        f"{min(ours):.2f} us against {min(bound):.2f} us: ratio {ratio:.2f}"
    )
    return ratio


def test_generated_statuses() -> None:
    statuses = list(generate_statuses(3_000))
    assert all(isinstance(decode(status), Post) for status in statuses)
    assert compare("generated", statuses) <= 1.0


def test_real_statuses(corpus: Sequence[bytes]) -> None:
    def is_current(status: bytes) -> bool:
        try:
            return isinstance(decode(status), Post) and orjson.loads(status) is not None
        except orjson.JSONDecodeError:
            return False

    statuses = [status for status in corpus if is_current(status)]
    if not statuses:
        pytest.skip("no statuses that both can read")
    assert compare("real", statuses) <= 1.0
