"""What a labelled array may look like, and what is refused of one in one line."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr
from small_arrays import Tilted, array_of, centres, holed_images
from small_models import LocalMean, model_of, tiny_model
from small_scenes import EAST, NORTH, UTM, noise, write_scene

import canopy
from canopy.arrays.georeference import grid_of
from canopy.errors import CanopyError, SettingsError
from canopy.mapping.settings import MapSettings
from geo.errors import GeoError, SceneError


@pytest.fixture(autouse=True)
def in_this_thread():
    """Tasks run one after the other, so that a failure is the same each time."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def holed(tmp_path_factory):
    """An image with a hole, aligned and warped, and its heights."""
    return holed_images(tmp_path_factory.mktemp("holed"))


def dataset_of(array: xr.DataArray) -> xr.Dataset:
    """Bands as variables, out of order, beside one that is none of the image."""
    bands = dict(zip(("red", "green", "blue"), (array[index] for index in range(3)), strict=True))
    variables = {name: bands[name].drop_vars("band") for name in ("blue", "red", "green")}
    return xr.Dataset(variables | {"cloud": ((), 0.1)})


def kept_in_encoding(array: xr.DataArray) -> xr.DataArray:
    """The same with its nodata value where xarray puts what a file says."""
    found = array.copy()
    found.encoding["_FillValue"] = found.attrs.pop("_FillValue")
    return found


WAYS = {
    "a data set": dataset_of,
    "a data set with an image in it": lambda array: array.to_dataset(name="image"),
    "named bands in another order": lambda array: (
        array.assign_coords(band=["Red", "green", "BLUE"])[[2, 0, 1]]
    ),
    "short names, and one band more": lambda array: xr.concat(
        [array.assign_coords(band=["R", "G", "B"]), array[:1].assign_coords(band=["nir"])], "band"
    )[[3, 2, 1, 0]],
    "common names beside the band's own": lambda array: array.assign_coords(
        band=["B04", "B03", "B02"], common_name=("band", ["red", "green", "blue"])
    ),
    "descriptions": lambda array: array[[1, 0, 2]].assign_attrs(
        array.attrs, long_name=("green", "red", "blue")
    ),
    "one time": lambda array: array.expand_dims("time"),
    "channels last": lambda array: array.transpose("y", "x", "band").rename(band="channel"),
    "nodata as odc-stac writes it": lambda array: array.assign_attrs(nodata=0, _FillValue=None),
    "nodata as xarray keeps it": kept_in_encoding,
    "the CRS in its attributes": lambda array: array.drop_vars("spatial_ref").assign_attrs(crs=UTM),
    "the CRS as stackstac writes it": lambda array: array.drop_vars("spatial_ref").assign_coords(
        epsg=32633
    ),
    "a grid mapping of another name": lambda array: array.rename(
        spatial_ref="projection"
    ).assign_attrs(grid_mapping="projection"),
    "no GeoTransform": lambda array: array.assign_coords(
        spatial_ref=((), 0, {"crs_wkt": array.spatial_ref.attrs["crs_wkt"]})
    ),
}  # fmt: skip


def masked(array: xr.DataArray, **encoding) -> xr.DataArray:
    """The same as rioxarray reads it with ``masked=True``."""
    found = array.where(array != 0).astype("float32").drop_attrs(deep=False)
    found.encoding = {"dtype": "uint8", **encoding}
    return found


@pytest.mark.parametrize("kind", ["aligned", "warped"])
def test_bytes_that_were_masked_are_bytes(holed, kind):
    array = masked(holed[kind].array, _FillValue=np.float32(0))
    found = canopy.predict(array, model=model_of(Tilted()))
    np.testing.assert_array_equal(found.values, holed[kind].heights)


def test_bytes_that_were_masked_by_alpha_are_bytes(holed):
    found = canopy.predict(masked(holed["aligned"].array), model=model_of(Tilted()))
    np.testing.assert_array_equal(found.values, holed["aligned"].heights)


@pytest.mark.parametrize("way", WAYS)
def test_an_image_is_understood_however_it_comes(holed, way):
    found = canopy.predict(WAYS[way](holed["aligned"].array), model=model_of(Tilted()))
    np.testing.assert_array_equal(found.values, holed["aligned"].heights)


def test_alpha_says_what_is_missing(holed):
    array = holed["aligned"].array
    alpha = (array != 0).any("band").astype("uint8") * np.uint8(255)
    opaque = (
        array.where(array != 0, 77).astype("uint8").assign_coords(band=["red", "green", "blue"])
    )
    both = xr.concat([opaque, alpha.assign_coords(band="alpha")], "band").drop_attrs(deep=False)
    found = canopy.predict(both, model=model_of(Tilted()))
    np.testing.assert_array_equal(np.isnan(found.values), np.isnan(holed["aligned"].heights))


def test_a_plain_photograph_has_a_scale_if_it_is_told():
    photograph = xr.DataArray(noise(100, 120), dims=("band", "y", "x"))
    choices = MapSettings(pixel_size_m=0.3)
    found = canopy.predict(photograph, model=model_of(LocalMean()), settings=choices)
    assert found.shape == (50, 60)
    assert "spatial_ref" not in found.coords
    np.testing.assert_allclose(found.x[:2], [0.3, 0.9])


