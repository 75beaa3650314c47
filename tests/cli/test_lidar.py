"""``canopy lidar chm`` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine
from rio_cogeo.cogeo import cog_validate
from small_points import PLANT, cloud, forest, write_points

import geo.lidar.chm


@pytest.fixture
def points(tmp_path):
    return write_points(tmp_path / "points.laz", forest(), dated=(2.5e8, 2.5e8 + 600))


def test_a_model_and_its_companions_are_written(tmp_path, points, canopy_command):
    out = tmp_path / "chm.tif"
    code, said, err = canopy_command(
        "lidar", "chm", points, "-o", out, "--resolution", "0.5", "--density", "--json",
        "--encoding", "int16-cm",
    )  # fmt: skip
    assert code == 0, err
    report = json.loads(said)
    assert {path.name for path in tmp_path.iterdir()} == {
        "points.laz", "chm.tif", "chm.qml", "chm.json", "chm.density.tif",
    }  # fmt: skip
    for name in ("chm.tif", "chm.density.tif"):
        assert cog_validate(tmp_path / name, strict=True, quiet=True)[0]
    with rasterio.open(out) as dataset:
        assert dataset.shape == (60, 80)
        assert (dataset.units, dataset.scales, dataset.descriptions) == (
            ("m",), (0.01,), ("Canopy height",),
        )  # fmt: skip
        assert dataset.tags()["SOURCE"] == "points.laz"
        assert np.nanmax(dataset.read(1)) == pytest.approx(1750, abs=80)
    assert report["grid"]["crs"] == "EPSG:32611"
    assert report["height"]["max"] == pytest.approx(17.5, abs=0.8)
    assert "class" not in err
    item = json.loads((tmp_path / "chm.json").read_text())
    properties = item["properties"]
    assert properties["processing:lineage"].startswith("Canopy height from airborne lidar")
    assert properties["processing:level"] == "L3"
    assert properties["datetime"] is None
    assert properties["start_datetime"] == "2019-08-16T14:13:02Z"
    assert properties["end_datetime"] == "2019-08-16T14:23:20Z"
    assert properties["canopy:acquisition"] == "GPS time of the returns"
    assert not [name for name in properties if "model" in name]
    assert [link["href"] for link in item["links"]] == ["./points.laz"]
    assert set(item["assets"]) == {"canopy_height", "style", "point_density"}
    assert str(tmp_path) not in json.dumps(item)


def test_surface_and_terrain_are_taken_too(tmp_path, points, canopy_command):
    out = tmp_path / "chm.tif"
    canopy_command("lidar", "chm", points, "-o", out, "--quiet")
    code, _, err = canopy_command(
        "lidar", "chm", "--dsm", out, "--dtm", out, "-o", tmp_path / "d.tif", "--no-stac"
    )
    assert code == 0, err
    with rasterio.open(tmp_path / "d.tif") as dataset:
        assert np.abs(dataset.read(1)).max() == 0
    assert not (tmp_path / "d.json").exists()


def test_swapped_rasters_are_two_and_one_line(tmp_path, canopy_command):
    ground, surface = tmp_path / "ground.tif", tmp_path / "surface.tif"
    for path, height in ((ground, 700), (surface, 720)):
        with rasterio.open(
            path, "w", driver="GTiff", width=9, height=9, count=1, dtype="float32",
            crs="EPSG:32611", transform=Affine(1, 0, 5e5, 0, -1, 4e6),
        ) as file:  # fmt: skip
            file.write(np.full((1, 9, 9), height, np.float32))
    out = tmp_path / "chm.tif"
    code, _, err = canopy_command("lidar", "chm", "--dsm", ground, "--dtm", surface, "-o", out)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert "swap --dsm and --dtm" in err
    assert set(tmp_path.iterdir()) == {ground, surface}
    code, said, err = canopy_command(
        "lidar", "chm", "--dsm", surface, "--dtm", ground, "-o", out, "--json"
    )
    assert code == 0
    assert "81 in both, 0 more than 2 m below ground, 0 above 120 m" in err
    assert json.loads(said)["method"]["pixels_below_ground"] == 0


def test_elevations_taken_for_heights_are_two_and_one_line(tmp_path, points, canopy_command):
    code, _, err = canopy_command(
        "lidar", "chm", points, "-o", tmp_path / "chm.tif", "--normalised"
    )
    assert (code, len(err.splitlines())) == (2, 1), err
    assert list(tmp_path.iterdir()) == [points]


def test_what_is_left_out_for_its_height_is_said(tmp_path, canopy_command):
    spikes = cloud(np.arange(20).reshape(10, 2) + 0.4, 1500.0, PLANT)
    path = write_points(tmp_path / "p.laz", np.concatenate([forest(), spikes]))
    code, _, err = canopy_command("lidar", "chm", path, "-o", tmp_path / "chm.tif")
    assert code == 0
    assert "0 left out, 10 above 120 m, 0 isolated" in err


def test_a_truncated_file_is_two_and_one_line(tmp_path, points):
    points.write_bytes(points.read_bytes()[: points.stat().st_size * 2 // 3])
    # In a process of its own: in this one pytest takes what libraries log.
    command = [sys.executable, "-c", "from cli.app import main; main()", "lidar", "chm", points]
    ended = subprocess.run(
        [*command, "-o", tmp_path / "chm.tif"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert "points.laz cannot be read" in ended.stderr


def test_classes_can_be_chosen(tmp_path, points, canopy_command):
    out = tmp_path / "chm.tif"
    code, _, _ = canopy_command(
        "lidar", "chm", points, "-o", out, "--exclude", f"{PLANT},7-9", "-q"
    )
    assert code == 0
    with rasterio.open(out) as dataset:
        assert np.nanmax(dataset.read(1)) < 0.3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bounds", "1,2"], "expected west,south,east,north"),
        (["--bounds", "3,3,1,1"], "expected west,south,east,north"),
        (["--exclude", "trees"], "expected class numbers"),
        (["--exclude", "300"], "expected numbers from 0 to 255"),
        (["--resolution", "0"], "expected a length above 0"),
        (["--height-unit", "yard"], "expected one of metre"),
        (["--epsg", "1"], "no CRS has that code"),
        (["--dsm", "x.tif"], "--dsm and --dtm belong together"),
        (["--dsm", "x.tif", "--dtm", "y.tif"], "one of the two"),
        (["--like", "none.tif"], "cannot be read"),
    ],
)
def test_a_wrong_option_is_two_and_one_line(tmp_path, canopy_command, options, said):
    path = write_points(tmp_path / "p.laz", forest(), crs=None)
    code, _, err = canopy_command("lidar", "chm", path, "-o", tmp_path / "chm.tif", *options)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert said in err
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_model_is_two_until_overwritten(tmp_path, points, canopy_command):
    out = tmp_path / "chm.tif"
    out.touch()
    assert canopy_command("lidar", "chm", points, "-o", out)[0] == 2
    assert canopy_command("lidar", "chm", points, "-o", out, "--overwrite")[0] == 0


def test_nothing_named_is_two(tmp_path, canopy_command):
    code, _, err = canopy_command("lidar", "chm", "-o", tmp_path / "chm.tif")
    assert code == 2
    assert "name point files or folders" in err


def test_an_interruption_is_130_and_says_that_nothing_is_left(
    tmp_path, points, canopy_command, monkeypatch
):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(geo.lidar.chm, "canopy_surface", interrupt)
    code, _, err = canopy_command("lidar", "chm", points, "-o", tmp_path / "chm.tif")
    assert code == 130
    assert err.splitlines()[-1] == "interrupted: nothing is left, run again to begin anew"
    assert list(tmp_path.iterdir()) == [points]
