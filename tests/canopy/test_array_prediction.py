"""Heights of labelled arrays: the map's own numbers, lazily, whatever the chunks."""

from __future__ import annotations

import pickle
import shutil

import dask
import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_arrays import DEGREES, CountedBlocks, Tilted, array_of, centres, holed_images
from small_models import Constant, LocalMean, model_of, tiny_model
from small_scenes import EAST, NORTH, PLACES, UPRIGHT, UTM, metric, noise, write_scene

import canopy
from canopy.arrays.georeference import grid_of
from canopy.errors import ModelError
from canopy.height_models.folder import save_height_model
from canopy.mapping.settings import MapSettings
from canopy.shared_model import NamedModel

UNROTATED = [
    place for place in PLACES
    if not place.gcps and place.crs and abs(place.transform.b) < 1e-9
]  # fmt: skip
"""Places that coordinates along two axes can describe."""


@pytest.fixture(autouse=True)
def in_this_thread():
    """Tasks run one after the other, so that a failure is the same each time."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def same_as_the_map(map_of):
    """A function that compares the heights of a file's array with the map of the file."""

    def compare(path, *, model=None, chunks=None, array=None, **choices):
        model = model or model_of(Tilted())
        expected = map_of(path, model=model, **choices)
        array = array_of(path, chunks) if array is None else array
        found = canopy.predict(array, model=model, settings=MapSettings(**choices))
        assert isinstance(found.data, da.Array)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.values, expected.heights, rtol=0, atol=1e-3)
        assert grid_of(found).matches(expected.grid)
        assert np.ptp(found.values[np.isfinite(found.values)]) > 5
        return found

    return compare


# --- the numbers of the map ---------------------------------------------------


@pytest.mark.parametrize("place", UNROTATED, ids=lambda place: place.name)
def test_heights_are_those_of_the_map_of_the_same_file(tmp_path, same_as_the_map, place):
    path = place.write(tmp_path / "scene.tif", noise(place.height, place.width))
    same_as_the_map(path, chunks={"y": 50, "x": 61})


@pytest.mark.parametrize("pixel", [0.25, 0.3, 0.6, 0.8])
def test_missing_pixels_are_missing_in_the_heights(tmp_path, same_as_the_map, pixel):
    pixels = noise(260, 330)
    pixels[:, 40:90, 100:230] = 0
    pixels[:, :, :70] = 0
    pixels[1, 200:, 300:] = 0  # one band alone does not make a pixel missing
    path = write_scene(tmp_path / "scene.tif", pixels, pixel=pixel, nodata=0)
    found = same_as_the_map(path, chunks={"y": 64, "x": 100})
    assert 0.2 < np.isnan(found.values).mean() < 0.5


def test_missing_pixels_are_missing_after_a_warp_too(tmp_path, same_as_the_map):
    pixels = noise(150, 900)
    pixels[:, 40:90, 100:430] = 0
    path = DEGREES.write(tmp_path / "scene.tif", pixels, nodata=0)
    same_as_the_map(path, chunks={"band": 1, "y": 64, "x": 100})


@pytest.mark.parametrize("place", [metric("0.4 m", 0.4), DEGREES], ids=lambda place: place.name)
def test_nan_is_missing(tmp_path, same_as_the_map, place):
    pixels = np.random.default_rng(0).random((3, 130, 170)).astype("float32")
    pixels[2, 20:60, 30:90] = np.nan
    same_as_the_map(place.write(tmp_path / "scene.tif", pixels))


def test_the_stretch_of_many_bits_is_that_of_the_map(tmp_path, same_as_the_map):
    """Larger than the sample that it is chosen from."""
    path = write_scene(tmp_path / "scene.tif", noise(1100, 90, dtype="uint16"), nodata=0)
    same_as_the_map(path, chunks={"y": 300})


@pytest.mark.parametrize(
    "choices",
    [
        {"stretch": (100.0, 3000.0)},
        {"stretch": "none", "radiometry": "none"},
        {"stretch": (0.0, 3000.0), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.2)},
        {"tile_px": 96, "overlap_px": 48, "batch": 3},
        {"bands": (3, 2, 1)},
    ],
    ids=str,
)
def test_settings_decide_what_they_decide_about_a_map(tmp_path, same_as_the_map, choices):
    pixels = noise(130, 400, dtype="uint16")
    pixels[0] //= 2
    if choices.get("stretch") == "none":
        pixels *= 16
    same_as_the_map(write_scene(tmp_path / "scene.tif", pixels), **choices)