def test_latitude_and_longitude_are_axes_too(holed):
    array = holed["warped"].array.rename(y="latitude", x="longitude")
    found = canopy.predict(array, model=model_of(Tilted()))
    np.testing.assert_array_equal(found.values, holed["warped"].heights)


@pytest.mark.parametrize("pixel", [0.1, 0.25, 0.3, 0.6])
def test_the_transform_is_found_again_in_the_coordinates(tmp_path, pixel):
    path = write_scene(tmp_path / "scene.tif", noise(97, 113), pixel=pixel)
    transform = grid_of(array_of(path, geotransform=False)).transform
    assert tuple(transform)[:6] == (pixel, 0, EAST, 0, -pixel, NORTH)


def test_a_selection_lies_where_it_was_taken_from(holed):
    """Its GeoTransform is that of the whole, as rioxarray leaves it."""
    part = holed["aligned"].array[:, 30:, 40:]
    grid = grid_of(part)
    assert (grid.transform.c, grid.transform.f) == (EAST + 20, NORTH - 15)


# --- what is refused ----------------------------------------------------------


def good(**changes) -> xr.DataArray:
    """A small image; its coordinates changed."""
    coordinates = {"y": centres(NORTH, -0.6, 40), "x": centres(EAST, 0.6, 50)} | changes
    array = xr.DataArray(noise(40, 50), dims=("band", "y", "x"), attrs={"crs": UTM})
    return array.assign_coords(
        {name: value for name, value in coordinates.items() if value is not None}
    )


REFUSED = {
    "no CRS": (lambda: good().drop_attrs(), "has no CRS"),
    "degrees without a CRS": (
        lambda: good().drop_attrs().rename(y="latitude", x="longitude"), "crs='EPSG:4326'"
    ),
    "no such CRS": (lambda: good().assign_attrs(crs="EPSG:99999999"), "expected a CRS"),
    "irregular rows": (lambda: good(y=NORTH - np.arange(40) ** 1.1), "along y are not evenly"),
    "rows twice": (lambda: good(y=np.full(40, NORTH)), "along y are not evenly"),
    "no coordinates": (lambda: good(x=None), "no coordinates along x"),
    "coordinates of text": (lambda: good(x=[f"c{i}" for i in range(50)]), "not all numbers"),
    "one column": (lambda: good()[:, :, :1], "one pixel along x"),
    "two bands": (lambda: good()[:2], "has 2 bands"),
    "no bands": (lambda: good()[0].drop_vars("band", errors="ignore"), "one grey band"),
    "bands of other names": (
        lambda: xr.concat([good(), good()[:1]], "band").assign_coords(band=[*"abcd"]), "a, b, c, d"
    ),
    "several times": (lambda: xr.concat([good()] * 2, "time"), "isel(time=0)"),
    "no pixels": (lambda: good()[:, :0], "0 x 50 pixels"),
    "rows and columns of other names": (lambda: good().rename(y="row", x="column"), "y and x"),
    "two nodata values": (
        lambda: xr.Dataset({
            name: good()[0].assign_attrs(nodata=index) for index, name in enumerate("rgb")
        }), "0 and 1 and 2",
    ),
    "an empty data set": (lambda: xr.Dataset(coords=good().coords), "without a variable"),
    "whether it is bright": (lambda: good() > 5, "bool pixels"),
    "half precision": (lambda: good().astype("float16"), "float16 pixels"),
    "a NumPy array": (lambda: noise(40, 50), "xarray DataArray"),
    "pixels of 3 m": (
        lambda: good(y=centres(NORTH, -3, 40), x=centres(EAST, 3, 50)), "give finer imagery"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_image_is_refused_in_one_line(case):
    make, said = REFUSED[case]
    with pytest.raises(SceneError) as raised:
        canopy.predict(make(), model=tiny_model())
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"grid": "scene"}, "grid of scene"),
        ({"resolution_m": 1.0}, "resolution_m"),
        ({"encoding": "uint8-m"}, "encoding"),
        ({"preview": False}, "preview"),
        ({"stac": False}, "stac"),
        ({"overwrite": True}, "overwrite"),
        ({"resume": True}, "resume"),
        ({"radiometry": "aerial"}, "radiometry aerial"),
        ({"pixel_size_m": 0.6}, "leave pixel_size_m out"),
        ({"bands": (1, 2, 7)}, "band 7"),
        ({"bands": (1, 2)}, "2 bands asked for"),
        ({"tile_px": 50}, "tile of 50 px"),
        ({"interval": 0.9}, "no calibration"),
    ],
    ids=str,
)
def test_a_setting_without_meaning_is_refused_in_one_line(choices, said):
    with pytest.raises((CanopyError, GeoError)) as raised:
        canopy.predict(good(), model=tiny_model(), settings=MapSettings(**choices))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_automatic_stretch_of_pixels_as_they_are_is_refused():
    image = good().astype("uint16")
    with pytest.raises(SettingsError, match="radiometry none with a stretch of auto"):
        canopy.predict(image, model=tiny_model(), settings=MapSettings(radiometry="none"))


def test_chunks_of_less_than_a_pixel_are_refused():
    with pytest.raises(SettingsError, match="chunk_px of 0"):
        canopy.predict(good(), model=tiny_model(), chunk_px=0)
