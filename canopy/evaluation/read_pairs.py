"""A map beside each lidar raster: which pixels are compared, and their heights, piece by piece."""

from __future__ import annotations

import logging
import math
import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from canopy.chips.pairing import GENERIC
from canopy.errors import SettingsError
from canopy.evaluation.area_means import (
    NO_SHIFT,
    AreaMeans,
    Cells,
    pixels_at_centres,
    pixels_under,
)
from canopy.evaluation.height_source import (
    count_bands,
    open_heights,
    opened,
    same_kind_of_place,
)
from canopy.stored_heights import is_length
from geo.errors import SceneError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from canopy.evaluation.area_means import Heights, Mask, Shift
    from canopy.evaluation.height_source import HeightSource
    from canopy.evaluation.settings import EvaluationSettings, GridOf
    from geo.grid import Grid

log = logging.getLogger(__name__)

RASTER_SUFFIXES = {".tif", ".tiff", ".vrt", ".img", ".jp2"}
"""Files of a folder that are taken for rasters of reference heights."""

ELEVATIONS = {"dsm", "dtm", "dem", "dgm", "dom"}
"""Words in names of files that hold elevations of the surface or of the ground."""

SAME_SIZE = 0.01
"""Pixels that differ by less than this share are equally large: the reference's are taken."""


COVER_PX = 1024
"""About as many rows and columns of an earlier pair are read at once."""


@dataclass(frozen=True, kw_only=True)
class RasterPair:
    """A map and a reference, and the grid on which they are compared.

    Attributes:
        site: name of the reference in the report.
        map: the map.
        reference: the raster of reference heights.
        on: whose pixels are compared.
        grid: these pixels, cut to the part that both rasters cover.
        earlier: pairs of the same map whose ground counts for them and not for this one.
    """

    site: str
    map: HeightSource
    reference: HeightSource
    on: str
    grid: Grid
    earlier: tuple[RasterPair, ...] = ()

    @property
    def pixel_m(self) -> tuple[float, float]:
        """Width and height of a compared pixel on the ground [true m]."""
        return self.compared.pixel_m

    @property
    def mean_pixel_m(self) -> float:
        """Side of a square as large as a compared pixel [m]."""
        return self.compared.mean_pixel_m

    @property
    def pixel_ha(self) -> float:
        """Area of a compared pixel [ha]."""
        return self.pixel_m[0] * self.pixel_m[1] / 1e4

    @property
    def compared(self) -> HeightSource:
        """The raster whose pixels are compared."""
        return self.map if self.on == "map" else self.reference

    @property
    def averaged(self) -> HeightSource:
        """The other one, which is averaged over their area."""
        return self.reference if self.on == "map" else self.map

    @contextmanager
    def open(self) -> Iterator[PairReader]:
        """Lend what reads both."""
        with ExitStack() as stack:
            map_reader = stack.enter_context(self.map.open())
            reference_reader = stack.enter_context(self.reference.open())
            means = AreaMeans(map_reader, self.grid), AreaMeans(reference_reader, self.grid)
            earlier = [stack.enter_context(pair.open()) for pair in self.earlier]
            yield PairReader(self, *means, earlier)


class PairReader:
    """Reads map and reference on one grid."""

    def __init__(
        self,
        pair: RasterPair,
        map_means: AreaMeans,
        reference_means: AreaMeans,
        earlier: Sequence[PairReader] = (),
    ) -> None:
        """Read an open pair, less what lies under earlier ones."""
        self.pair, self.earlier = pair, earlier
        self.map_means, self.reference_means = map_means, reference_means

    def read(self, cells: Cells) -> tuple[Heights, Heights, Mask]:
        """Return heights of a window of the pair's grid, which may reach beyond it.

        Returns:
            Map and reference [m] (y, x), and where both are valid and no earlier pair is (True =
            valid), nowhere beyond the grid.
        """
        predicted, true, valid = self._read_both(cells)
        return predicted, true, valid & ~self._covered(cells)

    def count_covered(self, cells: Cells) -> int:
        """Return how many pixels of a window, valid in both, count for an earlier pair."""
        if not self.earlier:
            return 0
        _, _, valid = self._read_both(cells)
        return int((valid & self._covered(cells)).sum())

    def compared_at(self, area: Grid) -> Mask:
        """Return which pixels (y, x) of a grid have their centre where this pair is valid."""
        rows, columns = pixels_at_centres(self.pair.grid, area)
        height, width = self.pair.grid.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        found = np.zeros(area.shape, bool)
        if inside.any():
            rows, columns = rows[inside], columns[inside]
            row, column = int(rows.min()), int(columns.min())
            window = Cells(
                row=row,
                column=column,
                height=int(rows.max()) - row + 1,
                width=int(columns.max()) - column + 1,
            )
            found[inside] = self._read_both(window)[2][rows - row, columns - column]
        return found

    def _read_both(self, cells: Cells) -> tuple[Heights, Heights, Mask]:
        """As :meth:`read`, what lies under earlier pairs included."""
        predicted, seen = self.map_means.read(cells)
        true, known = self.reference_means.read(cells)
        return predicted, true, seen & known & self._inside(cells)

    def _covered(self, cells: Cells) -> Mask:
        """Which cells (y, x) count for an earlier pair."""
        found = np.zeros((cells.height, cells.width), bool)
        for earlier in self.earlier:
            finer = self.pair.mean_pixel_m / earlier.pair.mean_pixel_m
            for part in cells.parts(max(1, int(COVER_PX / max(1.0, finer)))):
                area = self.pair.grid.part(part.row, part.column, part.height, part.width)
                found[part.within(cells)] |= earlier.compared_at(area)
        return found

    def read_shifted(self, cells: Cells, shifts: Sequence[Shift]) -> tuple[Heights, Heights, Mask]:
        """Return heights under shifts of the map, on the pixels that all shifts have in common.

        Args:
            cells: a window of the pair's grid.
            shifts: by how many pixels of the averaged raster the map is moved down and right.

        Returns:
            Map (s, y, x) and reference (s, y, x) [m], one of both the same for all shifts, and
            where all are valid (y, x).
        """
        if self.pair.on == "map":
            opposite = [(-down, -right) for down, right in shifts]
            true, known = self.reference_means.read_shifted(cells, opposite)
            predicted, seen = self.map_means.read_shifted(cells, [NO_SHIFT])
        else:
            predicted, seen = self.map_means.read_shifted(cells, shifts)
            true, known = self.reference_means.read_shifted(cells, [NO_SHIFT])
        common = seen.all(axis=0) & known.all(axis=0) & self._inside(cells)
        return predicted, true, common & ~self._covered(cells)

    def _inside(self, cells: Cells) -> Mask:
        """Which cells lie on the grid (y, x)."""
        rows = cells.row + np.arange(cells.height)
        columns = cells.column + np.arange(cells.width)
        height, width = self.pair.grid.shape
        inside: Mask = ((rows >= 0) & (rows < height))[:, None] & (
            (columns >= 0) & (columns < width)
        )
        return inside


