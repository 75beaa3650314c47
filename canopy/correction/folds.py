"""Blocks of ground dealt into folds, so that no footprint is judged by a field it took part in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

BLOCKS_A_FOLD = 2
"""Blocks are halved until there are as many a fold."""

LEAST_BLOCK_M = 75.0
BLOCKS_M = (100.0, 1000.0)
"""Least and greatest side of blocks that are chosen by how far apart shots lie."""

BLOCK_OVER_GAP = 4.0
"""Side of a block over the distance that its shots shall have from others: half of a square lies
within a seventh of its side of the edge, and the guard adds the rest of a quarter."""

PLACES_A_SIDE = 64

GUARD_M = 50.0
"""Shots nearer to one kept aside are not used for it [m]: two footprints, so that no tree is in
both."""


def blocks_of_ground(places: Array, block_m: float, folds: int) -> tuple[NDArray[np.int64], float]:
    """Return the number of the square block that each place lies in (n,), and its side [m].

    Args:
        places: metres right and down (n, 2).
        block_m: side wished for [m]; halved until there are enough blocks, to 75 m at least.
        folds: how many there shall be.
    """
    side = block_m
    while True:
        cells = np.floor(places / side).astype(np.int64)
        _, number = np.unique(cells, axis=0, return_inverse=True)
        number = np.asarray(number, np.int64).ravel()
        enough = number.max(initial=-1) + 1 >= BLOCKS_A_FOLD * folds
        if enough or side / 2 < LEAST_BLOCK_M:
            return number, side
        side /= 2


def fitting_block(places: Array) -> float:
    """Return the side of blocks [m] for shots at places (n, 2).

    A field is for all ground, which lies as far from shots as they leave it; on shots kept aside it
    is judged rightly if these lie as far from the others. Too large blocks would prefer fields too
    smooth, too small ones fields that leave the ground between two tracks alone. So: four times the
    median distance of the ground from the nearest shot, from 100 m to 1 km.
    """
    low, high = places.min(axis=0), places.max(axis=0)
    across, down = (np.linspace(*ends, PLACES_A_SIDE) for ends in zip(low, high, strict=True))
    ground = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    distance, _ = cKDTree(places).query(ground)
    return float(np.clip(BLOCK_OVER_GAP * np.median(distance), *BLOCKS_M))


def deal(blocks: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal blocks into folds that hold about as many shots each, and return each shot's fold (n,).

    Blocks go from the fullest to the emptiest, each to the fold that holds least; chance decides
    between equals.
    """
    counts = np.bincount(blocks)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order], kind="stable")]
    filled, fold_of = np.zeros(folds), np.zeros(len(counts), np.int64)
    for block in order.tolist():
        fold_of[block] = int(np.argmin(filled))
        filled[fold_of[block]] += counts[block]
    return fold_of[blocks]


def far_from(places: Array, aside: Mask) -> Mask:
    """Return which places may be used where some are kept aside (n,)."""
    distance, _ = cKDTree(places[aside]).query(places)
    far: Mask = ~aside & (distance >= GUARD_M)
    return far
