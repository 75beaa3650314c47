"""The picture of a map shows the scene as fine as it is."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from small_models import LocalMean, model_of
from small_scenes import noise, write_scene

from canopy.mapping.picture import PREVIEW_PX, preview_image
from canopy.mapping.plan import plan_map
from canopy.mapping.settings import MapSettings
from geo.scene import open_scene

UTM = "EPSG:32611"


def plan_of(path, **choices):
    return plan_map(open_scene(path), model_of(LocalMean()), MapSettings(**choices))


def test_a_finer_scene_is_pictured_at_its_own_resolution(tmp_path):
    pixels = noise(61, 67)
    path = write_scene(
        tmp_path / "fine.tif", pixels, crs=UTM, transform=Affine(0.1, 0, 5e5, 0, -0.1, 4e6)
    )
    image, valid = preview_image(plan_of(path))
    assert image.shape == (3, 66, 72)  # eleven by twelve pixels of 0.6 m
    np.testing.assert_array_equal(image[:, :61, :67], pixels)
    assert valid.all()


def test_a_large_scene_is_pictured_no_larger_than_a_picture(tmp_path):
    pixels = noise(40, 2000)
    path = write_scene(
        tmp_path / "wide.tif", pixels, crs=UTM, transform=Affine(0.6, 0, 5e5, 0, -0.6, 4e6)
    )
    image, valid = preview_image(plan_of(path))
    assert image.shape == (3, 18, PREVIEW_PX)
    assert valid.all()


@pytest.mark.parametrize("grid", ["model", "scene"])
def test_missing_pixels_are_missing_in_the_picture(tmp_path, grid):
    pixels = noise(60, 60)
    pixels[:, :30] = 0
    path = write_scene(
        tmp_path / "hole.tif",
        pixels,
        crs=UTM,
        transform=Affine(0.6, 0, 5e5, 0, -0.6, 4e6),
        nodata=0,
    )
    _, valid = preview_image(plan_of(path, grid=grid))
    assert not valid[:30].any()
    assert valid[30:].all()
