"""``canopy correct``: a biased map gets better, any other is left as it is, and both are said."""

from __future__ import annotations

import json

import geopandas
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
from small_forest import forest, shoot, write_map, write_shots
from small_worlds import settings_of

from geo.height_maps.cog import check_cog
from geo.simulation.instruments import FootprintSettings, LidarSettings
from geo.simulation.world import simulate

BROKEN = 13
"""Shots in clouds, one in twenty."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A forest, footprints of it up to 10 m off and 5 % of them broken, and a map of two biases."""
    folder = tmp_path_factory.mktemp("world")
    heights, rng = forest(), np.random.default_rng(6)
    shots = shoot(heights, track_m=7.0, shot_m=2.0)
    broken = rng.permutation(len(shots["rh"])) < BROKEN
    shots["rh"] = np.where(broken, rng.uniform(50, 90, len(broken)), shots["rh"])
    write_shots(folder / "shots.parquet", shots)
    factors = np.where(np.arange(1200) < 600, 0.7, 1.2) * np.ones((1200, 1))
    write_map(folder / "biased.tif", heights * factors)
    write_map(folder / "right.tif", heights)
    return folder


@pytest.fixture(scope="module")
def done(world):
    """The biased map, corrected."""
    from canopy.correction.correct import correct_map  # noqa: PLC0415 - only some tests need it

    output = world / "out.tif"
    return correct_map(world / "biased.tif", world / "shots.parquet", output)


