"""Kinds of trees: how they grow, what their crowns look like from above, what they reflect."""

from __future__ import annotations

from dataclasses import dataclass

from geo.simulation.allometry import (
    DOUGLAS_FIR,
    DRY_SAVANNA,
    LOBLOLLY_PINE,
    LONGLEAF_PINE,
    MOIST_FOREST,
    WESTERN_HEMLOCK,
    HeightCurve,
    TropicalCurve,
)

Colour = tuple[float, float, float]
"""Red, green, blue of a sunlit surface, linear, where 1 is the white of the photograph."""


@dataclass(frozen=True, kw_only=True)
class Species:
    """A kind of tree.

    The outline of a crown is z = top - length (r / radius)^shape: a cone for shape 1, paraboloids
    for 2 and 3 (Pretzsch 1992 and Pretzsch et al. 2002: light crowns of spruce, pine and beech
    widen with the power 0.66, 0.5 and 0.33 of the distance from the top, the inverse of `shape`).

    Attributes:
        name: As tables write it.
        curve: Height over diameter; None for shrubs, as wide as they are high.
        shape: Power of the outline.
        light_crown: Length of the crown above its widest place, over the height of the tree.
        crown: Length of the whole crown over the height of the tree.
        limbs: Number of main limbs, which make the outline lobed.
        lobes: Depth of the lobes, over the radius.
        clump_m: Width of a clump of leaves [m].
        relief_m: Height of a clump [m].
        ragged: Fraying of the outline, over the radius.
        open: Share of the crown through which one sees down.
        leaf_depth_m: Mean depth at which a laser pulse finds the first leaf [m].
        colour: Of sunlit leaves.
        spread: Standard deviation of the brightness of trees, as a share.
        wide: Crown radius over that of the allometry.
        widest: Largest crown radius over the height of the tree.
    """

    name: str
    curve: HeightCurve | TropicalCurve | None
    shape: float
    light_crown: float
    crown: float
    limbs: int
    lobes: float
    clump_m: float
    relief_m: float
    ragged: float
    open: float
    leaf_depth_m: float
    colour: Colour
    spread: float = 0.10
    wide: float = 1.0
    widest: float = 0.20


SPECIES = (
    Species(
        name="fir", curve=DOUGLAS_FIR, shape=1.5, light_crown=0.45, crown=0.7, limbs=8, lobes=0.16,
        clump_m=0.8, relief_m=0.8, ragged=0.30, open=0.05, leaf_depth_m=0.25,
        colour=(0.27, 0.25, 0.11), wide=1.3, widest=0.22,
    ),
    Species(
        name="spruce", curve=WESTERN_HEMLOCK, shape=1.3, light_crown=0.6, crown=0.8, limbs=9,
        lobes=0.14, clump_m=0.7, relief_m=0.7, ragged=0.28, open=0.03, leaf_depth_m=0.2,
        colour=(0.17, 0.22, 0.11), wide=0.9,
    ),
    Species(
        name="pine", curve=LOBLOLLY_PINE, shape=2.0, light_crown=0.3, crown=0.45, limbs=6,
        lobes=0.24, clump_m=1.0, relief_m=1.0, ragged=0.40, open=0.15, leaf_depth_m=0.45,
        colour=(0.27, 0.31, 0.17),
    ),
    Species(
        name="longleaf pine", curve=LONGLEAF_PINE, shape=2.0, light_crown=0.25, crown=0.4, limbs=5,
        lobes=0.28, clump_m=1.1, relief_m=1.1, ragged=0.45, open=0.25, leaf_depth_m=0.55,
        colour=(0.27, 0.33, 0.20),
    ),
    Species(
        name="oak", curve=MOIST_FOREST, shape=2.6, light_crown=0.3, crown=0.55, limbs=6,
        lobes=0.24, clump_m=1.9, relief_m=1.7, ragged=0.35, open=0.0, leaf_depth_m=0.3,
        colour=(0.38, 0.43, 0.16), widest=0.4,
    ),
    Species(
        name="maple", curve=MOIST_FOREST, shape=2.3, light_crown=0.33, crown=0.55, limbs=5,
        lobes=0.22, clump_m=1.5, relief_m=1.4, ragged=0.35, open=0.0, leaf_depth_m=0.25,
        colour=(0.34, 0.43, 0.18), widest=0.35,
    ),
    Species(
        name="birch", curve=MOIST_FOREST, shape=2.0, light_crown=0.35, crown=0.5, limbs=5,
        lobes=0.22, clump_m=1.0, relief_m=0.9, ragged=0.35, open=0.08, leaf_depth_m=0.4,
        colour=(0.38, 0.46, 0.23), wide=0.8, widest=0.25,
    ),
    Species(
        name="acacia", curve=DRY_SAVANNA, shape=4.0, light_crown=0.28, crown=0.35, limbs=5,
        lobes=0.22, clump_m=1.2, relief_m=0.7, ragged=0.40, open=0.15, leaf_depth_m=0.4,
        colour=(0.25, 0.28, 0.12), spread=0.18, widest=0.8,
    ),
    Species(
        name="shrub", curve=None, shape=2.2, light_crown=0.6, crown=0.9, limbs=4, lobes=0.2,
        clump_m=0.6, relief_m=0.25, ragged=0.35, open=0.05, leaf_depth_m=0.15,
        colour=(0.30, 0.34, 0.15), spread=0.2,
    ),
    Species(
        name="snag", curve=DOUGLAS_FIR, shape=1.2, light_crown=0.5, crown=0.7, limbs=7, lobes=0.3,
        clump_m=0.7, relief_m=0.9, ragged=0.6, open=0.55, leaf_depth_m=1.0,
        colour=(0.50, 0.47, 0.46), spread=0.15, wide=0.75,
    ),
)  # fmt: skip

SPECIES_NUMBER = {species.name: number for number, species in enumerate(SPECIES)}
