"""Which image wins where several overlap: decided cell by cell, and by nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geo.imagery.errors import PreferenceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geo.cells import Cell
    from geo.imagery.image import Image

CHOICES = ("newest", "cloud", "nearest")

SLACK_DEG = 1e-6
"""How far a footprint may fall short of a cell that it covers: catalogs round [degrees]."""


@dataclass(frozen=True, kw_only=True)
class Preference:
    """What is liked in an image.

    Attributes:
        by: `newest`; `cloud`, the least clouds, then the newest; or `nearest`, the date nearest to
            another one, then the newest.
        date: that other date, UTC unless it says else; for `nearest` alone.
    """

    by: str = "newest"
    date: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse what is no preference.

        Raises:
            PreferenceError: it is none.
        """
        if self.by not in CHOICES:
            msg = f"images preferred by {self.by!r}: expected one of {', '.join(CHOICES)}"
            raise PreferenceError(msg)
        if (self.date is not None) != (self.by == "nearest"):
            found = "needs a date" if self.date is None else f"with a date, {self.by} takes none"
            msg = f"images preferred by {self.by}: {found}; give a date with nearest alone"
            raise PreferenceError(msg)
        if self.date is not None and self.date.tzinfo is None:
            object.__setattr__(self, "date", self.date.replace(tzinfo=UTC))

    def order(self, image: Image) -> tuple[float, float, float]:
        """Return what images are sorted by, the best first; what is unknown comes last."""
        age = -image.acquired.timestamp() if image.acquired else np.inf
        if self.by == "cloud":
            first = np.inf if image.cloud is None else image.cloud
        elif self.date is not None and image.acquired is not None:
            first = abs((image.acquired - self.date).total_seconds())
        else:
            first = age
        return first, age, 0.0 if image.acquired else 1.0


def ranked(images: Sequence[Image], cell: Cell, preference: Preference) -> tuple[Image, ...]:
    """Return the images that meet a cell, the one that is shown first of all at the front.

    Those that cover the whole cell come first, so that no seam of dates runs through it; then those
    that cover a part. The order within each depends on the preference, and where that is the same
    on the id. It depends on the cell and on the images that meet it, and on nothing else.

    Args:
        images: any images.
        cell: the cell.
        preference: what is liked.
    """
    ground = cell.footprint
    shapely.prepare(ground)
    footprints = np.array([image.footprint for image in images], dtype=object)
    met = np.flatnonzero(
        shapely.intersects(ground, footprints) & ~shapely.touches(ground, footprints)
    )
    core = ground.buffer(-SLACK_DEG)
    parts = {
        index: not images[index].footprint.covers(core) for index in (int(each) for each in met)
    }
    order = sorted(
        parts,
        key=lambda index: (
            parts[index], *preference.order(images[index]), images[index].id, images[index].link,
        ),
    )  # fmt: skip
    return tuple(images[index] for index in order)
