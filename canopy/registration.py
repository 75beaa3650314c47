"""Canopy heights set right on their image: read both, find the shift, move what is surely off."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rasterio.windows import Window

from canopy.chips.pairing import PairFiles
from canopy.chips.views import open_views, sample_views
from canopy.moved_heights import Move, plan_moved, write_moved_heights
from geo.registration.local_shifts import (
    LEAST_WINDOWS,
    WINDOW_M,
    LocalRegistration,
    register_locally,
)
from geo.registration.shift_grid import ShiftGrid
from geo.registration.single_shift import Registration, RegistrationSettings, register_views
from geo.registration.window_shifts import WindowPlace, WindowShift, shift_of_window
from geo.simulation.light import SunSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from canopy.chips.views import OpenViews
    from canopy.moved_heights import MovedFiles
    from geo.grid import Grid
    from geo.registration.shift_evidence import View

    Progress = Callable[[int, int], None]

MOST_WINDOWS = 16
"""Windows down and across in which local shifts are sought; on larger ground they are spread."""

LEAST_KNOWN = 0.5
"""Share of a window that image and heights must both know."""


@dataclass(frozen=True, kw_only=True)
class RegisteredPair:
    """What came of an image and its heights.

    Attributes:
        image: the imagery.
        heights: the canopy heights.
        files: where the moved heights stand, or None where none were written.
        grid: on which both were compared.
        found: the one shift for all.
        local: what came of looking for a shift in every window; None where the scene is small, or
            it was not asked for.
    """

    image: Path
    heights: Path
    files: MovedFiles | None
    grid: Grid
    found: Registration
    local: LocalRegistration | None

    @property
    def applied(self) -> str:
        """By what heights are moved: ``local`` shifts, the ``global`` one, or ``none``."""
        if self.local is not None and self.local.better:
            return "local"
        return "global" if self.found.verdict == "shifted" else "none"


@dataclass(frozen=True, kw_only=True)
class RegistrationOutput:
    """Where moved heights will stand.

    Attributes:
        path: a GeoTIFF; it stands there when it is whole, and only if the heights surely lie
            elsewhere. Its QGIS style stands beside it.
        stac: whether its STAC item does, too.
        overwrite: whether files that stand there are replaced.
    """

    path: Path
    stac: bool = True
    overwrite: bool = False

    def plan(self, sources: Sequence[Path]) -> MovedFiles:
        """Decide where all files will stand, and that they may.

        Raises:
            OutputError: one may not be written.
        """
        return plan_moved(self.path, sources, stac=self.stac, overwrite=self.overwrite)


def register(
    image: str | Path,
    heights: str | Path,
    output: RegistrationOutput | None = None,
    *,
    settings: RegistrationSettings | None = None,
    local: bool = True,
    progress: Progress | None = None,
) -> RegisteredPair:
    """Find how far canopy heights lie beside an image, and write them moved where that is better.

    Where one shift fits all, the georeference is moved and pixels are untouched; where another
    shift in every place is surely better, pixels are resampled once.

    Args:
        image: imagery, red, green and blue; it is taken to lie where it should.
        heights: canopy heights [m], one band, in any CRS.
        output: where the moved heights will stand. None to look only.
        settings: how far is searched, and what is believed.
        local: whether a shift in every window is looked for, where nine windows of 60 m or more
            have room.
        progress: told the number of windows that are done and of all.

    Raises:
        GeoError: a file cannot be read or written, the output may not be written, the two share no
            ground, or the heights are elevations.
        SettingsError: a file has no CRS.
    """
    settings = settings or RegistrationSettings()
    image, heights = Path(image), Path(heights)
    files = output.plan((image, heights)) if output else None
    names = PairFiles(name=image.stem, site="", image=image, heights=heights)
    with open_views(names, settings.max_shift_m) as pair:
        grid = pair.grid
        found = register_views(sample_views(pair), grid.pixel_size[0], settings)
        fields = find_local(pair, found, settings, progress) if local else None
    registered = RegisteredPair(
        image=image, heights=heights, files=files, grid=grid, found=found, local=fields
    )
    if files is None or registered.applied == "none":
        return RegisteredPair(**{**vars(registered), "files": None})
    followed = fields if registered.applied == "local" else None
    move = Move(image=image, heights=heights, crs=grid.crs, found=found, local=followed)
    write_moved_heights(move, files)
    return registered


def find_local(
    pair: OpenViews,
    found: Registration,
    settings: RegistrationSettings,
    progress: Progress | None,
) -> LocalRegistration | None:
    """Look for a shift in every window of a scene; None where it is too small."""
    rows, columns, spacing_m = lattice(pair)
    count = len(rows) * len(columns)
    if count < LEAST_WINDOWS:
        return None
    shifts = ShiftGrid(reach=pair.margin, pixel_m=pair.grid.pixel_size[0])
    sun = SunSettings(azimuth_deg=found.sun_azimuth_deg, elevation_deg=found.sun_elevation_deg)
    windows: list[WindowShift] = []
    for number, (place, view) in enumerate(placed_views(pair, rows, columns), 1):
        if known_share(view) >= LEAST_KNOWN:
            windows.append(shift_of_window(view, place, shifts, sun, settings))
        if progress:
            progress(number, count)
    if len(windows) < LEAST_WINDOWS:
        return None
    return register_locally(windows, shifts, found, spacing_m, settings)


def lattice(pair: OpenViews) -> tuple[list[int], list[int], float]:
    """Return where rows and columns of windows begin [px], and how far they are apart [m]."""
    pixel_m, common = pair.grid.pixel_size[0], pair.common
    side = round(WINDOW_M / pixel_m)
    rows = window_starts(common.row_off, common.height, side)
    columns = window_starts(common.col_off, common.width, side)
    steps = [starts[1] - starts[0] for starts in (rows, columns) if len(starts) > 1]
    return rows, columns, max([side, *steps]) * pixel_m


def window_starts(first: int, length: int, side: int) -> list[int]:
    """Return where windows of a side begin along an axis, spread evenly, none over another [px]."""
    count = min(MOST_WINDOWS, length // side)
    starts = np.linspace(first, first + length - side, count).round()
    return [int(start) for start in starts]


def placed_views(
    pair: OpenViews, rows: list[int], columns: list[int]
) -> Iterator[tuple[WindowPlace, View]]:
    """Yield every window of a lattice, and where it is."""
    side = round(WINDOW_M / pair.grid.pixel_size[0])
    numbers = list(product(range(len(rows)), range(len(columns))))
    windows = [Window(columns[column], rows[row], side, side) for row, column in numbers]
    for (row, column), window, view in zip(numbers, windows, pair.read(windows), strict=True):
        x, y = pair.grid.transform * (window.col_off + side / 2, window.row_off + side / 2)
        yield WindowPlace(row=row, column=column, x_m=x, y_m=y), view


def known_share(view: View) -> float:
    """Return the share of a view that image and heights both know."""
    inner = slice(view.margin, -view.margin or None)
    return float((view.image_known & view.heights_known[inner, inner]).mean())
