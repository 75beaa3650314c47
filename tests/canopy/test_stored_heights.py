"""What the numbers of a raster of heights mean: its unit, and heights that no tree has."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from small_heights import forest, write_heights

from canopy.stored_heights import metres_stored, windows_over
from geo.errors import SceneError


def meaning(path, scale=None):
    with rasterio.open(path) as dataset:
        return metres_stored(path.name, dataset, scale)


@pytest.mark.parametrize(
    ("unit", "metres"), [("", 1), ("m", 1), ("Feet", 0.3048), ("cm", 0.01), ("dm", 0.1)]
)
def test_the_unit_scale_and_offset_of_a_file_count(tmp_path, unit, metres):
    path = write_heights(tmp_path / "chm.tif", forest(20, 20))
    with rasterio.open(path, "r+") as dataset:
        dataset.units, dataset.scales, dataset.offsets = (unit,), (0.5,), (2.0,)
    assert meaning(path) == pytest.approx((0.5 * metres, 2 * metres))
    assert meaning(path, 0.25) == (0.25, 0.0)


def test_other_quantities_are_refused_unless_the_user_knows_better(tmp_path):
    path = write_heights(tmp_path / "density.tif", forest(20, 20))
    with rasterio.open(path, "r+") as dataset:
        dataset.units = ("1/m2",)
    with pytest.raises(SceneError, match="is in 1/m2: expected heights in metres"):
        meaning(path)
    assert meaning(path, 1.0) == (1.0, 0.0)


@pytest.mark.parametrize("side", [40, 700])
@pytest.mark.parametrize(("factor", "more"), [(100, 0), (1, 1800)])
def test_centimetres_and_elevations_are_refused(tmp_path, side, factor, more):
    path = write_heights(tmp_path / "cm.tif", forest(side, side) * factor + more)
    with pytest.raises(SceneError, match="taller than any tree") as raised:
        meaning(path)
    assert "\n" not in str(raised.value)
    if factor > 1:
        assert meaning(path, 0.01) == (0.01, 0.0)


def test_open_ground_in_centimetres_is_refused_by_its_few_trees(tmp_path):
    heights = np.zeros((60, 60))
    heights[:10] = forest(10, 60) * 100
    with pytest.raises(SceneError, match="taller than any tree"):
        meaning(write_heights(tmp_path / "cm.tif", heights))


def test_a_nodata_that_nobody_declared_and_single_artefacts_are_not_refused(tmp_path):
    heights = forest(60, 60)
    heights[:30] = 255
    heights[40, :20] = np.linspace(200, 900, 20)
    assert meaning(write_heights(tmp_path / "chm.tif", heights, nodata=None)) == (1.0, 0.0)


def test_what_has_no_valid_pixel_is_not_refused(tmp_path):
    path = write_heights(tmp_path / "empty.tif", np.full((9, 9), np.nan))
    assert meaning(path) == (1.0, 0.0)


@pytest.mark.parametrize("shape", [(1, 1), (320, 5000), (3000, 321)])
def test_windows_lie_inside_and_do_not_overlap(shape):
    seen = np.zeros(shape, int)
    for window in windows_over(*shape):
        rows, columns = window.toslices()
        assert rows.stop <= shape[0]
        assert columns.stop <= shape[1]
        seen[rows, columns] += 1
    assert seen.max() == 1
    assert seen[0, 0] == seen[-1, -1] == 1
