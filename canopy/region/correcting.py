"""The heights of a cell corrected by a network: a factor is a function of the ground, not of cells.

Coarse cells lie at the same places of the zone's endless grid whatever the cell, and heights and
imagery are read so far beyond its border that all that decides about its factors is there.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from canopy.correction.applying import FactorField
from canopy.correction_network.coarse_field import (
    CoarseCells,
    factor_field,
    map_coarse,
    predict_coarse,
)
from canopy.correction_network.metadata import joined, unknown
from canopy.correction_network.model import load_correction_model
from canopy.correction_network.place_facts import ViewFacts, metadata_at
from canopy.correction_network.seeing import Seen, defaults_of
from canopy.correction_network.settings import FieldSettings
from canopy.errors import SettingsError
from canopy.evaluation.height_source import open_heights
from geo.ground import SAME_GSD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from canopy.correction_network.metadata import Metadata
    from canopy.correction_network.model import CorrectionModel
    from canopy.height_models.card import ModelCard
    from canopy.region.cell_plan import CellPlan, MosaicStrips
    from geo.grid import Grid
    from geo.imagery.image import Image
    from geo.imagery.pixel_window import PixelWindow

Array = NDArray[np.float64]

SETTINGS = FieldSettings()
"""How predictions become factors in every region."""

LOADING = threading.Lock()


def network_of(name: str) -> CorrectionModel:
    """Return a correction network, loaded once in a process.

    Raises:
        ModelError: it is unknown or broken.
    """
    with LOADING:
        return load_once(name)


@lru_cache(maxsize=1)
def load_once(name: str) -> CorrectionModel:
    """Load a correction network."""
    return load_correction_model(name)


def correction_in_words(name: str | None) -> str:
    """Return what a reader of the region must know of its correction; nothing without one."""
    if name is None:
        return ""
    card = network_of(name).card
    return f"Heights are corrected by {card.title}. {card.notice}".rstrip()


def margin_of(name: str | None) -> int:
    """Return how far beyond a cell its heights are needed [model px]; 0 without a network."""
    if name is None:
        return 0
    network = network_of(name)
    return SETTINGS.margin_px(network.card, network.window_px)


def correction_facts(name: str | None, card: ModelCard) -> dict[str, Any]:
    """Return what of a correction decides about pixels; nothing without one.

    Raises:
        SettingsError: the network sees other pixels than the height model.
        ModelError: it is unknown or broken.
    """
    if name is None:
        return {}
    network = network_of(name)
    if abs(network.card.gsd_m / card.gsd_m - 1) > SAME_GSD:
        msg = (
            f"correction {name} sees pixels of {network.card.gsd_m:g} m, the model {card.name} of "
            f"{card.gsd_m:g} m: in a region both must see the same, take others"
        )
        raise SettingsError(msg)
    return {"correction": network.identity | asdict(SETTINGS)}


def see_cell(
    plan: CellPlan, described: Path, network: CorrectionModel, images: Sequence[Image]
) -> Seen:
    """Look at a cell and what lies around it through a network.

    Args:
        plan: of the cell.
        described: its heights and those around it: the kept window of the plan.
        network: the network.
        images: what `shown` of the mosaic counts.

    Raises:
        SceneError: an image breaks off.
    """
    cells, hull = cells_of(plan.kept, plan.hull), plan.hull.grid
    told: list[Metadata] = []
    with plan.open_mosaic(plan.hull) as reader:

        def facts_at(places: Array) -> Metadata:
            found = facts_of(hull, places, reader, images)
            told.append(found)
            return found

        predicted = predict_coarse(cells, reader, network, facts_at)
    # Nominal pixels: true ones differ by a hair from cell to cell.
    side = plan.kept.pixel_m
    source = replace(open_heights(described), pixel_m=(side, side))
    corner = (
        plan.kept.rows.start - plan.hull.rows.start,
        plan.kept.columns.start - (plan.hull.columns.start),
    )
    with source.open() as heights:
        mapped = map_coarse(cells, heights, network.card, corner, np.isfinite(predicted))
    field, counts = factor_field(cells, predicted, mapped, network, SETTINGS)
    return Seen(
        model=network, field=field, counts=counts, predicted=predicted, mapped=mapped,
        defaults=defaults_of(joined(told) if told else unknown(0)), settings=SETTINGS,
    )  # fmt: skip


def cells_of(kept: PixelWindow, hull: PixelWindow) -> CoarseCells:
    """Return the coarse cells that heights of a window may tell of, on the grid of its hull."""
    stride = SETTINGS.stride_px
    rows, columns = (
        range((mine.start - all_.start) // stride, -(-(mine.stop - all_.start) // stride))
        for mine, all_ in ((kept.rows, hull.rows), (kept.columns, hull.columns))
    )
    return CoarseCells(grid=hull.grid, stride_px=stride, rows=rows, columns=columns)


def facts_of(grid: Grid, places: Array, reader: MosaicStrips, images: Sequence[Image]) -> Metadata:
    """Return what is known of places, each by the image that it shows."""
    rows, columns = places.astype(np.int64).T
    shown = np.full(len(places), -1)
    for row in np.unique(rows):
        on = rows == row
        shown[on] = reader.shown(int(row), 1)[0, columns[on]]
    facts = metadata_at(grid, places, ViewFacts())
    angles = {
        name: np.array([*(angle(getattr(image, name)) for image in images), np.nan])[shown]
        for name in ("sun_elevation", "off_nadir")
    }
    return replace(facts, **angles)


def angle(value: float | None) -> float:
    """Return an angle [degrees], NaN where it is not known."""
    return np.nan if value is None else float(value)


def within_cell(seen: Seen, grid: Grid, around: int = 0) -> Seen:
    """Return the part of what was seen whose coarse cells have a part in a grid, or lie around it.

    Factors at its edge are interpolated between cells of which one lies beyond.
    """
    field = seen.field.grid
    scale = ~field.transform * grid.transform
    first = [int(np.floor(start + 1e-6)) - around for start in (scale.f, scale.c)]
    last = [
        int(np.ceil(start + length * side - 1e-6)) + around
        for start, length, side in (
            (scale.f, grid.height, scale.e),
            (scale.c, grid.width, scale.a),
        )
    ]
    down, across = (slice(low, high) for low, high in zip(first, last, strict=True))
    moved = field.transform * Affine.translation(first[1], first[0])
    part = replace(field, transform=moved, height=last[0] - first[0], width=last[1] - first[1])
    return replace(
        seen,
        field=FactorField(grid=part, factors=seen.field.factors[down, across]),
        counts=seen.counts[down, across],
        predicted=seen.predicted[down, across],
        mapped=seen.mapped[down, across],
    )