def pixels(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def total_bias(heights, truth, columns):
    tall = truth[:, columns] > 3
    return heights[:, columns][tall].sum() / truth[:, columns][tall].sum() - 1


def test_four_fifths_of_the_regional_bias_go(world, done):
    before, after, truth = pixels(world / "biased.tif"), pixels(done.files.map), forest()
    for columns in (slice(0, 600), slice(600, 1200)):
        was, now = (total_bias(heights, truth, columns) for heights in (before, after))
        assert abs(now) <= 0.2 * abs(was)
    assert np.abs(after - truth).mean() < 0.5 * np.abs(before - truth).mean()


def test_errors_on_footprints_kept_aside_fall(done):
    aside = done.findings["kept_aside"]
    assert aside["after"]["mae_m"] < 0.7 * aside["before"]["mae_m"]
    assert abs(aside["after"]["bias_m"]) < abs(aside["before"]["bias_m"])
    assert aside["after"]["r2"] > aside["before"]["r2"]
    assert done.findings["shots"]["left_out"]["not supported by their neighbours"] >= BROKEN - 2


def test_an_unbiased_map_is_left_as_it_is(canopy_command, world, tmp_path):
    output = tmp_path / "out.tif"
    code, out, err = canopy_command(
        "correct", world / "right.tif", "--footprints", world / "shots.parquet", "-o", output
    )
    assert code == 0, err
    assert "left unchanged" in out
    assert "heights unchanged" in err
    assert pixels(output).tobytes() == pixels(world / "right.tif").tobytes()
    assert (pixels(output.with_suffix(".factor.tif")) == 1).all()


def test_files_stand_beside_the_map_and_say_what_was_done(world, done):
    files = done.files
    assert all(path.is_file() for path in files.all)
    check_cog(files.map)
    check_cog(files.field)
    with rasterio.open(files.map) as after, rasterio.open(world / "biased.tif") as before:
        for name in ("shape", "transform", "crs", "dtypes"):
            assert getattr(after, name) == getattr(before, name)
        assert "footprints" in after.tags()["CORRECTION"]
    item = pystac.Item.from_file(files.item)
    origins = [link.href for link in item.get_links("derived_from")]
    assert [href.rsplit("/", 1)[-1] for href in origins] == ["biased.tif", "shots.parquet"]
    assert item.assets["factor_field"].href == "./out.factor.tif"
    assert item.properties["canopy:correction_applied"] is True
    factors = pixels(files.field)
    assert factors.dtype == np.float32
    assert 1.3 < factors[8:16, 2:8].mean() < 1.5
    assert json.loads(files.report.read_text())["kept_aside"] == done.findings["kept_aside"]
    assert "# biased.tif: corrected" in files.words.read_text()


def test_no_trees_no_change(canopy_command, tmp_path):
    bare = np.random.default_rng(0).uniform(0, 0.4, (700, 700)).astype(np.float32)
    shots = shoot(bare)
    shots["rh"] = shots["rh"] + 1.9  # what a pulse of GEDI makes of bare ground
    write_map(tmp_path / "m.tif", bare)
    write_shots(tmp_path / "s.parquet", shots)
    code, out, _ = canopy_command(
        "correct", tmp_path / "m.tif", "--footprints", tmp_path / "s.parquet",
        "-o", tmp_path / "out.tif",
    )  # fmt: skip
    assert code == 0
    assert "0 usable footprints, at least 30 are needed" in out
    assert pixels(tmp_path / "out.tif").tobytes() == bare.tobytes()


def test_shots_of_bad_quality_are_left_out(canopy_command, world, tmp_path):
    shots = shoot(forest())
    count = len(shots["rh"])
    flags = {
        "quality_flag": np.arange(count) % 2,
        "sensitivity": np.where(np.arange(count) < 20, 0.5, 0.97),
    }
    write_shots(tmp_path / "s.parquet", shots, **flags)
    code, out, err = canopy_command(
        "correct", world / "biased.tif", "--footprints", tmp_path / "s.parquet",
        "-o", tmp_path / "out.tif", "--json", "--no-stac", "--no-preview",
    )  # fmt: skip
    assert code == 0, err
    left_out = json.loads(out)["shots"]["left_out"]
    assert left_out["quality_flag is not 1"] == (count + 1) // 2
    assert left_out["sensitivity below 0.9"] == 10
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("told_by", ["full_power", "beam"])
def test_full_power_alone_is_kept_where_asked(canopy_command, world, tmp_path, told_by):
    """Shots of coverage beams say twice the height: they must have no part in the factors."""
    shots = shoot(forest())
    coverage = np.arange(len(shots["rh"])) % 3 == 0
    shots["rh"] = np.where(coverage, 2 * shots["rh"], shots["rh"])
    told = {"beam": np.where(coverage, "BEAM0011", "BEAM1011")}
    if told_by == "full_power":
        told = {"full_power": ~coverage, "beam": "one"}
    write_shots(tmp_path / "s.parquet", shots, **told)
    code, out, err = canopy_command(
        "correct", world / "right.tif", "--footprints", tmp_path / "s.parquet", "--full-power",
        "-o", tmp_path / "out.tif", "--json", "--no-stac", "--no-preview",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert found["shots"]["left_out"]["coverage beam"] == coverage.sum()
    assert "coverage beam" in found["shots"]["filters"]
    assert not found["applied"]


@pytest.mark.parametrize(
    ("beam", "words"),
    [(None, "expected a column full_power, or beam"), ("7", "beam '7' tells no power")],
)
def test_full_power_of_a_table_that_does_not_tell_is_refused(
    canopy_command, world, tmp_path, beam, words
):
    write_shots(tmp_path / "s.parquet", shoot(forest()), beam=beam)
    if beam is None:
        table = geopandas.read_parquet(tmp_path / "s.parquet").drop(columns="beam")
        table.to_parquet(tmp_path / "s.parquet")
    code, _, err = canopy_command(
        "correct", world / "right.tif", "--footprints", tmp_path / "s.parquet", "--full-power",
        "-o", tmp_path / "out.tif",
    )  # fmt: skip
    assert code == 2
    assert words in err
    assert "leave --full-power out" in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out.tif").exists()


def test_a_shot_that_comes_twice_counts_once(world, done, tmp_path):
    from canopy.correction.correct import correct_map  # noqa: PLC0415 - only some tests need it

    shots = geopandas.read_parquet(world / "shots.parquet")
    pd.concat([shots, shots]).to_parquet(tmp_path / "twice.parquet")
    output = tmp_path / "out.tif"
    found = correct_map(world / "biased.tif", tmp_path / "twice.parquet", output).findings
    assert found["shots"]["left_out"]["same place and height twice"] == len(shots)
    assert found["shots"]["used"] == done.findings["shots"]["used"]
    assert pixels(output).tobytes() == pixels(done.files.map).tobytes()


def test_the_bias_of_a_simulated_world_goes(tmp_path):
    from canopy.correction.correct import correct_map  # noqa: PLC0415 - only some tests need it

    shooting = FootprintSettings(along_m=40.0, across_m=60.0)
    lidar = LidarSettings(per_m2=2.0)
    world = simulate(
        settings_of("mixed", size_m=480.0, gsd_m=1.0, footprints=shooting, lidar=lidar), 3
    )
    fired = world.footprints
    shots = {"right": fired.x, "down": 480.0 - fired.y, "track": fired.track, "rh": fired.rh[:, 98]}
    write_shots(tmp_path / "s.parquet", shots)
    for name, factor in (("low", 0.7), ("right", 1.0)):
        write_map(tmp_path / f"{name}.tif", world.chm * factor)
        correct_map(tmp_path / f"{name}.tif", tmp_path / "s.parquet", tmp_path / f"{name}.out.tif")
    bias = total_bias(pixels(tmp_path / "low.out.tif"), world.chm, slice(None))
    assert abs(bias) <= 0.2 * 0.3
    assert abs(total_bias(pixels(tmp_path / "right.out.tif"), world.chm, slice(None))) <= 0.02


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("folder.gpkg", None, "is a folder: expected a table or a vector file"),
        ("shots.gpkg", "nothing of the kind", "cannot be read as a table or vector file"),
    ],
)
def test_what_is_no_table_is_one_line(canopy_command, world, tmp_path, name, content, words):
    path = tmp_path / name
    path.mkdir() if content is None else path.write_text(content)
    code, _, err = canopy_command(
        "correct", world / "right.tif", "--footprints", path, "-o", tmp_path / "out.tif"
    )
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--percentile", "95"], "has no column rh95: found rh98"),
        (["--rh", "height"], "has no column height"),
        (["--limits", "2"], "expected least and greatest factor"),
        (["--limits", "0.2,2"], "expected a least factor"),
        (["--bandwidth", "wide"], "expected auto, or metres"),
        (["--folds", "1"], "expected 3 or more"),
    ],
)
def test_wrong_options_are_one_line(canopy_command, world, tmp_path, options, words):
    code, _, err = canopy_command(
        "correct", world / "biased.tif", "--footprints", world / "shots.parquet",
        "-o", tmp_path / "out.tif", *options,
    )  # fmt: skip
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crs": None}, "has no CRS"),
        ({"unit": "ft"}, "is in ft: expected metres"),
        ({"scale": 100.0, "dtype": "uint16", "nodata": 0}, "taller than any tree"),
        ({"scale": 0.1}, "the median of footprint over map is"),
        ({"crs": "EPSG:32634"}, "no footprint of"),
    ],
)
def test_maps_that_do_not_fit_are_one_line(canopy_command, world, tmp_path, change, words):
    scale, unit = change.pop("scale", 1.0), change.pop("unit", "")
    write_map(tmp_path / "m.tif", forest() * scale, **change)
    with rasterio.open(tmp_path / "m.tif", "r+") as dataset:
        dataset.units = (unit,)
    code, _, err = canopy_command(
        "correct", tmp_path / "m.tif", "--footprints", world / "shots.parquet",
        "-o", tmp_path / "out.tif", "-q",
    )  # fmt: skip
    assert code == 2, err
    assert words in err
    assert len([line for line in err.strip().splitlines() if line.startswith("error")]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m.tif"]


def test_the_map_itself_is_not_written_over(canopy_command, world):
    before = (world / "right.tif").read_bytes()
    code, _, err = canopy_command(
        "correct", world / "right.tif", "--footprints", world / "shots.parquet",
        "-o", world / "right.tif", "--overwrite",
    )  # fmt: skip
    assert code == 2
    assert "is what shall be read" in err
    assert (world / "right.tif").read_bytes() == before


@pytest.mark.parametrize("left", ["no heights", "no quality"])
def test_without_a_single_shot_of_use_the_map_is_left_as_it_is(canopy_command, tmp_path, left):
    heights = forest(300)
    empty = np.full_like(heights, np.nan)
    write_map(tmp_path / "m.tif", empty if left == "no heights" else heights)
    flags = {"quality_flag": int(left == "no heights")}
    write_shots(tmp_path / "s.parquet", shoot(heights), **flags)
    code, out, err = canopy_command(
        "correct", tmp_path / "m.tif", "--footprints", tmp_path / "s.parquet",
        "-o", tmp_path / "out.tif",
    )  # fmt: skip
    assert code == 0, err
    assert "0 usable footprints" in out
    assert pixels(tmp_path / "out.tif").tobytes() == pixels(tmp_path / "m.tif").tobytes()


def test_intervals_stay_around_their_heights(world, tmp_path):
    from canopy.correction.correct import correct_map  # noqa: PLC0415 - only some tests need it

    low = 0.7 * forest()
    bands = np.stack([low, np.maximum(low - 3, 0), low + 4])
    write_map(tmp_path / "m.tif", low * 100, count=3, dtype="int16", nodata=-32768)
    with rasterio.open(tmp_path / "m.tif", "r+") as dataset:
        dataset.write(np.rint(bands * 100).astype(np.int16))
        dataset.scales, dataset.units = (0.01,) * 3, ("m",) * 3
        dataset.descriptions = ("Canopy height", "lower 90 %", "upper 90 %")
    found = correct_map(tmp_path / "m.tif", world / "shots.parquet", tmp_path / "out.tif")
    with rasterio.open(found.files.map) as dataset:
        height, lower, upper = dataset.read().astype(int)
        assert dataset.descriptions == ("Canopy height", "lower 90 %", "upper 90 %")
        assert dataset.dtypes == ("int16",) * 3
    assert (lower <= height).all()
    assert (height <= upper).all()
    assert height.sum() / 100 == pytest.approx(forest().sum(), rel=0.02)
    item = pystac.Item.from_file(found.files.item)
    told = item.properties["canopy:interval"]["calibration"]
    assert "scaled with the heights since; on simulated forests 90 % then held" in told
    bands = np.stack([forest(), np.maximum(forest() - 3, 0), forest() + 4])
    write_map(tmp_path / "r.tif", bands[0], count=3)
    with rasterio.open(tmp_path / "r.tif", "r+") as dataset:
        dataset.write(bands.astype(np.float32))
        dataset.descriptions = ("Canopy height", "lower 90 %", "upper 90 %")
    alone = correct_map(tmp_path / "r.tif", world / "shots.parquet", tmp_path / "same.tif")
    item = pystac.Item.from_file(alone.files.item)
    assert not alone.findings["applied"]
    assert "scaled" not in item.properties["canopy:interval"]["calibration"]
