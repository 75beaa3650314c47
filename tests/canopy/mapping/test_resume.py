"""A run that was stopped goes on where it was, and ends in the very same map."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_models import Constant, LocalMean, model_of, tiny_model
from small_scenes import PLACES, UPRIGHT, noise, write_scene

from canopy.mapping.map_heights import map_heights
from canopy.mapping.settings import MapSettings
from geo.errors import MapFileError, ResumeError
from geo.height_maps.partial_map import partial_folder

ROOT = Path(__file__).parents[3]


@pytest.fixture
def scene(tmp_path):
    """Five rows of tiles of noise with a hole."""
    pixels = noise(240, 150)
    pixels[:, 90:130, 20:100] = 0
    return write_scene(tmp_path / "scene.tif", pixels, nodata=0)


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "map.tif"


def settings(**choices):
    return MapSettings(**({"preview": False, "stac": False} | choices))


def interrupted_after(share):
    """A progress that presses Ctrl-C as soon as more than a share of all tiles is done."""

    def progress(done, total):
        if done > share * total:
            signal.raise_signal(signal.SIGINT)

    return progress


def stop(scene, output, *, share=0.5, model=None, **choices):
    """Run and be interrupted."""
    with pytest.raises(KeyboardInterrupt):
        map_heights(
            scene, output, model=model or tiny_model(), settings=settings(**choices),
            progress=interrupted_after(share),
        )  # fmt: skip
    assert not output.exists()
    assert partial_folder(output).exists()


@pytest.mark.parametrize(("share", "rows"), [(0.2, 1), (0.5, 2), (0.9, 4)])
def test_a_resumed_map_is_the_uninterrupted_one(scene, output, map_of, share, rows):
    whole = map_of(scene, model=tiny_model())
    stop(scene, output, share=share)
    resumed = map_of(scene, output=output, model=tiny_model(), resume=True, overwrite=False)
    np.testing.assert_array_equal(resumed.heights, whole.heights)
    assert output.read_bytes() == whole.path.read_bytes()
    report = resumed.report
    assert report.tiles_resumed == rows * 3
    total = report.tiles_run + report.tiles_skipped + report.tiles_resumed
    assert total == whole.report.tiles_run + whole.report.tiles_skipped
    assert {path.name for path in output.parent.iterdir()} == {"map.tif", "map.qml"}


@pytest.mark.parametrize(
    "place",
    [
        "UTM, 0.1 m",
        "UTM, 0.59 m",
        "UTM, 1 m",
        "rotated",
        "degrees, Finland",
        "ground control points in metres",
    ],
)
@pytest.mark.parametrize("grid", ["model", "scene"])
def test_a_resampled_map_resumes_to_the_same_pixels(tmp_path, output, map_of, place, grid):
    place = next(other for other in PLACES if other.name == place)
    if place.gcps and grid == "scene":
        grid = "model"
    scale = 3 if place.height == 500 else 1
    path = place.write(tmp_path / "scene.tif", noise(place.height, place.width), nodata=7)
    choices = {"grid": grid, "overlap_px": 16 // scale}
    whole = map_of(path, model=tiny_model(), **choices)
    with pytest.raises(KeyboardInterrupt):
        map_heights(
            path, output, model=tiny_model(), settings=settings(**choices),
            progress=interrupted_after(0.5),
        )  # fmt: skip
    resumed = map_of(path, output=output, model=tiny_model(), resume=True, **choices)
    assert resumed.report.tiles_resumed > 0
    np.testing.assert_array_equal(resumed.heights, whole.heights)


@pytest.mark.parametrize("encoding", ["int16-cm", "uint8-m"])
def test_other_encodings_resume_too(scene, output, map_of, encoding):
    whole = map_of(scene, model=tiny_model(), encoding=encoding)
    stop(scene, output, encoding=encoding)
    resumed = map_of(scene, output=output, model=tiny_model(), resume=True, encoding=encoding)
    assert resumed.report.tiles_resumed > 0
    assert output.read_bytes() == whole.path.read_bytes()


def test_a_resume_may_have_another_batch(scene, output, map_of):
    whole = map_of(scene)
    stop(scene, output, model=model_of(LocalMean()))
    resumed = map_of(scene, output=output, resume=True, batch=1)
    assert resumed.report.tiles_resumed > 0
    np.testing.assert_array_equal(resumed.heights, whole.heights)


def test_a_resume_predicts_only_what_is_left(scene, output, map_of):
    stop(scene, output, model=model_of(Constant()), share=0.7)
    network = Constant()
    resumed = map_of(scene, output=output, model=model_of(network), resume=True)
    assert network.tiles == resumed.report.tiles_run
    assert resumed.report.tiles_resumed == 9


def test_without_resume_an_unfinished_map_begins_anew(scene, output, map_of):
    whole = map_of(scene)
    stop(scene, output, model=model_of(Constant(9)))
    found = map_of(scene, output=output)
    assert found.report.tiles_resumed == 0
    np.testing.assert_array_equal(found.heights, whole.heights)


def test_resume_without_an_unfinished_map_begins(scene, output, map_of):
    found = map_of(scene, output=output, resume=True)
    assert found.report.tiles_resumed == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoding": "int16-cm"}, "encoding was float32, now it is int16-cm"),
        ({"overlap_px": 8}, "overlap was 16, now it is 8"),
        ({"grid": "scene"}, "grid was model, now it is scene"),
        ({"stretch": (0.0, 99.0)}, r"stretch was auto, now it is 0\.0,99\.0"),
        ({"bands": (3, 2, 1)}, "bands was not set, now it is 3,2,1"),
        ({"resolution_m": 1.0}, "resolution was not set, now it is 1"),
        ({"model": tiny_model(version="2")}, "model was small 1, now it is small 2"),
    ],
)
def test_a_changed_choice_is_refused_by_name_and_nothing_is_lost(
    scene, output, map_of, changes, said
):
    stop(scene, output)
    with pytest.raises(ResumeError, match=said):
        map_of(scene, output=output, resume=True, **({"model": tiny_model()} | changes))
    resumed = map_of(scene, output=output, resume=True, model=tiny_model())
    assert resumed.report.tiles_resumed > 0


def test_a_changed_input_is_refused_and_nothing_is_lost(scene, output, map_of):
    stop(scene, output)
    before = scene.stat()
    os.utime(scene, ns=(0, 1))
    with pytest.raises(ResumeError, match="input changed at was"):
        map_of(scene, output=output, resume=True, model=tiny_model())
    os.utime(scene, ns=(before.st_atime_ns, before.st_mtime_ns))
    resumed = map_of(scene, output=output, resume=True, model=tiny_model())
    assert resumed.report.tiles_resumed > 0


def test_another_input_is_refused(tmp_path, scene, output, map_of):
    stop(scene, output)
    other = UPRIGHT.write(tmp_path / "other.tif")
    with pytest.raises(ResumeError, match=r"input.* was .*, now it is"):
        map_of(other, output=output, resume=True, model=tiny_model())


def test_a_second_run_at_the_same_time_is_refused_and_the_first_ends(scene, output, map_of):
    refused = []

    def second(done, total):
        if done == total // 2 and not refused:
            with pytest.raises(MapFileError, match="another run is writing"):
                map_heights(scene, output, model=tiny_model(), settings=settings())
            refused.append(done)

    whole = map_of(scene, model=tiny_model())
    first = map_of(scene, output=output, model=tiny_model(), progress=second, batch=1)
    assert refused
    np.testing.assert_allclose(first.heights, whole.heights, atol=1 / 64 + 1e-6)


KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from canopy import MapSettings, load_height_model, map_heights

scene, output, model = sys.argv[1:]

def kill(done, total):
    if done > 12:
        os.kill(os.getpid(), signal.SIGKILL)

map_heights(
    scene, output, model=load_height_model(model, device="cpu"), progress=kill,
    settings=MapSettings(preview=False, stac=False),
)
"""


