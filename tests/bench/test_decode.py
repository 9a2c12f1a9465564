"""Speed of ``decode``: it takes at most as long as ``orjson.loads`` of the same bytes."""

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


def ratio_to_orjson(title: str, statuses: Sequence[bytes]) -> float:
    """Measure both in turn and compare the best times: disturbances only make them slower."""
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
    assert ratio_to_orjson("generated", statuses) <= 1.0


def test_real_statuses(corpus: Sequence[bytes]) -> None:
    def is_current(status: bytes) -> bool:
        try:
            return isinstance(decode(status), Post) and orjson.loads(status) is not None
        except orjson.JSONDecodeError:
            return False

    statuses = [status for status in corpus if is_current(status)]
    if not statuses:
        pytest.skip("no statuses that both can read")
    assert ratio_to_orjson("real", statuses) <= 1.0
