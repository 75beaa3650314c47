"""Opening a scene: what GDAL knows is believed, what cannot be mapped is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from small_scenes import UPRIGHT, UTM, noise, write_scene

from geo.errors import GeoError, SceneError
from geo.scene import open_scene
from geo.scene_reader import read_on

HTML = "<!DOCTYPE html>\n<html><body>Please log in</body></html>"


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def refused(source, said, **options):
    with pytest.raises(SceneError, match=said) as error:
        open_scene(source, **options)
    assert str(source) in one_line(error)


def colours_of(source, **options):
    scene = open_scene(source, **options)
    with read_on(scene, scene.grid) as reader:
        return reader.read(0, scene.grid.height)


# --- what a scene is ----------------------------------------------------------


def test_a_scene_is_what_rasterio_says(tmp_path):
    path = write_scene(tmp_path / "a & b <c>.tif", noise(20, 30, dtype="int16"), nodata=-9999)
    scene = open_scene(path)
    with rasterio.open(path) as dataset:
        assert scene.grid.transform == dataset.transform
        assert scene.grid.crs == dataset.crs
        assert scene.grid.shape == dataset.shape
        assert (scene.dtype, scene.nodata, scene.driver) == ("int16", -9999, "GTiff")
    assert scene.gsd_m == pytest.approx(0.6, rel=1e-3)


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_picture_takes_its_scale_from_the_user(tmp_path, kind):
    path = tmp_path / f"picture.{kind}"
    Image.fromarray(np.moveaxis(noise(20, 30), 0, -1)).save(path)
    scene = open_scene(path, pixel_size_m=0.1)
    assert scene.grid.crs is None
    assert scene.grid.pixel_size == (0.1, 0.1)
    assert scene.grid.is_north_up
    assert scene.gsd_m == 0.1


def test_a_picture_without_a_scale_is_refused(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.moveaxis(noise(20, 30), 0, -1)).save(path)
    refused(path, r"has no CRS and no geotransform: .*--pixel-size")


def test_a_scene_with_half_a_georeference_is_refused_but_takes_a_scale(tmp_path):
    placed = write_scene(tmp_path / "placed.tif", noise(9, 9), crs=None)
    named = write_scene(tmp_path / "named.tif", noise(9, 9), transform=Affine.identity())
    refused(placed, r"has no CRS: .*--pixel-size")
    refused(named, r"has no geotransform: .*--pixel-size")
    for path in (placed, named):
        assert open_scene(path, pixel_size_m=0.2).grid.pixel_size == (0.2, 0.2)


def test_a_scale_for_a_georeferenced_scene_is_refused(tmp_path):
    path = write_scene(tmp_path / "scene.tif", noise(9, 9))
    refused(path, r"is georeferenced: leave --pixel-size out", pixel_size_m=0.6)


def scene_with_points(path, places, crs=UTM):
    """A scene that has nothing but ground control points at some (row, column)."""
    points = [
        GroundControlPoint(row=row, col=column, x=5e5 + 0.6 * column, y=5.4e6 - 0.6 * row)
        for row, column in places
    ]
    crs = CRS.from_string(crs) if crs else CRS()
    return write_scene(
        path, noise(20, 30), crs=None, transform=Affine.identity(), gcps=(points, crs)
    )


def test_ground_control_points_alone_are_a_georeference(tmp_path):
    corners = [(0, 0), (0, 30), (20, 0), (20, 30)]
    scene = open_scene(scene_with_points(tmp_path / "scene.tif", corners))
    assert len(scene.gcps) == 4
    assert scene.grid.crs == CRS.from_string(UTM)
    assert scene.grid.transform.almost_equals(Affine(0.6, 0, 5e5, 0, -0.6, 5.4e6), 1e-6)
    x, y = scene.locate(np.array([10.0]), np.array([15.0]))
    assert (x[0], y[0]) == pytest.approx((5e5 + 9, 5.4e6 - 6), abs=1e-3)


@pytest.mark.parametrize("places", [[(0, 0)], [(0, 0), (20, 30)], [(0, 0), (0, 9), (0, 30)]])
def test_ground_control_points_on_a_line_are_refused(tmp_path, places):
    path = scene_with_points(tmp_path / "scene.tif", places)
    refused(path, r"ground control points that do not span a plane")


def test_ground_control_points_of_no_crs_say_nothing(tmp_path):
    path = scene_with_points(tmp_path / "scene.tif", [(0, 0), (0, 30), (20, 0)], crs=None)
    refused(path, "has no CRS and no geotransform")
    scene = open_scene(path, pixel_size_m=0.3)
    assert scene.gcps == ()
    assert scene.grid.pixel_size == (0.3, 0.3)


# --- palettes -----------------------------------------------------------------

COLOURS = {0: (0, 0, 0, 255), 1: (10, 200, 30, 255), 2: (255, 0, 7, 255), 3: (90, 90, 90, 255)}


def palette_scene(path, nodata=None):
    """A GeoTIFF, which keeps no opacity of colours."""
    indices = np.arange(48).reshape(1, 6, 8).astype(np.uint8) % 4
    return indices[0], write_scene(path, indices, colormap=COLOURS, nodata=nodata)


def test_a_palette_becomes_its_colours(tmp_path):
    indices, path = palette_scene(tmp_path / "a & b <c>.tif")
    raster = colours_of(path)
    expected = np.array([COLOURS[index] for index in range(4)])[indices]
    np.testing.assert_array_equal(raster.pixels, np.moveaxis(expected[..., :3], -1, 0))
    assert raster.valid.all()


def test_the_nodata_index_of_a_palette_is_missing(tmp_path):
    indices, path = palette_scene(tmp_path / "scene.tif", nodata=2)
    np.testing.assert_array_equal(colours_of(path).valid, indices != 2)


def test_a_transparent_colour_of_a_palette_is_missing(tmp_path):
    path = tmp_path / "scene.png"
    Image.fromarray(np.moveaxis(noise(20, 30), 0, -1)).quantize(16).save(path, transparency=5)
    expected = np.asarray(Image.open(path).convert("RGBA"))
    shown = expected[..., 3] > 0
    assert 0 < shown.mean() < 1
    raster = colours_of(path, pixel_size_m=0.1)
    np.testing.assert_array_equal(raster.valid, shown)
    np.testing.assert_array_equal(raster.pixels[:, shown], expected[shown, :3].T)


def test_a_palette_png_is_what_pillow_sees(tmp_path):
    path = tmp_path / "scene.png"
    Image.fromarray(np.moveaxis(noise(20, 30), 0, -1)).quantize(16).save(path)
    expected = np.moveaxis(np.asarray(Image.open(path).convert("RGB")), -1, 0)
    raster = colours_of(path, pixel_size_m=0.1)
    np.testing.assert_array_equal(raster.pixels, expected)
    assert raster.valid.all()


# --- what cannot be mapped ----------------------------------------------------


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "none.tif", "does not exist")


def test_a_folder_is_refused(tmp_path):
    refused(tmp_path, "is a folder")


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "scene.tif"
    path.touch()
    refused(path, "is empty")


def test_a_page_saved_as_a_raster_is_refused_as_what_it_is(tmp_path):
    path = tmp_path / "scene.tif"
    path.write_text(HTML)
    refused(path, "is an HTML page")


def test_noise_is_refused(tmp_path):
    path = tmp_path / "scene.tif"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    refused(path, "cannot be read as a raster")


def test_a_file_cut_off_in_its_header_is_refused(tmp_path):
    path = write_scene(tmp_path / "scene.tif", noise(50, 50))
    path.write_bytes(path.read_bytes()[:60])
    refused(path, "cannot be read as a raster")


def test_one_grey_band_is_refused_with_the_reason(tmp_path):
    path = write_scene(tmp_path / "scene.tif", noise(9, 9, 1))
    refused(path, "one grey band: canopy height needs red, green and blue")


def test_complex_numbers_are_refused(tmp_path):
    path = write_scene(tmp_path / "scene.tif", noise(9, 9).astype(np.complex64))
    refused(path, "complex64 pixels")


def test_a_local_crs_is_refused_with_what_to_do(tmp_path):
    local = 'LOCAL_CS["Local Coordinates (m)",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'
    path = write_scene(tmp_path / "scene.tif", noise(9, 9), crs=local)
    with pytest.raises(GeoError, match="no known place on Earth") as error:
        _ = open_scene(path).gsd_m
    one_line(error)


# --- from a server ------------------------------------------------------------


def test_a_scene_on_a_server_is_read_like_a_file(tmp_path, served):
    path = UPRIGHT.write(tmp_path / "far.tif", noise(130, 170), tiled=True, compress="deflate")
    far, near = colours_of(f"{served}/far.tif"), colours_of(path)
    np.testing.assert_array_equal(far.pixels, near.pixels)
    assert far.grid.matches(near.grid)


def test_a_palette_on_a_server_becomes_its_colours(tmp_path, served):
    _, path = palette_scene(tmp_path / "far.tif")
    far, near = colours_of(f"{served}/far.tif"), colours_of(path)
    np.testing.assert_array_equal(far.valid, near.valid)
    np.testing.assert_array_equal(far.pixels[:, far.valid], near.pixels[:, near.valid])


def test_a_page_from_a_server_is_refused_as_what_it_is(tmp_path, served):
    (tmp_path / "page.tif").write_text(HTML)
    refused(f"{served}/page.tif", "the server sends an HTML page, check the address")


def test_a_scene_that_a_server_does_not_have_is_refused(served):
    refused(f"{served}/none.tif", "the server answers 404")


def test_a_description_on_a_server_cannot_point_at_files_here(tmp_path, served):
    path = UPRIGHT.write(tmp_path / "secret.tif")
    text = (
        '<VRTDataset rasterXSize="170" rasterYSize="130"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    (tmp_path / "far.vrt").write_text(text)
    refused(f"{served}/far.vrt", "is a VRT, which can point at files here")
