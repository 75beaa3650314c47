"""``canopy evaluate`` speaks as promised, and judges a real map of real forest."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from small_heights import EAST, NORTH, UTM, forest, write_heights
from small_scenes import noise, write_scene

FIELD_DATA = os.environ.get("CANOPY_FIELD_DATA")

needs_field_data = pytest.mark.skipif(
    not FIELD_DATA, reason="needs real imagery: set CANOPY_FIELD_DATA to its folder"
)


@pytest.fixture
def evaluate_command(canopy_command, tmp_path):
    """A function that evaluates a map that is 2 m too tall with more options."""
    true = forest(40, 60)
    write_heights(tmp_path / "map.tif", true + 2)
    write_heights(tmp_path / "chm.tif", true)

    def run(*options, references=("chm.tif",)):
        paths = [tmp_path / name for name in references]
        return canopy_command(
            "evaluate", tmp_path / "map.tif", *paths, "-o", tmp_path / "report", *options
        )

    return run


def test_a_report_is_made_and_told_of_on_standard_error(evaluate_command, tmp_path):
    code, out, err = evaluate_command()
    assert (code, out) == (0, "")
    assert "compared 2400 pixels" in err
    assert "bias (map - reference)  +2.00 m" in err
    assert str(tmp_path / "report" / "report.md") in err
    assert (tmp_path / "report" / "report.json").exists()
    code, _, err = evaluate_command()
    assert code == 2
    assert "--overwrite" in err


def test_json_is_one_object_and_alone_on_standard_output(evaluate_command, tmp_path):
    code, out, err = evaluate_command("--json", "--quiet", "--overwrite")
    told = json.loads(out, parse_constant=pytest.fail)
    assert (code, err) == (0, "")
    assert told["comparisons"][0]["errors"]["bias_m"] == pytest.approx(2)
    assert str(tmp_path / "report" / "report.md") in told["paths"]
    assert evaluate_command("--quiet", "--overwrite") == (0, "", "")


@pytest.mark.parametrize(
    ("options", "setting", "value"),
    [
        (["--grid", "map"], "grid", "map"),
        (["--map-scale", "1.1"], "map_scale", 1.1),
        (["--reference-scale", "0.9"], "reference_scale", 0.9),
        (["--over", "sites"], "unit", "sites"),
        (["--tile", "20"], "tile_m", 20.0),
        (["--replicates", "9"], "replicates", 9),
        (["--seed", "4"], "seed", 4),
        (["--radius", "5"], "radius_m", 5.0),
        (["--percentile", "95"], "percentile", 95.0),
        (["--height-column", "h"], "height_column", "h"),
        (["--all-footprints"], "filters", False),
    ],
)
def test_every_option_reaches_the_report(evaluate_command, monkeypatch, options, setting, value):
    monkeypatch.setattr("canopy.evaluation.report.draw", lambda *_: [])
    code, out, err = evaluate_command("--json", *options)
    assert code == 0, err
    assert json.loads(out)["settings"][setting] == value


def test_tiles_of_rasters_are_refused_where_there_are_none(evaluate_command, tmp_path):
    write_heights(tmp_path / "a.tif", forest(40, 60))
    lon, lat = Transformer.from_crs(UTM, 4326, always_xy=True).transform(EAST + 30, NORTH - 20)
    (tmp_path / "gedi.csv").write_text(f"lon,lat,rh98\n{lon},{lat},12\n")
    code, _, err = evaluate_command(
        "--tile", "300", "--footprints", tmp_path / "gedi.csv", references=()
    )
    assert code == 2
    assert "--tile 300 without rasters" in err


def test_groups_sites_and_footprints_are_told_of(evaluate_command, tmp_path):
    true = forest(40, 60)
    for name, columns in (("a", slice(0, 30)), ("b", slice(30, 60))):
        heights = true[:, columns] + (name == "b")
        write_heights(tmp_path / f"{name}.tif", heights, place=(EAST + columns.start, NORTH))
    (tmp_path / "sites.csv").write_text("site,forest\na,pine\nb,oak\n")
    lon, lat = Transformer.from_crs(UTM, 4326, always_xy=True).transform(EAST + 30, NORTH - 20)
    (tmp_path / "gedi.csv").write_text(f"lon,lat,rh98\n{lon},{lat},12\n")
    (tmp_path / "far.csv").write_text("lon,lat,height\n1,2,3\n")
    code, out, err = evaluate_command(
        "--groups", "forest", "--sites", tmp_path / "sites.csv", "--json",
        "--footprints", tmp_path / "gedi.csv", references=("a.tif", "b.tif", "far.csv"),
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(out)
    assert [Path(entry["path"]).name for entry in told["not_compared"]] == ["far.csv"]
    found = told["comparisons"]
    assert [comparison["kind"] for comparison in found] == ["pixels", "footprints"]
    assert found[0]["groups"]["worst"]["name"] == "pine"
    assert "worst of groups         pine, MAE 2.00 m; best oak, 1.00 m" in err


@pytest.mark.parametrize(
    ("references", "words"),
    [
        ((), "found no reference"),
        (("missing.tif",), "does not exist"),
        (("rgb.tif",), "has 3 bands"),
        (("text.tif",), "cannot be read"),
        (("far.tif",), "does not overlap the map"),
        (("empty.tif",), "no pixel that is valid in both"),
        (("text.csv",), "longitude and latitude"),
        (("plane.tif",), "has no CRS"),
    ],
)
def test_wrong_files_are_one_line_and_leave_nothing(evaluate_command, tmp_path, references, words):
    write_scene(tmp_path / "rgb.tif", noise(9, 9))
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "text.csv").write_text("a,b\n1,2\n")
    write_heights(tmp_path / "far.tif", forest(9, 9), place=(EAST, NORTH + 9000))
    write_heights(tmp_path / "empty.tif", np.full((9, 9), np.nan))
    write_heights(tmp_path / "plane.tif", forest(9, 9), crs=None)
    code, out, err = evaluate_command("--quiet", references=references)
    assert (code, out) == (2, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert words in last
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*report*"))


def test_help_names_every_option(canopy_command):
    code, out, _ = canopy_command("evaluate", "--help")
    assert code == 0
    for option in (
        "--output", "--footprints", "--groups", "--sites", "--grid", "--map-scale", "--radius",
        "--percentile", "--over", "--seed", "--overwrite", "--json", "--quiet", "--debug",
    ):  # fmt: skip
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", out), option


def mosaic(paths, output):
    """Join maps of 0.6 m into one file of the ground that holds them all."""
    from rasterio.merge import merge  # noqa: PLC0415 - used once

    heights, transform = merge(paths)
    with rasterio.open(paths[0]) as first:
        profile = first.profile | {
            "driver": "GTiff", "height": heights.shape[1], "width": heights.shape[2],
            "transform": transform, "tiled": True,
        }  # fmt: skip
    with rasterio.open(output, "w", **profile) as target:
        target.write(heights)
    return output


@needs_field_data
def test_a_real_map_is_judged_by_real_lidar(canopy_command, tmp_path):
    site = Path(FIELD_DATA) / "pairs" / "NEON_MLBS"
    plots = [f"IDT_MLBS_{number}" for number in (1, 2, 3, 4)]
    for plot in plots:
        code, _, err = canopy_command(
            "map", site / plot / "rgb.tif", "-o", tmp_path / f"{plot}.tif", "--device", "cpu",
            "--no-preview", "--no-stac", "--quiet",
        )  # fmt: skip
        assert code == 0, err
    here = mosaic([tmp_path / f"{plot}.tif" for plot in plots], tmp_path / "map.tif")
    references = [site / plot / "chm.tif" for plot in plots]
    code, out, err = canopy_command(
        "evaluate", here, *references, "-o", tmp_path / "report", "--json"
    )
    assert code == 0, err
    found = json.loads(out)["comparisons"][0]
    assert [entry["site"] for entry in found["sites"]] == plots
    assert found["count"] > 0.95 * 1600
    errors = found["errors"]
    assert 0.5 < errors["mae_m"] < 10
    assert errors["mae_m"] <= errors["rmse_m"]
    assert errors["mean_3m_mae_m"] < errors["mae_m"]
    assert errors["cover_2m_iou"] > 0.9  # a closed forest
    assert abs(errors["bias_m"]) <= errors["mae_m"]
    assert found["intervals"]["mae_m"][0] <= errors["mae_m"] <= found["intervals"]["mae_m"][1]
    assert len(list((tmp_path / "report").glob("*.png"))) == 3
