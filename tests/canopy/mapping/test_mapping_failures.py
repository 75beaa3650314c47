"""What cannot become a map is one line, and leaves nothing behind."""

from __future__ import annotations

import os
import resource
import shutil
from collections import namedtuple

import numpy as np
import pytest
from PIL import Image
from small_models import Constant, LocalMean, model_of
from small_scenes import PLACES, UPRIGHT, noise, write_scene

from canopy.errors import CanopyError, OutputError
from canopy.mapping.map_heights import map_heights
from canopy.mapping.settings import MapSettings
from geo.errors import GeoError, MapFileError, SceneError


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "map.tif"


def fails(source, output, kind, said, *, model=None, **choices):
    """Expect one line of an error, and a folder as it was before."""
    folder = output.parent
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(kind, match=said) as error:
        map_heights(
            source, output, model=model or model_of(LocalMean()), device="cpu",
            settings=MapSettings(**({"preview": False, "stac": False} | choices)),
        )  # fmt: skip
    assert isinstance(error.value, GeoError | CanopyError)
    assert "\n" not in str(error.value)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before
    assert not list(folder.glob("*.partial"))


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


# --- the scene ----------------------------------------------------------------


@pytest.mark.parametrize("grid", ["model", "scene"])
@pytest.mark.parametrize("pixel", [0.6, 0.3, 1.0])
def test_a_file_that_breaks_off_leaves_nothing(tmp_path, out, pixel, grid):
    path = write_scene(tmp_path / "scene.tif", noise(400, 300), pixel=pixel, compress="deflate")
    fails(cut(path, 0.7), out, SceneError, r"scene\.tif cannot be read", grid=grid)


def test_a_warped_file_that_breaks_off_leaves_nothing(tmp_path, out):
    place = next(place for place in PLACES if place.crs == "EPSG:3857")
    path = place.write(tmp_path / "scene.tif", noise(130, 170), compress="deflate")
    fails(cut(path, 0.7), out, SceneError, r"scene\.tif cannot be read")


def test_a_photograph_that_breaks_off_leaves_nothing(tmp_path, out):
    path = tmp_path / "scene.jpg"
    Image.fromarray(np.moveaxis(noise(300, 300), 0, -1)).save(path, quality=95)
    fails(cut(path, 0.6), out, SceneError, r"scene\.jpg cannot be read", pixel_size_m=0.6)


def test_a_file_with_a_damaged_block_leaves_nothing(tmp_path, out):
    path = write_scene(tmp_path / "scene.tif", noise(400, 300), compress="deflate")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    fails(path, out, SceneError, r"scene\.tif cannot be read")


@pytest.mark.parametrize("stretch", ["auto", (0.0, 4000.0)])
def test_real_numbers_that_break_off_leave_nothing(tmp_path, out, stretch):
    path = write_scene(tmp_path / "scene.tif", noise(200, 200, dtype="uint16"), compress="deflate")
    fails(cut(path, 0.6), out, SceneError, r"scene\.tif cannot be read", stretch=stretch)


def test_a_missing_scene_leaves_nothing(tmp_path, out):
    fails(tmp_path / "none.tif", out, SceneError, "does not exist")


def test_one_grey_band_leaves_nothing(tmp_path, out):
    path = write_scene(tmp_path / "scene.tif", noise(90, 90, 1))
    fails(path, out, SceneError, "one grey band")


# --- the output ---------------------------------------------------------------


@pytest.fixture
def scene(tmp_path):
    return UPRIGHT.write(tmp_path / "scene.tif")


def test_an_existing_map_is_kept(scene, out):
    out.write_bytes(b"precious")
    fails(scene, out, OutputError, "exists: .*--overwrite")


@pytest.mark.parametrize("name", ["map.qml", "map.json", "map.preview.png"])
def test_an_existing_companion_is_kept(scene, out, name):
    (out.parent / name).write_bytes(b"precious")
    fails(scene, out, OutputError, f"{name} exists", preview=True, stac=True)


def test_an_existing_map_is_replaced_where_asked(scene, out, map_of):
    out.write_bytes(b"worthless")
    found = map_of(scene, output=out, overwrite=True, model=model_of(Constant(5)))
    np.testing.assert_array_equal(found.heights, 5)


def test_a_failed_run_keeps_the_map_it_should_have_replaced(tmp_path, out):
    out.write_bytes(b"precious")
    path = write_scene(tmp_path / "scene.tif", noise(400, 300), compress="deflate")
    fails(cut(path, 0.7), out, SceneError, "cannot be read", overwrite=True)


def test_a_scene_is_never_overwritten(scene):
    fails(scene, scene, OutputError, "is what shall be read", overwrite=True)


def test_a_scene_is_never_overwritten_through_a_link(scene, out):
    out.symlink_to(scene)
    with pytest.raises(OutputError, match="is what shall be read"):
        map_heights(scene, out, model=model_of(LocalMean()), settings=MapSettings(overwrite=True))
    assert scene.stat().st_size > 1000


def test_a_scene_that_would_become_a_companion_is_never_overwritten(tmp_path):
    path = tmp_path / "map.preview.png"
    Image.fromarray(np.moveaxis(noise(90, 90), 0, -1)).save(path)
    fails(
        path, tmp_path / "map.tif", OutputError, "is what shall be read", overwrite=True,
        preview=True, pixel_size_m=0.6,
    )  # fmt: skip


def test_a_folder_is_no_output(scene, out):
    out.mkdir()
    fails(scene, out, OutputError, "is a folder")


def test_a_missing_folder_is_refused(scene, out):
    missing = out.parent / "missing" / "map.tif"
    with pytest.raises(OutputError, match="does not exist"):
        map_heights(scene, missing, model=model_of(LocalMean()))
    assert not missing.parent.exists()


@pytest.mark.parametrize("name", ["map.png", "map", "map.tif.gz"])
def test_a_name_that_is_no_geotiff_is_refused(scene, out, name):
    fails(scene, out.with_name(name), OutputError, "end its name in .tif")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to the superuser")
def test_a_folder_that_may_not_be_written_is_refused(scene, out):
    out.parent.chmod(0o500)
    try:
        fails(scene, out, MapFileError, "cannot be written")
    finally:
        out.parent.chmod(0o700)


# --- room ---------------------------------------------------------------------


def test_a_full_disk_is_refused_before_the_work(scene, out, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil gives it
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    network = Constant(5)
    fails(scene, out, MapFileError, "GB free", model=model_of(network))
    assert network.tiles == 0


@pytest.mark.parametrize(("limit", "choices"), [(20_000, {}), (90_000, {"resolution_m": 0.45})])
def test_a_disk_that_fills_up_leaves_nothing(scene, out, limit, choices):
    """20 kB stop the rows, 90 kB what is made of them."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(MapFileError) as error:
            map_heights(
                scene, out, model=model_of(LocalMean(0)),
                settings=MapSettings(preview=False, stac=False, **choices),
            )  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(error.value)
    assert list(out.parent.iterdir()) == []


# --- the model ----------------------------------------------------------------


def test_a_network_that_fails_at_once_leaves_nothing(scene, out):
    def broken(_):
        raise ZeroDivisionError

    network = Constant()
    network.forward = broken
    with pytest.raises(ZeroDivisionError):
        map_heights(scene, out, model=model_of(network))
    assert list(out.parent.iterdir()) == []
