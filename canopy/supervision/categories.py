"""Low and tall ground, which a share of what is drawn comes from (CHMv2, section 2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class CategoryShares:
    """How much is drawn from low and from tall ground; the rest is drawn from all.

    Attributes:
        low_m: what has a mean height under it is low [m].
        low: share that is drawn from low ground, where there is any.
        tall_m: what has a 95th percentile of heights above it is tall [m].
        tall: share that is drawn from tall ground, where there is any.
    """

    low_m: float = 1.0
    low: float = 0.0
    tall_m: float = 25.0
    tall: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing.

        Raises:
            ValueError: a number is out of range.
        """
        if min(self.low, self.tall) < 0 or self.low + self.tall > 1:
            msg = f"low {self.low}, tall {self.tall}: expected shares from 0 that add up to 1"
            raise ValueError(msg)

    def members(
        self, mean_m: NDArray[np.floating], p95_m: NDArray[np.floating]
    ) -> dict[str, NDArray[np.intp]]:
        """Return the indices of what is ``low`` and ``tall``, by mean and 95th percentile (n,)."""
        return {
            "low": np.flatnonzero(mean_m < self.low_m),
            "tall": np.flatnonzero(p95_m > self.tall_m),
        }


@dataclass(frozen=True, kw_only=True)
class SamplingSettings(CategoryShares):
    """Which chips make a batch.

    Attributes:
        batch: chips in a batch.
        crop_px: side of what is cut out of a chip at random [px]; 0 for the whole.
    """

    batch: int = 8
    crop_px: int = 0
    low: float = 0.1
    tall: float = 0.1

    def __post_init__(self) -> None:
        """Refuse an empty batch, and shares that leave nothing.

        Raises:
            ValueError: a number is out of range.
        """
        super().__post_init__()
        if self.batch < 1 or self.crop_px < 0:
            msg = f"batch {self.batch}, crop_px {self.crop_px}: expected 1 or more, and 0 or more"
            raise ValueError(msg)
