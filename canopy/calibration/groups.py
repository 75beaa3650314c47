"""Which plots are left out together when coverage is told: sites, or folds of ground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy.calibration.settings import ENOUGH_SITES
from canopy.errors import SettingsError
from geo.spatial_split import PlotBox, ground_blocks, spatial_folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canopy.calibration.conformal import PlotSample
    from canopy.calibration.settings import Over

FOLDS = 5
GUARD_M = 20.0
"""Images closer than this share a fold."""


def groups_of(samples: Sequence[PlotSample], over: Over, seed: int) -> tuple[str, list[str]]:
    """Return what is left out together: its kind in words, and the group of each plot.

    Args:
        samples: the plots.
        over: see :class:`CalibrationSettings`.
        seed: deals ground to folds.

    Raises:
        SettingsError: sites are asked for and there is one.
    """
    sites = [sample.site for sample in samples]
    count = len(set(sites))
    if over == "sites" and count == 1:
        msg = f"coverage over sites: all plots lie in {sites[0]}; take --over blocks"
        raise SettingsError(msg)
    if over == "sites" or (over == "auto" and count >= ENOUGH_SITES):
        return "sites", sites
    images = image_boxes(samples)
    separate = len(set(ground_blocks(list(images.values()), guard=GUARD_M)))
    if separate > 1:
        folds = spatial_folds(
            list(images.values()), folds=min(FOLDS, separate), guard=GUARD_M, seed=seed
        )
        fold_of = dict(zip(images, folds, strict=True))
        return "folds of ground", [f"fold {fold_of[sample.image]}" for sample in samples]
    # One stretch of ground: its blocks touch, so that neighbours lie on both sides of a fold.
    boxes = [shrunk(sample.box) for sample in samples]
    dealt = spatial_folds(boxes, folds=min(FOLDS, len(boxes)), seed=seed)
    return "folds of ground that touch", [f"fold {fold}" for fold in dealt]


def image_boxes(samples: Sequence[PlotSample]) -> dict[str, PlotBox]:
    """Return the ground of each image."""
    found: dict[str, PlotBox] = {}
    for sample in samples:
        box = sample.box
        known = found.get(sample.image, box)
        found[sample.image] = PlotBox(
            site=box.site,
            left=min(known.left, box.left),
            bottom=min(known.bottom, box.bottom),
            right=max(known.right, box.right),
            top=max(known.top, box.top),
        )
    return found


def shrunk(box: PlotBox, share: float = 1e-3) -> PlotBox:
    """Return a slightly smaller box: what touches must not overlap by rounding."""
    across, down = share * (box.right - box.left), share * (box.top - box.bottom)
    return PlotBox(
        site=box.site,
        left=box.left + across,
        bottom=box.bottom + down,
        right=box.right - across,
        top=box.top - down,
    )
