"""``canopy map`` speaks as promised: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import signal
import time

import numpy as np
import pytest
from small_models import Constant, model_of
from small_scenes import PLACES, UPRIGHT, noise, write_scene

import canopy.mapping.map_heights
from geo.height_maps.partial_map import STATE_FILE, partial_folder


@pytest.fixture
def scene(tmp_path):
    return UPRIGHT.write(tmp_path / "scene.tif", noise(130, 170))


@pytest.fixture
def map_command(canopy_command, scene, tmp_path, model_folder):
    """A function that maps the scene with more options."""

    def run(*options, source=scene, output=tmp_path / "map.tif"):
        return canopy_command(
            "map", source, "--output", output, "--model", model_folder, "--device", "cpu",
            "--no-preview", "--no-stac", *options,
        )  # fmt: skip

    return run


def test_a_map_is_made_and_told_of_on_standard_error(map_command, tmp_path):
    code, out, err = map_command()
    assert (code, out) == (0, "")
    assert (tmp_path / "map.tif").exists()
    assert "170 x 130 px, EPSG:32633" in err
    assert "12 tiles" in err
    assert "For trying the tool." in err
    assert "Traceback" not in err


def test_json_is_one_object_and_alone_on_standard_output(map_command, tmp_path):
    code, out, err = map_command("--json")
    told = json.loads(out, parse_constant=pytest.fail)
    assert code == 0
    assert err
    assert told["paths"]["map"] == str(tmp_path / "map.tif")
    assert told["paths"]["preview"] is None
    assert told.keys() >= {
        "paths", "seconds", "megapixels_per_second", "tiles", "height", "peak_memory_mib", "model",
        "settings",
    }  # fmt: skip
    assert told["height"].keys() >= {"mean", "p5", "p50", "p95", "max"}
    assert told["tiles"]["run"] == 12
    assert told["model"]["name"] == "small"
    assert told["settings"]["encoding"] == "float32"


def test_quiet_is_silent_on_standard_error(map_command):
    assert map_command("--quiet") == (0, "", "")
    code, out, err = map_command("--quiet", "--json", "--overwrite")
    assert (code, err) == (0, "")
    assert json.loads(out)["tiles"]["run"] == 12


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(map_command, scene, tmp_path):
    code, out, err = map_command("--dry-run", "--json")
    assert code == 0
    assert list(tmp_path.iterdir()) == [scene]
    told = json.loads(out, parse_constant=pytest.fail)
    assert told["tiles"] == 12
    assert told["grid"]["shape"] == [130, 170]
    assert str(tmp_path / "map.tif") in told["outputs"]
    assert "nothing was written" in err


def test_a_dry_run_refuses_what_a_run_would(map_command, tmp_path):
    (tmp_path / "map.tif").touch()
    code, out, err = map_command("--dry-run")
    assert (code, out) == (2, "")
    assert "exists" in err


@pytest.mark.parametrize(
    ("options", "setting", "value"),
    [
        (["--bands", "3,2,1"], "bands", [3, 2, 1]),
        (["--stretch", "none"], "stretch", "none"),
        (["--stretch", "10,200"], "stretch", [10.0, 200.0]),
        (["--grid", "scene"], "grid", "scene"),
        (["--resolution", "1.2"], "resolution_m", 1.2),
        (["--overlap", "8"], "overlap_px", 8),
        (["--batch", "2"], "batch", 2),
        (["--encoding", "int16-cm"], "encoding", "int16-cm"),
        (["--resume"], "resume", True),
    ],
)
def test_every_option_reaches_the_map(map_command, options, setting, value):
    code, out, _ = map_command("--json", *options)
    assert code == 0
    assert json.loads(out)["settings"][setting] == value


def test_a_picture_takes_its_pixel_size_from_the_option(map_command, tmp_path):
    place = next(place for place in PLACES if place.crs is None)
    path = place.write(tmp_path / "plain.tif")
    code, out, err = map_command("--json", "--pixel-size", "0.3", source=path)
    assert code == 0, err
    assert json.loads(out)["grid"] == {
        "crs": None, "shape": [65, 85], "transform": [0.6, 0.0, 0.0, 0.0, -0.6, 0.0],
    }  # fmt: skip
    assert "Warning" not in err


def test_the_products_stand_beside_the_map(canopy_command, scene, tmp_path, model_folder):
    code, out, err = canopy_command(
        "map", scene, "-o", tmp_path / "map.tif", "--model", model_folder, "--json", "-q"
    )
    assert code == 0, err
    assert {path.name for path in tmp_path.iterdir()} == {
        "scene.tif", "map.tif", "map.qml", "map.json", "map.preview.png",
    }  # fmt: skip
    paths = json.loads(out)["paths"]
    assert paths["preview"].endswith("map.preview.png")
    assert paths["stac"].endswith("map.json")


def test_ctrl_c_keeps_what_is_finished_and_resume_goes_on(map_command, monkeypatch, tmp_path):
    class Interrupted(Constant):
        def forward(self, images):
            if self.tiles >= 6:
                self.wait_for_first_row()
                signal.raise_signal(signal.SIGINT)
            return super().forward(images)

        def wait_for_first_row(self):
            while not (partial_folder(tmp_path / "map.tif") / STATE_FILE).exists():
                time.sleep(0.01)

    models = iter([model_of(Interrupted()), model_of(Constant())])
    monkeypatch.setattr(
        canopy.mapping.map_heights, "load_height_model", lambda *_, **__: next(models)
    )
    code, out, err = map_command("--batch", "2", "--json")
    assert (code, out) == (130, "")
    assert err.strip().splitlines()[-1].startswith("interrupted: ")
    assert "--resume" in err
    assert not (tmp_path / "map.tif").exists()
    code, out, err = map_command("--batch", "2", "--json", "--resume")
    assert code == 0, err
    tiles = json.loads(out)["tiles"]
    assert tiles["resumed"] == 4
    assert tiles["run"] == 8


def test_an_empty_scene_is_told_of_as_empty(map_command, tmp_path):
    path = write_scene(tmp_path / "empty.tif", np.zeros((3, 90, 90), np.uint8), nodata=0)
    code, out, err = map_command("--json", source=path)
    assert code == 0
    assert "no valid pixel" in err
    assert json.loads(out, parse_constant=pytest.fail)["height"]["mean"] is None