def test_a_real_network_in_the_same_batches_gives_the_same_bits(tmp_path):
    path = write_scene(tmp_path / "scene.tif", noise(100, 420))
    array, model = array_of(path, {"x": 90}), tiny_model()
    found = canopy.predict(array, model=model)
    canopy.map_heights(
        path, tmp_path / "map.tif", model=model, settings=MapSettings(preview=False, stac=False)
    )
    with rasterio.open(tmp_path / "map.tif") as dataset:
        np.testing.assert_array_equal(found.values, dataset.read(1))


def test_an_interval_is_two_bands_more(tmp_path):
    path = write_scene(tmp_path / "scene.tif", noise(100, 300))
    choices = {"interval": 0.9}
    found = canopy.predict(array_of(path), settings=MapSettings(**choices), device="cpu")
    canopy.map_heights(
        path, tmp_path / "map.tif", device="cpu",
        settings=MapSettings(preview=False, stac=False, **choices),
    )  # fmt: skip
    assert found.dims == ("band", "y", "x")
    assert found.band.values.tolist() == ["height", "lower", "upper"]
    with rasterio.open(tmp_path / "map.tif") as dataset:
        np.testing.assert_allclose(found.values, dataset.read(), rtol=0, atol=1e-3)
    assert (found.sel(band="lower") <= found.sel(band="height")).all()


# --- whatever the chunks --------------------------------------------------


@pytest.fixture(scope="module")
def holed(tmp_path_factory):
    """An image with a hole, aligned and warped, and its heights."""
    return holed_images(tmp_path_factory.mktemp("holed"))


@given(data=st.data(), kind=st.sampled_from(["aligned", "warped"]))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_heights_depend_on_no_chunks(holed, data, kind):
    array, expected = holed[kind].array, holed[kind].heights
    side = st.integers(30, 300)
    chunks = {
        "band": data.draw(st.sampled_from([1, 3])),
        "y": data.draw(side),
        "x": data.draw(side),
    }
    dims = data.draw(st.permutations(["band", "y", "x"]))
    found = canopy.predict(
        array.chunk(chunks).transpose(*dims), model=model_of(Tilted()),
        chunk_px=data.draw(st.none() | st.integers(1, 400)),
    )  # fmt: skip
    np.testing.assert_array_equal(found.values, expected)


# --- lazy ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_nothing_is_computed_before_the_heights_are(tmp_path, dtype):
    path = UPRIGHT.write(tmp_path / "scene.tif", noise(130, 170, dtype=dtype))
    counted = CountedBlocks(array_of(path), (3, 40, 50))
    model = model_of(LocalMean())
    heights = canopy.predict(counted.array, model=model)
    assert heights.chunks
    assert counted.computed == []
    assert model.network.tiles == 0
    heights.compute()
    assert sorted(set(counted.computed)) == sorted(counted.computed)
    assert len(counted.computed) == 4 * 4


def test_a_part_of_the_heights_reads_a_part_of_the_image(tmp_path):
    path = write_scene(tmp_path / "scene.tif", noise(600, 2000))
    counted = CountedBlocks(array_of(path), (3, 50, 50))
    model = model_of(LocalMean())
    canopy.predict(counted.array, model=model)[300:320, 900:920].compute()
    assert len(counted.computed) < 0.1 * 12 * 40
    assert model.network.tiles < 0.1 * 12 * 41


def test_a_square_of_sixty_kilometres_is_planned_at_once():
    side = 100_000
    pixels = da.zeros((3, side, side), chunks=(3, 4096, 4096), dtype="uint8")
    image = xr.DataArray(
        pixels, dims=("band", "y", "x"),
        coords={"y": centres(NORTH, -0.6, side), "x": centres(EAST, 0.6, side)},
    )  # fmt: skip
    model = model_of(Constant(5), tile_px=1024, overlap_px=128)
    found = canopy.predict(image, model=model, crs=UTM)
    assert found.shape == (side, side)
    assert np.isclose(found[50_000:50_010, 50_000:50_010].compute(), 5).all()


