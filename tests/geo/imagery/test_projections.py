"""Images in other projections show the right colour in the right place."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from scipy import ndimage
from small_mosaics import (
    CELL,
    NORTH,
    PIXEL,
    WEST,
    ZONE,
    at,
    image,
    other_crs,
    read_bytes,
    smooth,
)
from small_scenes import write_scene

from geo.imagery.pixel_window import PixelWindow
from geo.scene import open_scene
from geo.scene_reader import read_on

PROJECTIONS = [
    (32632, 0.6), (32632, 0.1), (32632, 1.5), (4326, 0.6), (3857, 0.9), (3035, 0.25), (25833, 0.3),
]  # fmt: skip


@pytest.mark.parametrize(("epsg", "pixel"), PROJECTIONS)
def test_other_projections_show_the_colour_of_the_place(tmp_path, epsg, pixel):
    path, pixels, transform = other_crs(tmp_path / "a.tif", epsg, pixel)
    got, shown = read_bytes([image(path)])
    assert (shown == 0).all()
    rows, columns = np.mgrid[3:512:31, 5:512:29]
    # The truth, point by point: many of each pixel, through pyproj, interpolated.
    project = pyproj.Transformer.from_crs(ZONE, epsg, always_xy=True)
    expected = np.zeros((3, *rows.shape))
    for down, across in np.ndindex(8, 8):
        x, y = project.transform(
            WEST + (columns + (across + 0.5) / 8) * PIXEL, NORTH - (rows + (down + 0.5) / 8) * PIXEL
        )
        there = np.stack([np.asarray(each) for each in ~transform * (x, y)])[::-1] - 0.5
        for band, values in enumerate(pixels):
            at_points = ndimage.map_coordinates(values.astype(float), there, order=1)
            expected[band] += at_points / 64
    apart = np.abs(got[:, rows, columns] - expected)
    assert apart.max() < 4
    assert apart.mean() < 0.8


@pytest.mark.parametrize(("epsg", "pixel"), PROJECTIONS)
def test_other_projections_are_about_what_gdal_makes_of_them(tmp_path, epsg, pixel):
    path, _, _ = other_crs(tmp_path / "a.tif", epsg, pixel)
    got, _ = read_bytes([image(path)])
    with read_on(open_scene(path), CELL.grid) as reader:
        expected = reader.read(0, 512).pixels
    apart = np.abs(got.astype(int) - expected)
    assert apart.mean() < 1
    assert apart.max() <= 6


@pytest.mark.parametrize("angle", [20.0, 90.0, 180.0])
def test_a_rotated_image_is_turned(tmp_path, angle):
    centre = Affine.translation(WEST + 153.6, NORTH - 153.6) * Affine.rotation(angle)
    transform = centre * Affine(0.6, 0, -150, 0, -0.6, 150)
    pixels = smooth(500, 500)
    path = write_scene(tmp_path / "a.tif", pixels, crs=f"EPSG:{ZONE}", transform=transform)
    got, shown = read_bytes([image(path)])
    rows, columns = np.mgrid[200:312:7, 200:312:5]
    assert (shown[rows, columns] == 0).all()
    there = ~transform * (WEST + (columns + 0.5) * 0.6, NORTH - (rows + 0.5) * 0.6)
    there = np.stack(there[::-1]) - 0.5
    expected = [ndimage.map_coordinates(band.astype(float), there, order=1) for band in pixels]
    assert np.abs(got[:, rows, columns] - np.stack(expected)).max() <= 1


def test_ground_control_points_are_followed(tmp_path):
    pixels, transform = smooth(500, 500), at()
    points = [
        GroundControlPoint(row=row, col=column, x=x, y=y)
        for row in (0, 250, 500)
        for column in (0, 250, 500)
        for x, y in [transform * (column, row)]
    ]
    path = write_scene(
        tmp_path / "a.tif", pixels, crs=None, transform=Affine.identity(),
        gcps=(points, CRS.from_epsg(ZONE)),
    )  # fmt: skip
    got, shown = read_bytes([image(path)])
    assert (shown[5:495, 5:495] == 0).all()
    assert np.abs(got[:, 5:495, 5:495].astype(int) - pixels[:, 5:495, 5:495]).max() <= 2


def test_holes_stay_holes_through_a_projection(tmp_path):
    path, pixels, transform = other_crs(tmp_path / "a.tif", 32632, 0.2)
    hole = np.zeros(pixels.shape[1:], bool)
    hole[500:800, 600:1000] = True
    with rasterio.open(path, "r+") as target:
        target.nodata = 0
        target.write(np.where(hole, 0, pixels))
    got, shown = read_bytes([image(path)])
    rows, columns = np.mgrid[0:512, 0:512]
    x, y = WEST + (columns + 0.5) * PIXEL, NORTH - (rows + 0.5) * PIXEL
    x, y = pyproj.Transformer.from_crs(ZONE, 32632, always_xy=True).transform(x, y)
    column, row = (np.asarray(each) for each in ~transform * (x, y))
    depth = np.minimum.reduce([row - 500, 800 - row, column - 600, 1000 - column])
    assert (shown[depth > 3] == -1).all()
    assert (shown[depth < -3] == 0).all()
    assert got[:, (shown == 0) & (depth < 3)].min() >= 19


def test_a_projection_across_the_antimeridian_is_followed(tmp_path):
    pixel = 0.6 / 111_320
    transform = Affine(pixel, 0, 180 - 400 * pixel, 0, -pixel, 10.0)
    pixels = smooth(400, 800)
    path = write_scene(tmp_path / "a.tif", pixels, crs="EPSG:4326", transform=transform)
    one = image(path)
    seen = 0
    for zone in (32660, 32601):
        project = pyproj.Transformer.from_crs(4326, zone, always_xy=True)
        x, y = project.transform(180.0, 10.0 - 200 * pixel)
        rows, columns = (
            range((int(v // 256) - 1) * 256, (int(v // 256) + 2) * 256) for v in (-y / 0.6, x / 0.6)
        )
        where = PixelWindow(epsg=zone, pixel_m=0.6, rows=rows, columns=columns)
        got, shown = read_bytes([one], where)
        row, column = int(-y / 0.6) - rows.start, int(x / 0.6) - columns.start
        assert (shown[row - 50 : row + 50, column - 100 : column + 100] == 0).all()
        assert np.abs(got[:, row, column].astype(int) - pixels[:, 200, 400]).max() < 12
        seen += 1
    assert seen == 2
