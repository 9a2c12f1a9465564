"""A reproducible random draw."""

import random
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

__all__ = ["draw"]

_T = TypeVar("_T")


def draw(
    population: Sequence[_T], count: int, seed: int, fits: Callable[[_T], bool] = lambda _: True
) -> list[_T]:
    """Return ``count`` elements that fit, drawn uniformly and without repetition.

    The same seed gives the same elements. ``fits`` may be slow, so it is called only for elements
    that are drawn; skipping those that do not fit gives the same probabilities as removing them
    from the population first.
    """
    order = random.Random(seed).sample(population, len(population))
    return list(islice(filter(fits, order), count))
