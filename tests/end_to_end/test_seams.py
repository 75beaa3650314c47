"""No seam between cells: a step over a border is a step like any other."""

from __future__ import annotations

import numpy as np
import pytest
from small_regions import read_cells, request, write_image
from small_worlds import settings_of

from canopy.region.map_region import map_region
from geo.simulation.world import simulate

CELL_PX, SIDE_PX, SIMULATED_PX = 512, 1024, 672
PATCH_PX = 16
"""What a network draws inside its tiles repeats after so many pixels; cells begin at such ones."""

AROUND = [PATCH_PX * step for step in range(-6, 7) if step]


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    """An image of a simulated forest over four cells; far from their borders it is mirrored."""
    made = simulate(settings_of("mixed", size_m=SIMULATED_PX * 0.6), 3).imagery
    more = (0, SIDE_PX - SIMULATED_PX)
    pixels = np.pad(made, ((0, 0), more, more), mode="symmetric")
    return write_image(tmp_path_factory.mktemp("forest") / "a.tif", pixels)


def seam_index(heights, border=CELL_PX):
    """Return the step over the borders of cells, over that at the same place of patches nearby."""
    steps = [np.abs(np.diff(each, axis=0)).mean(axis=1) for each in (heights, heights.T)]
    over = sum(each[border - 1] for each in steps)
    inside = sum(np.mean([each[border - 1 + away] for away in AROUND]) for each in steps)
    return over / inside


@pytest.mark.slow
def test_a_step_over_a_border_is_a_step_inside_a_cell(tmp_path, forest):
    made = {}
    for cell_px in (CELL_PX, SIDE_PX):
        out = tmp_path / str(cell_px)
        run = map_region(request([forest], cell_px=cell_px), out)
        assert run.report.counts["done"] == (SIDE_PX // cell_px) ** 2
        made[cell_px], _ = read_cells(out)
    # The same ground inside one cell, and over the borders of four: every step is the same.
    np.testing.assert_array_equal(made[CELL_PX], made[SIDE_PX])
    heights = made[CELL_PX]
    assert np.abs(np.diff(heights)).mean() > 0.05
    index = seam_index(heights)
    assert index < 1.1
    heights[:CELL_PX, :CELL_PX] += 2.0  # a cell that is two metres off would be seen
    assert seam_index(heights) > index + 0.3
