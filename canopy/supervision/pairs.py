"""Read co-located imagery and lidar canopy height, one `HeightPair` a plot."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from canopy.errors import SettingsError
from canopy.stored_heights import metres_stored
from geo.ground import crs_words
from geo.spatial_split import PlotBox

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIELD_DATA_VARIABLE = "CANOPY_FIELD_DATA"
TALLEST_PLAUSIBLE_M = 100.0
"""A canopy height above this, or below its negative, is a gap or an artefact, not a tree."""


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """Which pairs are read, and at which pixel size.

    Attributes:
        gsd_m: Pixel size of the imagery as the model sees it [m].
        sites: Folders under `pairs/` to read.
        unaligned: Plots whose imagery and lidar are known to be off by 3 m or more. They are
            evaluated, never learned from.
        elsewhere: Sites that no weights learn from, on which a finished model is judged.
    """

    gsd_m: float = 0.6
    sites: tuple[str, ...] = ("NEON_TEAK", "NEON_OSBS", "NEON_MLBS")
    unaligned: tuple[str, ...] = ("OSBS_006", "IDT_OSBS_16")
    elsewhere: tuple[str, ...] = ("CA_Kootenay",)

    def __post_init__(self) -> None:
        """Refuse no sites, and sites that would be learned from and judged by.

        Raises:
            ValueError: There is one.
        """
        if not self.sites:
            message = "sites: expected one or more"
            raise ValueError(message)
        if both := sorted(set(self.sites) & set(self.elsewhere)):
            message = f"{', '.join(both)}: learned from, and elsewhere; name it in one of the two"
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class PlotGrid:
    """A north-up grid of square pixels: upper left corner, pixel size [m], (rows, columns)."""

    crs: str
    left: float
    top: float
    gsd: float
    shape: tuple[int, ...]

    def rows(self) -> NDArray[np.float64]:
        """Edges of the rows, from north to south, as distances south of 0."""
        return np.arange(self.shape[0] + 1, dtype=np.float64) * self.gsd - self.top

    def columns(self) -> NDArray[np.float64]:
        """Edges of the columns, from west to east."""
        return np.arange(self.shape[1] + 1, dtype=np.float64) * self.gsd + self.left

    def box(self, site: str) -> PlotBox:
        """Ground of the whole grid."""
        rows, columns = self.shape
        bottom, right = self.top - rows * self.gsd, self.left + columns * self.gsd
        return PlotBox(site=site, left=self.left, bottom=bottom, right=right, top=self.top)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeightPair:
    """A plot of imagery with its canopy height.

    Attributes:
        plot: Name of the plot.
        box: Ground of the imagery, and the site.
        gsd_m: Pixel size of `image` [m].
        image: Red, green, blue in 0..255, averaged to `gsd_m` (3, y, x).
        image_heights: Canopy height [m], interpolated at the centres of the image's pixels (y, x).
        image_valid: True where `image_heights` rests on lidar alone (y, x).
        heights: Canopy height [m] on its own grid (v, u), 0 where invalid.
        heights_valid: True where there is lidar (v, u).
        image_to_heights_rows: Weights (v, y) that average image rows into height rows; each row
            sums to 1.
        image_to_heights_columns: The same for columns (u, x).
    """

    plot: str
    box: PlotBox
    gsd_m: float
    image: NDArray[np.float32]
    image_heights: NDArray[np.float32]
    image_valid: NDArray[np.bool_]
    heights: NDArray[np.float32]
    heights_valid: NDArray[np.bool_]
    image_to_heights_rows: NDArray[np.float64]
    image_to_heights_columns: NDArray[np.float64]

    def on_height_grid(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Average values (..., y, x) of the image's grid by area on the lidar's (..., v, u)."""
        averaged = self.image_to_heights_rows @ values @ self.image_to_heights_columns.T
        return averaged.astype(np.float32)


