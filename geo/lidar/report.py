"""What came of a canopy height model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geo.grid import Grid
    from geo.height_maps.map_facts import HeightSummary
    from geo.lidar.chm_files import ChmFiles, ChmOrigin


@dataclass(frozen=True, kw_only=True)
class ChmReport:
    """A finished canopy height model.

    Attributes:
        files: where its files stand.
        grid: its pixels.
        heights: its statistics.
        origin: what it was made from, and how.
        seconds: how long it took.
    """

    files: ChmFiles
    grid: Grid
    heights: HeightSummary
    origin: ChmOrigin
    seconds: float
