"""What is chosen about an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from canopy.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

GridOf = Literal["coarser", "map", "reference"]
UnitOf = Literal["auto", "sites", "tiles"]

ENOUGH_SITES = 10
"""From so many sites on, intervals are drawn over sites and not over tiles."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Choices about an evaluation.

    Attributes:
        grid: whose pixels are compared; the other raster is averaged over their area.
        map_scale: metres of one stored unit of the map, where its file does not say so.
        reference_scale: the same for rasters and columns of reference heights.
        groups: column that tells the groups, of the points or of ``sites``; None for no groups.
        sites: polygons or table that holds the column.
        height_column: column of the points' heights; None for a usual name.
        radius_m: map pixels within this distance of a point are taken together [m]; None for 0,
            the pixel under the point, and for 12 with footprints.
        percentile: of these pixels, 0 to 100; None for their mean, and for 98 with footprints.
        filters: whether footprints of poor quality are left out.
        shift_m: longest shift of the map that is tried [m].
        tile_m: side of the pieces of ground from which intervals of rasters are drawn [m]; None for
            100. Those of points are about 1 km wide.
        unit: what intervals are drawn over.
        replicates: how many times they are drawn.
        seed: same seed, same intervals.
        overwrite: whether an older report may be replaced.
    """

    grid: GridOf = "coarser"
    map_scale: float | None = None
    reference_scale: float | None = None
    groups: str | None = None
    sites: Path | None = None
    height_column: str | None = None
    radius_m: float | None = None
    percentile: float | None = None
    filters: bool = True
    shift_m: float = 3.0
    tile_m: float | None = None
    unit: UnitOf = "auto"
    replicates: int = 1000
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SettingsError: a value makes no sense, alone or with another.
        """
        for name in ("map_scale", "reference_scale", "tile_m"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                msg = f"found a {name.replace('_', ' ')} of {value}; expected a number above 0"
                raise SettingsError(msg)
        if self.percentile is not None and not 0 <= self.percentile <= 100:  # noqa: PLR2004 - per cent
            msg = f"found a percentile of {self.percentile}; expected 0 to 100"
            raise SettingsError(msg)
        if self.radius_m is not None and not 0 <= self.radius_m <= 1000:  # noqa: PLR2004 - a kilometre
            msg = f"found a radius of {self.radius_m} m; expected 0 to 1000 m"
            raise SettingsError(msg)
        if not 0 <= self.shift_m <= 100:  # noqa: PLR2004 - more is another place
            msg = f"found a longest shift of {self.shift_m} m; expected 0 to 100 m"
            raise SettingsError(msg)
        if self.replicates < 0 or self.seed < 0:
            msg = f"found {self.replicates} replicates, seed {self.seed}; expected 0 or more"
            raise SettingsError(msg)
        if self.sites and not self.groups:
            msg = f"found sites {self.sites} without a column; name the one to group by: --groups"
            raise SettingsError(msg)
