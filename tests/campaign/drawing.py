"""A random draw that a seed gives again."""

import random
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

__all__ = ["draw"]

_T = TypeVar("_T")


def draw(
    population: Sequence[_T], count: int, seed: int, fits: Callable[[_T], bool] = lambda _: True
) -> list[_T]:
    """Return so many of those that fit, each as likely as any other, none twice.

    ``fits`` is asked only of those that come up, since it may be costly: leaving out what does not
    fit and going on gives the same chances as leaving it out of the population.
    """
    order = random.Random(seed).sample(population, len(population))
    return list(islice(filter(fits, order), count))