def test_a_killed_run_resumes_to_the_same_map(scene, output, map_of, model_folder):
    command = [sys.executable, "-c", KILLED, scene, output, model_folder]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert not output.exists()
    assert partial_folder(output).exists()
    whole = map_of(scene, model=model_folder)
    resumed = map_of(scene, output=output, model=model_folder, resume=True, overwrite=False)
    assert resumed.report.tiles_resumed >= 4
    np.testing.assert_array_equal(resumed.heights, whole.heights)
    assert {path.name for path in output.parent.iterdir()} == {"map.tif", "map.qml"}


def test_a_run_killed_while_its_files_are_put_in_place_can_be_resumed(
    scene, output, map_of, monkeypatch
):
    whole = map_of(scene, model=tiny_model())
    put_in_place = Path.replace

    def killed_after_the_first(path, target):
        if Path(target) == output:
            raise KeyboardInterrupt
        return put_in_place(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed_after_the_first)
        with pytest.raises(KeyboardInterrupt):
            map_heights(scene, output, model=tiny_model(), settings=settings())
    assert output.with_suffix(".qml").exists()
    assert not output.exists()
    resumed = map_of(scene, output=output, model=tiny_model(), resume=True, overwrite=False)
    np.testing.assert_array_equal(resumed.heights, whole.heights)
    assert resumed.report.tiles_run == 0
