"""Drawing lots."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def happens(rng: np.random.Generator, share: float) -> bool:
    """Whether something happens that does so in a share of all cases (0..1)."""
    return bool(rng.random() < share)
