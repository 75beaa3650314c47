"""How sure errors are: percentile bootstrap over pieces of ground or sites (Efron 1979).

Neighbouring pixels err alike, so pixels are no independent draws; pieces of ground are nearer to
it, and sites nearer still.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from canopy.evaluation.sums import errors_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LEVEL = 95.0
"""Share of draws inside an interval [%]."""

LEAST_UNITS = 2
"""One piece alone says nothing about how others differ."""

DRAWS_AT_ONCE = 64

MOST_UNDEFINED = 0.05
"""An error that more than this share of draws leave undefined has no interval."""


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals are drawn.

    Attributes:
        replicates: number of draws.
        seed: same seed and name, same draws.
    """

    replicates: int = 1000
    seed: int = 0

    def draw(self, units: Array, name: str) -> dict[str, Array]:
        """Draw as many units as there are, with replacement, again and again.

        Args:
            units: (units, LENGTH) sums.
            name: what they are of; others draw independently.

        Returns:
            Every error of every draw (replicates,); nothing for a single unit.
        """
        count = len(units)
        if count < LEAST_UNITS or not self.replicates:
            return {}
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        found = []
        for first in range(0, self.replicates, DRAWS_AT_ONCE):
            size = min(DRAWS_AT_ONCE, self.replicates - first)
            times = rng.multinomial(count, np.full(count, 1 / count), size=size)
            found.append(times.astype(np.float64) @ units)
        return errors_of(np.concatenate(found))


def interval(draws: Array) -> list[float] | None:
    """Return the 2.5th and 97.5th percentile of draws; None where too many are undefined."""
    defined = draws[np.isfinite(draws)]
    if len(defined) < (1 - MOST_UNDEFINED) * len(draws) or not len(defined):
        return None
    low, high = np.percentile(defined, [50 - LEVEL / 2, 50 + LEVEL / 2])
    return [float(low), float(high)]


def intervals(draws: dict[str, Array]) -> dict[str, list[float] | None]:
    """Return the interval of every error that was drawn."""
    return {name: interval(values) for name, values in draws.items()}
