"""What hypothesis draws: grids, tile plans and the tiles that have data."""

from __future__ import annotations

from affine import Affine
from hypothesis import strategies as st
from rasterio.crs import CRS

from geo.grid import Grid
from geo.tiles import plan_tiles

lengths = st.integers(1, 90)
"""Sides of a map [px]."""


@st.composite
def plans(draw):
    """A plan of tiles: any size, tiles of any multiple, any overlap up to half a tile."""
    multiple = draw(st.sampled_from([1, 2, 4, 7]))
    tile = multiple * draw(st.integers(1 if multiple > 2 else 3, 12))
    return plan_tiles(
        draw(lengths), draw(lengths), tile=tile, overlap=draw(st.integers(0, tile // 2)),
        multiple=multiple,
    )  # fmt: skip


@st.composite
def plans_with_holes(draw):
    """A plan of tiles, and the set of (row, column) of tiles that are left out."""
    plan = draw(plans())
    tiles = st.tuples(st.integers(0, len(plan.rows) - 1), st.integers(0, len(plan.columns) - 1))
    return plan, draw(st.sets(tiles, max_size=plan.count))


@st.composite
def grids(draw):
    """A grid in UTM: rotated, flipped, with pixels of any shape."""
    pixel = st.floats(0.05, 3)
    transform = (
        Affine.translation(draw(st.floats(3e5, 7e5)), draw(st.floats(1e6, 9e6)))
        * Affine.rotation(draw(st.sampled_from([0.0, 0.0, 30.0, 90.0, -135.0])))
        * Affine.scale(draw(pixel), draw(st.sampled_from([-1, 1])) * draw(pixel))
    )
    return Grid(
        crs=CRS.from_epsg(32633), transform=transform, height=draw(lengths), width=draw(lengths)
    )