def field_data_root(named: str | Path | None = None) -> Path:
    """The folder of field data of a name, which the environment gives where none is given.

    Raises:
        SettingsError: If there is none, or it holds no pairs.
    """
    named = named or os.environ.get(FIELD_DATA_VARIABLE)
    if not named:
        message = f"found no field data; give --data, or set {FIELD_DATA_VARIABLE}, to the folder "
        raise SettingsError(message + "that holds pairs/")
    root = Path(named)
    if not (root / "pairs").is_dir():
        found = f"found no folder pairs/ in {root}"
        message = f"{found}; expected pairs/SITE/PLOT/rgb.tif beside chm.tif; give another --data"
        raise SettingsError(message)
    return root


def read_pairs(root: Path, settings: PairSettings) -> list[HeightPair]:
    """Read every plot of the settings' sites, sorted by site and plot.

    Args:
        root: Folder that holds `pairs/SITE/[PLOT/]{rgb,chm}.tif`.
        settings: What to read.

    Raises:
        SettingsError: If a site has no plot.
    """
    pairs = []
    for site in settings.sites:
        folders = sorted(path.parent for path in (root / "pairs" / site).glob("**/rgb.tif"))
        if not folders:
            found = f"found no rgb.tif under {root / 'pairs' / site}"
            message = f"{found}; expected PLOT/rgb.tif beside PLOT/chm.tif; check the sites"
            raise SettingsError(message)
        pairs += [read_pair(folder, site=site, gsd_m=settings.gsd_m) for folder in folders]
    return pairs


def read_pair(folder: Path, *, site: str, gsd_m: float) -> HeightPair:
    """Read one plot: `rgb.tif` averaged to `gsd_m`, `chm.tif` on its own grid and on the image's.

    Both files must be north-up in one metric CRS.

    Raises:
        SettingsError: If one of the two files is missing or broken, the CRS differ, or pixels are
            not square, not north-up or too coarse.
        SceneError: If the heights are in no unit of length, or taller than any tree.
    """
    pixels, fine = _read(folder / "rgb.tif", bands=[1, 2, 3])
    surface, coarse = _read(folder / "chm.tif", bands=[1], heights=True)
    if fine.crs != coarse.crs:
        there, here = crs_words(fine.crs), crs_words(coarse.crs)
        found = f"found {there} for rgb.tif and {here} for chm.tif in {folder}"
        message = f"{found}; expected one CRS; warp one to the other"
        raise SettingsError(message)
    if fine.gsd > gsd_m * 1.01:
        message = f"found {fine.gsd} m pixels in {folder / 'rgb.tif'}; expected {gsd_m} m or finer"
        raise SettingsError(message)
    return joined_pair(folder.name, site, (pixels, fine), (surface[0], coarse), gsd_m=gsd_m)


def joined_pair(
    plot: str,
    site: str,
    imagery: tuple[NDArray[np.float32], PlotGrid],
    surface: tuple[NDArray[np.float32], PlotGrid],
    *,
    gsd_m: float,
) -> HeightPair:
    """Join imagery and canopy height of one ground.

    Args:
        plot: Name of the plot.
        site: Name of its site.
        imagery: Red, green, blue in 0..255 (3, y, x), and their grid of `gsd_m` or finer.
        surface: Canopy height [m] (v, u), NaN where there is none, and its grid in the same CRS.
        gsd_m: Pixel size of the pair [m].
    """
    (pixels, fine), (measured, coarse) = imagery, surface
    image = area_average(pixels, from_gsd=fine.gsd, to_gsd=gsd_m)
    target = PlotGrid(crs=fine.crs, left=fine.left, top=fine.top, gsd=gsd_m, shape=image.shape[-2:])
    valid = np.isfinite(measured) & (np.abs(measured) < TALLEST_PLAUSIBLE_M)
    heights = np.where(valid, np.maximum(measured, 0), 0).astype(np.float32)
    image_heights, image_valid = _interpolate(heights, valid, coarse, target)
    return HeightPair(
        plot=plot,
        box=target.box(site),
        gsd_m=gsd_m,
        image=image,
        image_heights=image_heights,
        image_valid=image_valid,
        heights=heights,
        heights_valid=valid,
        image_to_heights_rows=overlap_weights(coarse.rows(), target.rows()),
        image_to_heights_columns=overlap_weights(coarse.columns(), target.columns()),
    )


