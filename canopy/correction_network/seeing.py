"""A map and its imagery, seen by a network: predictions, the map beneath them, and the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from canopy.correction.factor_field import REACH
from canopy.correction_network.coarse_field import (
    CoarseCells,
    factor_field,
    map_coarse,
    predict_coarse,
)
from canopy.correction_network.metadata import DEFAULTS
from canopy.correction_network.place_facts import metadata_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from canopy.correction.applying import FactorField
    from canopy.correction_network.imagery import Imagery
    from canopy.correction_network.metadata import Metadata
    from canopy.correction_network.model import CorrectionModel
    from canopy.correction_network.place_facts import ViewFacts
    from canopy.correction_network.settings import FieldSettings
    from canopy.evaluation.height_source import HeightSource
    from geo.raster import Pixels

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a network sees over a map.

    Attributes:
        model: the network.
        field: the factors; all 1 where nothing is to be changed.
        counts: predictions that count at each of its cells (rows, columns).
        predicted: relative heights (rows, columns) [m], NaN where a window lacks imagery.
        mapped: percentiles of the map (rows, columns) [m], NaN where it covers too little.
        defaults: facts that were missing somewhere, and what stood in their place [degrees].
        settings: how the field was made.
    """

    model: CorrectionModel
    field: FactorField
    counts: Pixels
    predicted: Array
    mapped: Array
    defaults: dict[str, float]
    settings: FieldSettings

    @property
    def windows(self) -> int:
        """How many windows were predicted."""
        return int(np.isfinite(self.predicted).sum())

    @property
    def unseen(self) -> float:
        """Share of the map, 0 to 1, that no prediction reaches, for want of imagery."""
        if not self.windows:
            return 1.0
        side_m = self.settings.stride_px * self.model.card.gsd_m
        away_m = side_m * ndimage.distance_transform_edt(np.isnan(self.predicted))
        return float(np.mean(away_m > REACH * self.settings.bandwidth_m))

    @property
    def window_m(self) -> float:
        """Side of a window [m]."""
        return self.model.window_px * self.model.card.gsd_m

    @property
    def applied(self) -> bool:
        """Whether any height may change."""
        return not self.field.is_one

    @property
    def reason(self) -> str:
        """Why heights are changed, or why not."""
        if not self.windows:
            return f"no window of {self.window_m:.0f} m has full imagery"
        if not (self.counts > 0).any():
            return (
                f"none of {self.windows} windows shows canopy of {self.settings.least_height_m:g} "
                "m in prediction and map together"
            )
        if self.field.is_one:
            factor = np.exp(self.settings.least_change_of(self.model.card))
            return (
                f"map and {self.windows} predictions agree within a factor of {factor:.2f} "
                "everywhere, as far as the network may be off in a forest"
            )
        low, high = float(self.field.factors.min()), float(self.field.factors.max())
        return f"{self.windows} predictions against the map ask for factors {low:.2f} to {high:.2f}"

    def lineage(self, heights: str) -> str:
        """Return in a sentence what was done to a map of a name."""
        card = self.model.card
        if not self.applied:
            return f"Canopy heights of {heights}, unchanged: {self.reason}"
        return (
            f"Canopy heights of {heights}, multiplied by a smooth field of factors from the "
            f"correction network {card.title}: {self.reason}"
        )

    @property
    def details(self) -> dict[str, Any]:
        """The numbers of a correction, for the properties of an item; each with canopy: before."""
        card, factors = self.model.card, self.field.factors
        found = (factors.min(), np.median(factors), factors.max())
        told = {"correction_notice": card.notice} if card.notice else {}
        return told | {
            "correction_applied": self.applied,
            "correction_reason": self.reason,
            "correction_model": card.title,
            "correction_model_sha256": self.model.fingerprint,
            "correction_model_simulated": card.simulated,
            "correction_percentile": card.percentile,
            "correction_factors": [round(float(value), 4) for value in found],
            "correction_windows": self.windows,
            "correction_defaults": self.defaults,
        }


def see(
    source: HeightSource,
    imagery: Imagery,
    model: CorrectionModel,
    view: ViewFacts,
    settings: FieldSettings,
    progress: Callable[[int, int], None] | None = None,
) -> Seen:
    """Look at a map and its imagery through a network.

    Args:
        source: the map; its upper left corner is that of the imagery's grid.
        imagery: at the network's pixel.
        model: the network.
        view: how the imagery was taken.
        settings: how the field is made.
        progress: told how many windows of all are finished.

    Raises:
        SceneError: a file breaks off.
    """
    cells = CoarseCells.over(imagery.grid, settings.stride_px)

    def facts_at(places: Array) -> Metadata:
        return metadata_at(imagery.grid, places, view)

    with imagery.read() as reader:
        predicted = predict_coarse(cells, reader, model, facts_at, progress)
    with source.open() as heights:
        wanted = np.isfinite(predicted)
        mapped = map_coarse(cells, heights, model.card, wanted=wanted)
    field, counts = factor_field(cells, predicted, mapped, model, settings)
    return Seen(
        model=model, field=field, counts=counts, predicted=predicted, mapped=mapped,
        defaults=defaults_of(facts_at(cells.middles[wanted.ravel()].astype(np.float64))),
        settings=settings,
    )  # fmt: skip


def defaults_of(metadata: Metadata) -> dict[str, float]:
    """Return the facts that are missing somewhere, with the defaults that stand there."""
    return {name: DEFAULTS[name] for name in metadata.missing}