def plan_pair(
    site: str, map_source: HeightSource, path: str, settings: EvaluationSettings
) -> RasterPair | None:
    """Decide on which pixels a map and a reference are compared.

    Returns:
        The pair; None where the two do not overlap.

    Raises:
        SceneError: the reference cannot be read.
        SettingsError: only one of both has a CRS.
    """
    reference = open_heights(path, settings.reference_scale)
    same_kind_of_place(map_source, reference)
    on = compared_raster(map_source, reference, settings.grid)
    compared, other = (map_source, reference) if on == "map" else (reference, map_source)
    grid = shared_part(compared.grid, other.grid)
    if grid is None:
        return None
    return RasterPair(site=site, map=map_source, reference=reference, on=on, grid=grid)


def compared_raster(map_source: HeightSource, reference: HeightSource, grid: GridOf) -> str:
    """Return whose pixels are compared, ``map`` or ``reference``."""
    if grid != "coarser":
        return grid
    coarser = map_source.mean_pixel_m > reference.mean_pixel_m * (1 + SAME_SIZE)
    return "map" if coarser else "reference"


def shared_part(grid: Grid, other: Grid) -> Grid | None:
    """Return the part of a grid that lies under another, or None."""
    edges = pixels_under(grid, other)
    if not all(map(math.isfinite, edges)):
        return None
    # What touches by rounding alone does not overlap.
    row, column = (max(0, math.floor(edge + 1e-6)) for edge in edges[:2])
    last_row, last_column = (
        min(length, math.ceil(edge - 1e-6))
        for edge, length in zip(edges[2:], grid.shape, strict=True)
    )
    if last_row <= row or last_column <= column:
        return None
    return grid.part(row, column, last_row - row, last_column - column)


def find_rasters(references: Sequence[str]) -> list[str]:
    """Return the files that references name.

    A folder stands for all rasters of heights in it and below: imagery of several bands, layers in
    other units and what is called an elevation model are passed over, the latter two with a word.

    Raises:
        SettingsError: a folder holds none, or a file is named twice.
    """
    found: list[str] = []
    for reference in references:
        if not Path(reference).is_dir():
            found.append(reference)
            continue
        inside = sorted(
            str(path)
            for path in Path(reference).rglob("*")
            if path.suffix.lower() in RASTER_SUFFIXES and path.is_file() and may_be_heights(path)
        )
        if not inside:
            msg = f"{reference} holds no raster of heights: expected GeoTIFFs of one band"
            raise SettingsError(msg)
        found += inside
    if twice := sorted({path for path in found if found.count(path) > 1}):
        msg = f"{twice[0]} is named twice: its pixels would count twice, name it once"
        raise SettingsError(msg)
    return found


def may_be_heights(path: Path) -> bool:
    """Whether a file of a folder may be heights; what cannot be read may, so that it is told of."""
    try:
        with opened(str(path)) as dataset:
            bands, unit = count_bands(dataset), dataset.units[0]
    except SceneError:
        return True
    if bands != 1:
        return False
    if not is_length(unit):
        log.warning("%s is in %s and holds no heights: passed over", path, unit)
        return False
    if elevation := ELEVATIONS & set(re.split(r"[^a-z]+", path.stem.lower())):
        log.warning(
            "%s is passed over: by its name (%s) it holds elevations; name the file if it does not",
            path, elevation.pop(),
        )  # fmt: skip
        return False
    return True


def name_sites(paths: Sequence[str]) -> list[str]:
    """Return a short name for each file, all different: its stem, its folder, or more of its path.

    ``teak/044/chm.tif`` and ``teak/050/chm.tif`` become ``044`` and ``050``, and one of them alone
    ``044``, as ``chm`` says nothing of the place.
    """
    parts = [Path(path).with_suffix("").parts for path in paths]
    stems = [part[-1] for part in parts]
    folders = [part[-2] if len(part) > 1 else part[-1] for part in parts]
    generic = all(stem.lower() in GENERIC for stem in stems)
    for names in (folders, stems) if generic else (stems, folders):
        if len(set(names)) == len(paths):
            return names
    shared = 0
    while len({part[: shared + 1] for part in parts}) == 1:
        shared += 1
    return ["/".join(part[shared:]) for part in parts]
