"""Groups of ground and of sites: from polygons, from a table beside the references."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.features import rasterize

from canopy.errors import SettingsError
from canopy.evaluation.vectors import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from rasterio.crs import CRS

    from canopy.evaluation.area_means import Cells
    from geo.grid import Grid

    Array = NDArray[np.float64]

log = logging.getLogger(__name__)

NO_GROUP = "(no group)"

POLYGONS = ("Polygon", "MultiPolygon")

SITE_COLUMNS = ("site", "plot", "reference", "name", "file", "id")
"""Columns that may name the reference of a row, in this order."""


@dataclass(frozen=True, kw_only=True)
class Zones:
    """Which group each pixel of a grid belongs to.

    Attributes:
        grid: the pixels.
        polygons: geometries in the grid's CRS, each with the number of its group.
        names: group of each number; 0 is no group.
    """

    grid: Grid
    polygons: list[tuple[Any, int]]
    names: list[str]

    def read(self, cells: Cells) -> NDArray[np.int32]:
        """Return the numbers of the groups of a window (y, x): of the polygon on a pixel's centre.

        Where polygons overlap, the last one counts.
        """
        part = self.grid.part(cells.row, cells.column, cells.height, cells.width)
        if not self.polygons:
            return np.zeros(part.shape, np.int32)
        numbers: NDArray[np.int32] = rasterize(
            self.polygons, out_shape=part.shape, transform=part.transform, fill=0, dtype="int32"
        )
        return numbers


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """How ground or sites are grouped.

    Attributes:
        column: what the groups are called after.
        polygons: a GeoDataFrame of polygons with the column, or None.
        by_site: group of each name of a row, where rows and not polygons tell it.
    """

    column: str
    polygons: Any = None
    by_site: Mapping[str, str] | None = None

    def zones_on(self, grid: Grid) -> Zones | None:
        """Return the groups of a grid's pixels, where polygons tell them."""
        if self.polygons is None:
            return None
        table = self.polygons
        if grid.crs is not None and table.crs is not None:
            table = table.to_crs(grid.crs.to_wkt())
        groups = [str(value) for value in table[self.column]]
        names = [NO_GROUP, *sorted(set(groups))]
        polygons = [
            (geometry, names.index(group))
            for geometry, group in zip(table.geometry, groups, strict=True)
            if geometry is not None and not geometry.is_empty
        ]
        return Zones(grid=grid, polygons=polygons, names=names)

    def groups_at(self, x: Array, y: Array, crs: CRS | None) -> list[str]:
        """Return the group of the polygon on each point (n,), where polygons tell them."""
        import geopandas as gpd  # noqa: PLC0415 - slow, and not needed without polygons

        wkt = crs.to_wkt() if crs is not None else None
        points = gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=wkt)
        table = self.polygons
        table = table.to_crs(wkt) if wkt and table.crs is not None else table.set_crs(wkt)
        joined = points.sjoin(table[[self.column, table.geometry.name]], how="left")
        found = joined[~joined.index.duplicated(keep="last")].sort_index()[self.column]
        return [NO_GROUP if value != value else str(value) for value in found]  # noqa: PLR0124 - NaN

    def group_of(self, site: str, path: str) -> str:
        """Return the group of a site by its name, or by the name of its file or folder."""
        known = self.by_site or {}
        place = Path(path)
        for name in (site, place.name, place.stem, place.parent.name, path):
            if name in known:
                return known[name]
        log.warning("%s: no row of the sites names it, it counts as %s", site, NO_GROUP)
        return NO_GROUP


def read_grouping(path: Path, column: str) -> Grouping:
    """Read the file that tells the groups.

    A file of polygons groups the ground under them. A table without them groups whole sites by the
    name in one of SITE_COLUMNS, or in its first other column.

    Raises:
        SceneError: the file cannot be read.
        SettingsError: it lacks the column, or names of sites.
    """
    table = read_table(path)
    if column not in table.columns:
        names = [str(name) for name in table.columns if name != "geometry"]
        msg = f"{path} has no column {column}: found {', '.join(names)}; choose one of them"
        raise SettingsError(msg)
    table = table[table[column].notna()]
    if len(table) == 0:
        msg = f"{path} has no value in its column {column}: choose another column"
        raise SettingsError(msg)
    if hasattr(table, "geometry") and (table.geometry.geom_type.isin(POLYGONS)).all():
        return Grouping(column=column, polygons=table)
    key = site_column(path, [str(name) for name in table.columns], column)
    pairs = zip(table[key].astype(str), table[column].astype(str), strict=True)
    return Grouping(column=column, by_site=dict(pairs))


def site_column(path: Path, columns: Sequence[str], column: str) -> str:
    """Return the column that names the sites.

    Raises:
        SettingsError: there is none.
    """
    others = [name for name in columns if name not in {column, "geometry"}]
    by_name = {name.lower(): name for name in others}
    found = [by_name[name] for name in SITE_COLUMNS if name in by_name] + others
    if not found:
        msg = f"{path} names no sites beside {column}: expected a column {SITE_COLUMNS[0]}"
        raise SettingsError(msg)
    return found[0]