def area_average(
    pixels: NDArray[np.floating], *, from_gsd: float, to_gsd: float
) -> NDArray[np.float32]:
    """Average pixels (..., y, x) over larger ones that start at the same upper left corner.

    Returns:
        As many whole target pixels as fit (..., floor(y * from / to), floor(x * from / to)).
    """
    weights = []
    for length in pixels.shape[-2:]:
        count = int(np.floor(length * from_gsd / to_gsd + 1e-6))
        weights.append(
            overlap_weights(np.arange(count + 1) * to_gsd, np.arange(length + 1) * from_gsd)
        )
    averaged: NDArray[np.float32] = (weights[0] @ pixels @ weights[1].T).astype(np.float32)
    return averaged


def overlap_weights(
    targets: NDArray[np.floating], sources: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Share of each source interval in the average over each target interval.

    Args:
        targets: Ascending edges of the targets (t + 1,).
        sources: Ascending edges of the sources (s + 1,), in the same unit.

    Returns:
        Weights (t, s); a row sums to 1. A target without any source takes the nearest one.
    """
    ends = np.minimum(targets[1:, None], sources[None, 1:])
    overlap = np.maximum(ends - np.maximum(targets[:-1, None], sources[None, :-1]), 0.0)
    middles = (targets[1:] + targets[:-1]) / 2
    nearest = np.abs(middles[:, None] - (sources[1:] + sources[:-1])[None] / 2).argmin(axis=1)
    lonely = overlap.sum(axis=1) <= 1e-9  # noqa: PLR2004 - an overlap by rounding is none
    overlap[lonely, nearest[lonely]] = 1.0
    weights: NDArray[np.float64] = overlap / overlap.sum(axis=1, keepdims=True)
    return weights


def _read(
    path: Path, *, bands: list[int], heights: bool = False
) -> tuple[NDArray[np.float32], PlotGrid]:
    """Pixels (bands, y, x), heights in metres, NaN where there is no data, and their grid."""
    if not path.is_file():
        message = f"found no {path}; expected rgb.tif beside chm.tif in every plot folder"
        raise SettingsError(message)
    try:
        with rasterio.open(path) as source:
            pixels = source.read(bands, masked=True).astype(np.float32).filled(np.nan)
            if heights:
                scale, offset = metres_stored(str(path), source)
                pixels = pixels * scale + offset
            transform, crs = source.transform, str(source.crs)
    except (RasterioError, IndexError) as error:
        reason = " ".join(str(error).split())
        message = f"{path} cannot be read ({reason}); expected a raster of {len(bands)} bands"
        raise SettingsError(message) from error
    if transform.b or transform.d or not np.isclose(transform.a, -transform.e):
        found = f"found the transform {tuple(transform)[:6]} in {path}"
        message = f"{found}; expected square north-up pixels; warp it"
        raise SettingsError(message)
    left, top, gsd = transform.c, transform.f, transform.a
    return pixels, PlotGrid(crs=crs, left=left, top=top, gsd=gsd, shape=pixels.shape[-2:])


def _interpolate(
    heights: NDArray[np.float32], valid: NDArray[np.bool_], source: PlotGrid, target: PlotGrid
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Heights [m] at the target's pixel centres, and where they rest on valid ones alone (y, x)."""
    rows = _linear_weights(target.rows(), source.rows())
    columns = _linear_weights(target.columns(), source.columns())
    interpolated = rows @ heights @ columns.T
    support = rows @ valid.astype(np.float64) @ columns.T
    whole = support > 1 - 1e-6
    return np.where(whole, interpolated, 0).astype(np.float32), whole


def _linear_weights(
    targets: NDArray[np.float64], sources: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights (t, s) of linear interpolation between centres, given edges; zero outside."""
    spacing = sources[1] - sources[0]
    middles = (targets[1:] + targets[:-1]) / 2
    place = np.clip((middles - sources[0]) / spacing - 0.5, 0, len(sources) - 2)
    weights: NDArray[np.float64] = np.maximum(
        1 - np.abs(place[:, None] - np.arange(len(sources) - 1)[None]), 0
    )
    inside = (middles >= sources[0]) & (middles <= sources[-1])
    weights[~inside] = 0
    return weights