def test_chunks_are_whole_tiles(holed):
    model = model_of(Tilted())
    small = canopy.predict(holed["aligned"].array, model=model)
    large = canopy.predict(holed["aligned"].array, model=model, chunk_px=100)
    edges, fewer = (set(np.cumsum(heights.chunks[0]).tolist()) for heights in (small, large))
    assert fewer < edges
    assert max(large.chunks[0]) <= 100


def test_threads_agree(holed):
    image = holed["aligned"].array.chunk({"y": 40, "x": 40})
    with dask.config.set(scheduler="threads", num_workers=4):
        found = canopy.predict(image, model=model_of(Tilted())).values
    np.testing.assert_array_equal(found, holed["aligned"].heights)


def test_the_same_image_has_the_same_name_and_other_settings_another(model_folder, holed):
    image = holed["aligned"].array.chunk()
    names = [
        canopy.predict(image, model=model_folder, settings=choices, device="cpu").data.name
        for choices in (None, MapSettings(), MapSettings(overlap_px=20), MapSettings(batch=1))
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3


# --- models in other processes ------------------------------------------------


def test_a_named_model_travels_as_its_name(model_folder, holed):
    heights = canopy.predict(holed["aligned"].array.chunk(), model=model_folder, device="cpu")
    shared = [value for value in graph_values(heights) if isinstance(value, NamedModel)]
    assert len(shared) == 1
    assert len(pickle.dumps(shared[0])) < 3000


def test_a_worker_with_other_weights_is_refused(model_folder):
    named = NamedModel(
        name=str(model_folder), device="cpu", settings=MapSettings(), fingerprint="f" * 64
    )
    with pytest.raises(ModelError, match="other weights in this process") as raised:
        named.load()
    assert "\n" not in str(raised.value)


def test_new_weights_in_the_same_folder_are_used(tmp_path, holed):
    image = holed["aligned"].array
    found = []
    for seed in (0, 1):
        save_height_model(tiny_model(seed), tmp_path / f"new-{seed}")
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        shutil.move(tmp_path / f"new-{seed}", tmp_path / "model")
        found.append(canopy.predict(image, model=tmp_path / "model", device="cpu"))
    expected = canopy.predict(image, model=tiny_model(1))
    np.testing.assert_array_equal(found[1].values, expected.values)
    with pytest.raises(ModelError, match="other weights in this process"):
        found[0].compute()


def graph_values(heights):
    """What stands in a graph that is no task."""
    return [getattr(value, "value", value) for value in dict(heights.__dask_graph__()).values()]


@pytest.mark.slow
@pytest.mark.parametrize("given", [False, True], ids=["by name", "in memory"])
def test_processes_of_a_cluster_agree(model_folder, holed, given):
    distributed = pytest.importorskip("distributed")
    model = canopy.load_height_model(model_folder, device="cpu")
    image = holed["aligned"].array.chunk({"y": 60, "x": 80})
    expected = canopy.predict(image, model=model).values
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        lazy = canopy.predict(image, model=model if given else model_folder, device="cpu")
        found = client.compute(lazy).result()
    np.testing.assert_array_equal(found.values, expected)


# --- what comes out -----------------------------------------------------------


def test_heights_say_what_they_are(holed, tmp_path):
    found = canopy.predict(holed["aligned"].array, model=tiny_model())
    assert (found.name, found.dims) == ("canopy_height", ("y", "x"))
    assert found.attrs["units"] == "m"
    assert found.attrs["standard_name"] == "canopy_height"
    assert found.attrs["model"] == "small 1"
    assert found.x.attrs["standard_name"] == "projection_x_coordinate"
    assert (np.diff(found.y) < 0).all()
    again = grid_of(found)
    assert again.crs.to_epsg() == 32633
    assert tuple(again.transform)[:6] == (0.6, 0, EAST, 0, -0.6, NORTH)
    found.to_netcdf(tmp_path / "heights.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "heights.nc", engine="scipy") as read:
        assert grid_of(read).matches(again)
