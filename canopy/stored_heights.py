"""What the numbers of a raster of canopy heights mean: their unit, and what no tree can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geo.errors import SceneError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    Array = NDArray[np.float64]

METRES = {
    "": 1.0, "m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0,
    "dm": 0.1, "decimetre": 0.1, "decimetres": 0.1, "decimeter": 0.1, "decimeters": 0.1,
    "cm": 0.01, "centimetre": 0.01, "centimetres": 0.01, "centimeter": 0.01, "centimeters": 0.01,
    "mm": 0.001, "millimetre": 0.001, "millimeter": 0.001,
    "ft": 0.3048, "foot": 0.3048, "feet": 0.3048, "us-ft": 1200 / 3937,
    "us survey foot": 1200 / 3937,
}  # fmt: skip
"""Metres in the units that files name, in small letters; where none is named it is the metre."""

LOWEST_M, TALLEST_M = -10.0, 150.0
"""Heights beyond are gaps or artefacts, whatever a file says: the tallest tree has 116 m."""

MOST_BEYOND = 0.05
"""Share of heights that may lie above the tallest: artefacts are rarer, other units are not."""

PLACES, SIDE_PX = 5, 64
"""Windows along each axis of a raster in which its heights are looked at, and their side."""


def metres_stored(
    path: str, dataset: DatasetReader, scale: float | None = None
) -> tuple[float, float]:
    """Return how many metres one stored unit of a raster has, and the height of a stored 0 [m].

    Args:
        path: how the file is called.
        dataset: its first band holds heights.
        scale: metres of one stored unit, where the user says so; else scale, offset and unit of the
            file count, and metres where it names no unit.

    Raises:
        SceneError: it is in no unit of length, or too many heights are taller than any tree.
    """
    if scale is None:
        unit = unit_m(path, dataset.units[0])
        factor, offset = dataset.scales[0] * unit, dataset.offsets[0] * unit
    else:
        factor, offset = scale, 0.0
    refuse_too_tall(path, dataset, factor, offset)
    return factor, offset


def unit_m(path: str, unit: str | None) -> float:
    """Return how many metres a unit of a file has; one where the file names none.

    Raises:
        SceneError: it is no unit of length that is known.
    """
    if is_length(unit):
        return METRES[cleaned(unit)]
    msg = (
        f"{path} is in {unit}: expected heights in metres, feet or alike; name the "
        "heights, or state their unit in the file (gdal_edit.py -units m)"
    )
    raise SceneError(msg)


def is_length(unit: str | None) -> bool:
    """Whether a unit that a file names is one of length, or none is named."""
    return cleaned(unit) in METRES


def cleaned(unit: str | None) -> str:
    """Return a unit of a file in small letters, empty for none."""
    return (unit or "").strip().lower()


def refuse_too_tall(path: str, dataset: DatasetReader, scale: float, offset: float = 0.0) -> None:
    """Refuse heights of which many are taller than any tree: elevations, or another unit.

    The one value that most of them have does not count: it is a nodata that nobody declared.

    Args:
        path: how the file is called.
        dataset: its first band holds heights; some windows of it are read.
        scale: metres of one stored unit.
        offset: height of a stored 0 [m].

    Raises:
        SceneError: they are.
    """
    heights = sampled(dataset) * scale + offset
    tall = heights[heights > TALLEST_M]
    share = (tall.size - commonest(tall)) / max(heights.size, 1)
    if share > MOST_BEYOND:
        msg = (
            f"{path}: {share:.0%} of its heights are above {TALLEST_M:g} m, taller than any tree "
            f"(their median is {np.median(tall):.0f} m): expected metres above the ground. Of "
            "centimetres state the scale in the file (gdal_edit.py -scale 0.01); of a surface "
            "model take the ground off (canopy lidar chm --dsm --dtm)"
        )
        raise SceneError(msg)


def sampled(dataset: DatasetReader) -> Array:
    """Return the valid stored values of windows spread over a raster (n,)."""
    found = [np.zeros(0)]
    for window in windows_over(dataset.height, dataset.width):
        try:
            stored = dataset.read(1, window=window, masked=True)
        except RasterioError:
            continue  # who reads all of it tells what is wrong there
        found.append(stored.compressed().astype(np.float64))
    values = np.concatenate(found)
    return values[np.isfinite(values)]


def windows_over(height: int, width: int) -> list[Window]:
    """Return windows spread over a raster, that do not overlap; all of a small one."""
    return [
        Window(column, row, columns, rows)
        for row, rows in spread(height)
        for column, columns in spread(width)
    ]


def spread(length: int) -> list[tuple[int, int]]:
    """Return starts and lengths of pieces spread over a length, the first and the last included."""
    if length <= PLACES * SIDE_PX:
        return [(0, length)]
    starts = np.linspace(0, length - SIDE_PX, PLACES).astype(int).tolist()
    return [(start, SIDE_PX) for start in starts]


def commonest(values: Array) -> int:
    """Return how often the most frequent of some values (n,) occurs."""
    return int(np.unique(values, return_counts=True)[1].max()) if values.size else 0
