"""Canopy height models of clouds whose truth is known, and of a real forest."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from small_points import (
    CROWNS,
    GROUND,
    PLANT,
    SOUTH,
    WEST,
    cloud,
    cone,
    forest,
    lattice,
    slope,
    write_points,
)

from geo.lidar.chm import points_to_chm
from geo.lidar.errors import LidarError
from geo.lidar.settings import ChmSettings, WorkLimits
from geo.lidar.units import FOOT, US_SURVEY_FOOT

FIELD_DATA = os.environ.get("CANOPY_FIELD_DATA")
SMALL = WorkLimits(chunk_points=700, cell_m=20.0, tile_px=7, tile_points=20_000)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1, masked=True).astype(float).filled(np.nan) * dataset.scales[0]


def chm_of(sources, limits=None, **choices):
    """Heights [m] of a model, and the report."""
    sources = sources if isinstance(sources, list) else [sources]
    first = sources[0]
    output = (first if first.is_dir() else first.parent) / "chm.tif"
    report = points_to_chm(sources, output, ChmSettings(overwrite=True, **choices), limits=limits)
    return read(output), report


def truth(heights, report, crowns):
    """Heights of crowns at the centres of pixels."""
    rows, columns = np.indices(heights.shape) + 0.5
    x, y = report.grid.locate(rows, columns)
    return np.max([cone(x - WEST, y - SOUTH, *crown) for crown in crowns], axis=0)


@pytest.mark.parametrize("name", ["points.las", "points.laz", "points.copc.laz"])
def test_crowns_on_a_slope_have_their_heights(tmp_path, name):
    heights, report = chm_of(write_points(tmp_path / name, forest()))
    assert heights.shape == (30, 40)
    assert report.grid.bounds == (WEST, SOUTH, WEST + 40, SOUTH + 30)
    assert report.grid.crs.to_epsg() == 32611
    expected = truth(heights, report, CROWNS)
    # The highest of four returns in a pixel stands up to 0.36 m nearer to the stem.
    assert np.nanmax(np.abs(heights - expected)) < 18 / 5 * 0.75 + 0.1
    assert np.median(np.abs(heights - expected)) < 0.02
    assert heights.min() == 0
    assert heights.max() == pytest.approx(18, abs=1.3)


def test_a_step_in_the_terrain_is_no_canopy(tmp_path):
    def step(x, _):
        return np.where(x < 20, 100.0, 112.0)

    heights, _ = chm_of(write_points(tmp_path / "p.laz", forest(terrain=step, crowns=[CROWNS[1]])))
    assert np.nanmax(heights[:, :18]) < 0.02
    assert np.nanmax(heights[:, 18:23]) < 12
    assert np.nanmax(heights[:, 23:]) == pytest.approx(9, abs=1)


@settings(max_examples=8)
@given(st.data())
def test_neither_files_nor_blocks_nor_order_change_a_pixel(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("split")
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    places = rng.uniform([0, 0], [45, 32], (2500, 2))
    x, y = places.T
    above = np.max([cone(x, y, *crown) for crown in CROWNS], axis=0) * rng.uniform(0, 1, len(x))
    points = cloud(places, slope(x, y) + above, np.where(above > 0, PLANT, GROUND))
    rest = ((x - 30) ** 2 + (y - 20) ** 2 > 36) | (above > 0)  # a hole without a return
    points = points[rest]
    whole, _ = chm_of(write_points(folder / "whole.las", points))
    count = data.draw(st.integers(1, 5))
    part = rng.integers(0, count, len(points))
    shuffled = rng.permutation(len(points))
    (folder / "parts").mkdir()
    header = {"scale": 0.001}
    for number in range(count):
        chosen = shuffled[part[shuffled] == number]
        if len(chosen):
            write_points(folder / "parts" / f"{number}.laz", points[chosen], **header)
    limits = WorkLimits(
        chunk_points=data.draw(st.sampled_from([300, 10_000])),
        cell_m=data.draw(st.sampled_from([20.0, 60.0])),
        tile_px=data.draw(st.integers(5, 60)),
        tile_points=data.draw(st.sampled_from([500, 10**6])),
    )
    parts, _ = chm_of(folder / "parts", limits)
    np.testing.assert_array_equal(parts, whole)
    shutil.rmtree(folder)


def test_a_lattice_has_one_triangulation_in_all_blocks(tmp_path):
    path = write_points(tmp_path / "p.las", forest(), scale=0.01)
    whole, _ = chm_of(path, resolution_m=0.25)
    parts, _ = chm_of(path, replace(SMALL, tile_px=70), resolution_m=0.25)
    np.testing.assert_array_equal(parts, whole)


def test_a_pit_in_a_crown_is_filled_and_a_gap_beside_it_is_not(tmp_path):
    points = forest(crowns=[((20, 15), 20, 400)], step=0.4)  # one roof, 18 m and more
    x, y = points["x"] - WEST, points["y"] - SOUTH
    pit = (np.floor(x) == 10) & (np.floor(y) == 10)
    gap = (np.abs(x - 30) < 4) & (np.abs(y - 15) < 4)
    points = points[~((pit | gap) & (points["class"] == PLANT))]
    heights, _ = chm_of(write_points(tmp_path / "p.laz", points))
    assert heights[30 - 11, 10] > 18
    assert heights[13:17, 28:32].max() == 0
    assert heights[5, 5] > 18


def test_birds_and_clouds_are_left_out(tmp_path):
    points = forest()
    birds = cloud(np.array([[5.3, 5.3], [33.2, 20.4]]), [1060.0, 1500.0], PLANT)
    path = write_points(tmp_path / "p.laz", np.concatenate([points, birds]))
    for limits in (None, SMALL):
        heights, report = chm_of(path, limits)
        assert heights.max() < 18.1
        details = report.origin.method.details
        assert (details["points_too_high"], details["points_isolated"]) == (1, 1)


def test_elevations_taken_for_heights_are_refused_and_leave_nothing(tmp_path):
    path = write_points(tmp_path / "p.laz", forest())
    with pytest.raises(
        LidarError, match=r"5,324 points stand more than 120 m .* --normalised .* --max-height"
    ) as error:
        chm_of(path, normalised=True)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


def test_pixels_without_a_point_are_refused(tmp_path):
    path = write_points(tmp_path / "p.las", cloud(np.array([[0, 5], [115, 5]]), 100.0, GROUND))
    with pytest.raises(LidarError, match="change --bounds or --like"):
        chm_of(path, bounds=(WEST + 100, SOUTH, WEST + 110, SOUTH + 10))
    assert list(tmp_path.iterdir()) == [path]


def test_low_noise_is_ground_level(tmp_path):
    low = cloud(np.array([[5.3, 5.3]]), [950.0], PLANT)
    heights, _ = chm_of(write_points(tmp_path / "p.laz", np.concatenate([forest(), low])))
    assert heights.min() == 0


@pytest.mark.parametrize("number", [6, 7, 9, 14, 18])
def test_buildings_wires_noise_and_water_are_left_out(tmp_path, number):
    box = lattice(10, 10) + 15
    roof = cloud(box, slope(*box.T) + 12, number)
    path = write_points(tmp_path / "p.laz", np.concatenate([forest(crowns=[CROWNS[0]]), roof]))
    heights, report = chm_of(path)
    assert heights[8:14, 18:24].max() < 0.02
    assert report.origin.method.details["points_left_out"] == len(roof)
    kept, _ = chm_of(path, left_out=frozenset())
    assert kept[8:14, 18:24].min() == pytest.approx(12, abs=0.02)


def test_where_no_return_is_there_is_no_height(tmp_path):
    points = forest()
    x, y = points["x"] - WEST, points["y"] - SOUTH
    heights, report = chm_of(
        write_points(tmp_path / "p.laz", points[(np.abs(x - 20) > 6) | (np.abs(y - 22) > 6)])
    )
    assert np.isnan(heights[6:10, 18:22]).all()
    assert report.heights.valid_percent < 95
    assert np.isfinite(heights[25:]).all()


def test_density_is_points_per_square_metre(tmp_path):
    points = cloud(lattice(20, 20), 100.0, GROUND)
    _, report = chm_of(write_points(tmp_path / "p.laz", points), density=True, resolution_m=2.0)
    np.testing.assert_array_equal(read(report.files.density), 4)


@pytest.mark.parametrize("classes", [True, False])
def test_normalised_heights_are_recognised_and_said(tmp_path, caplog, classes):
    points = forest(terrain=lambda x, _: 0 * x)
    if not classes:
        points["class"] = 1
    caplog.set_level("INFO")
    heights, report = chm_of(write_points(tmp_path / "p.laz", points))
    assert "above ground already" in caplog.text
    assert report.origin.method.details["normalised_input"]
    assert heights.max() == pytest.approx(18, abs=1.3)


def test_normalised_and_other_files_do_not_mix(tmp_path):
    write_points(tmp_path / "a.laz", forest(terrain=lambda x, _: 0 * x))
    write_points(tmp_path / "b.laz", forest())
    with pytest.raises(LidarError, match=r"a\.laz has heights above ground, .*b\.laz has not"):
        chm_of(tmp_path)


def test_points_without_ground_are_refused_in_one_line(tmp_path):
    points = forest()
    points["class"] = 1
    with pytest.raises(LidarError, match=r"no ground returns \(class 2\) among 5324 points"):
        chm_of(write_points(tmp_path / "p.laz", points))
    assert {path.name for path in tmp_path.iterdir()} == {"p.laz"}


@pytest.mark.parametrize(
    ("crs", "metric", "unit", "z_unit"),
    [
        ("EPSG:2227", 26943, US_SURVEY_FOOT, US_SURVEY_FOOT),
        ("EPSG:2992", 2991, FOOT, FOOT),
        ("EPSG:2227+6360", 26943, US_SURVEY_FOOT, US_SURVEY_FOOT),
        ("EPSG:2227+5703", 26943, US_SURVEY_FOOT, 1.0),
        ("EPSG:26943+6360", 26943, 1.0, US_SURVEY_FOOT),
    ],
)
def test_feet_become_metres(tmp_path, crs, metric, unit, z_unit):
    points = forest()
    west, south = (1.9e6, 6e5) if metric == 26943 else (4e5, 3e5)
    points["x"] += west - WEST
    points["y"] += south - SOUTH
    metres, _ = chm_of(write_points(tmp_path / "m.las", points, crs=metric, scale=1e-4))
    points["x"] /= unit
    points["y"] /= unit
    points["z"] /= z_unit
    feet, report = chm_of(write_points(tmp_path / "f.las", points, crs=crs, scale=1e-4))
    assert report.grid.crs.to_epsg() == metric
    # Along the border a rounding decides which return of the lattice is the nearest.
    np.testing.assert_allclose(feet[1:-1, 1:-1], metres[1:-1, 1:-1], atol=1 / 64 + 1e-3)


def test_a_crs_in_feet_without_a_twin_is_spelled_out(tmp_path):
    points = forest()
    points["x"] += 6e5 - WEST
    points["y"] += 2e5 - SOUTH
    points["x"] /= US_SURVEY_FOOT
    points["y"] /= US_SURVEY_FOOT
    heights, report = chm_of(
        write_points(tmp_path / "f.las", points, crs=2264), height_unit="metre"
    )
    assert report.grid.crs.linear_units_factor[1] == 1
    assert heights.max() == pytest.approx(18, abs=1.3)
    there = pyproj.Transformer.from_crs(report.grid.crs.to_wkt(), 4269, always_xy=True)
    here = pyproj.Transformer.from_crs(2264, 4269, always_xy=True)
    feet = here.transform(6e5 / US_SURVEY_FOOT, 2e5 / US_SURVEY_FOOT)
    assert there.transform(6e5, 2e5) == pytest.approx(feet, abs=1e-8)


def test_points_without_crs_lie_on_a_plane_until_it_is_stated(tmp_path):
    path = write_points(tmp_path / "p.laz", forest(), crs=None)
    bare, report = chm_of(path)
    assert report.grid.crs is None
    stated, report = chm_of(path, epsg=32611)
    assert report.grid.crs.to_epsg() == 32611
    np.testing.assert_array_equal(bare, stated)


@pytest.mark.parametrize("other", [None, 32610])
def test_mixed_crss_are_refused(tmp_path, other):
    write_points(tmp_path / "a.laz", forest())
    write_points(tmp_path / "b.laz", forest(), crs=other)
    with pytest.raises(LidarError, match=r"a\.laz lies in EPSG:32611, .*expected one CRS"):
        chm_of(tmp_path)


@pytest.mark.parametrize(("crs", "said"), [(4326, "no x and y in metres"), (3857, "keep metres")])
def test_a_crs_that_has_no_metres_is_refused(tmp_path, crs, said):
    points = forest(width=10, height=10)
    points["x"], points["y"] = points["x"] - WEST + 10, points["y"] - SOUTH + 40
    if crs == 3857:
        points["y"] += 5e6
    with pytest.raises(LidarError, match=said):
        chm_of(write_points(tmp_path / "p.laz", points, crs=crs))


OWN_UTM = (
    'PROJCS["UTM 11N of our own",GEOGCS["UTM 11N of our own",DATUM["{datum}",SPHEROID["GRS80",'
    '6378137,{flattening}]],PRIMEM["Greenwich",0],UNIT["Degree",0.0174532925199433]],'
    'PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],'
    'PARAMETER["central_meridian",-117],PARAMETER["scale_factor",0.9996],'
    'PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["Meter",1]]'
)
"""A UTM zone that no register has, as surveyors write it."""


def own_utm(datum="ITRF_00", flattening=298.2572221):
    return pyproj.CRS.from_wkt(OWN_UTM.format(datum=datum, flattening=flattening))


def test_a_code_that_contradicts_the_file_is_refused(tmp_path):
    for crs, words in ((32611, "EPSG:32611"), (own_utm(), "UTM 11N of our own")):
        path = write_points(tmp_path / "p.laz", forest(), crs=crs)
        said = rf"lies in {words}, not in EPSG:32612 \(\d\d\d,\d\d\d m apart\): leave --epsg out"
        with pytest.raises(LidarError, match=said):
            chm_of(path, epsg=32612)
    with pytest.raises(LidarError, match="in another unit"):
        chm_of(path, epsg=2227)


def test_a_code_that_agrees_with_a_file_is_taken_and_said(tmp_path, caplog):
    caplog.set_level("INFO")
    path = write_points(tmp_path / "p.laz", forest(), crs=own_utm("SOMEWHERE"))
    unknown, report = chm_of(path)
    assert report.grid.crs.to_epsg() is None
    heights, report = chm_of(path, epsg=26911)
    assert report.grid.crs.to_epsg() == 26911
    np.testing.assert_array_equal(heights, unknown)
    (note,) = [line for line in caplog.messages if "is taken as" in line]
    assert "UTM 11N of our own is taken as EPSG:26911" in note
    assert "agree within 0.00 m" in note


@pytest.mark.parametrize(
    ("datum", "flattening", "code", "said"),
    [
        ("ITRF_00", 298.2572221, 32611, True),
        ("D_WGS_1984", 298.257223563, 32611, False),  # only its name is its own
        ("NAD_1983_CORS96", 298.257222101, 26911, True),
        ("SOMEWHERE", 298.2572221, None, False),
        ("ITRF_00", 294.98, None, False),
    ],
)
def test_a_crs_of_its_own_becomes_the_registered_one(
    tmp_path, caplog, datum, flattening, code, said
):
    caplog.set_level("INFO")
    crs = own_utm(datum, flattening)
    write_points(tmp_path / "a.laz", forest(), crs=crs)
    write_points(tmp_path / "b.laz", forest(), crs=crs)
    _, report = chm_of(tmp_path)
    assert report.grid.crs.to_epsg() == code
    notes = [line for line in caplog.messages if "is taken as" in line]
    assert len(notes) == said
    assert all("a.laz and 1 more: UTM 11N of our own is taken as" in note for note in notes)


def test_another_raster_in_a_crs_that_agrees_gives_the_pixels(tmp_path, caplog):
    caplog.set_level("INFO")
    heights, report = chm_of(write_points(tmp_path / "p.laz", forest()))
    shutil.copy(report.files.chm, tmp_path / "like.tif")
    path = write_points(tmp_path / "p.laz", forest(), crs=own_utm("SOMEWHERE"))
    like, report = chm_of(path, like=tmp_path / "like.tif")
    np.testing.assert_array_equal(like, heights)
    assert report.grid.crs.to_epsg() == 32611
    assert "in EPSG:32611, the points in UTM 11N of our own: taken as one" in caplog.text
    options = {"driver": "GTiff", "width": 40, "height": 30, "count": 1, "dtype": "uint8"}
    place = {"crs": "EPSG:32612", "transform": report.grid.transform}
    with rasterio.open(tmp_path / "like.tif", "w", **options, **place):
        pass
    with pytest.raises(LidarError, match="EPSG:32612, the points in UTM 11N of our own") as error:
        chm_of(path, like=tmp_path / "like.tif")
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("name", ["p.las", "p.laz"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.6, 0.999])
def test_a_truncated_file_is_one_line_and_leaves_nothing(tmp_path, name, share):
    path = write_points(tmp_path / name, forest())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(LidarError, match=r"p\.la. (cannot be read|breaks off)") as error:
        chm_of(path)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


def test_files_without_points_are_left_out_or_refused(tmp_path):
    empty = write_points(tmp_path / "empty.las", forest()[:0])
    with pytest.raises(LidarError, match="has no points"):
        chm_of(empty)
    heights, _ = chm_of([empty, write_points(tmp_path / "p.las", forest())])
    assert np.isfinite(heights).all()


def test_a_folder_is_taken_without_its_other_files(tmp_path):
    (tmp_path / "readme.txt").write_text("not points")
    with pytest.raises(LidarError, match=r"no file that ends in \.las or \.laz"):
        chm_of(tmp_path)
    with pytest.raises(LidarError, match="no file of points by its name"):
        chm_of(tmp_path / "readme.txt")
    with pytest.raises(LidarError, match="does not exist"):
        chm_of(tmp_path / "none.laz")
    path = write_points(tmp_path / "p.LAZ", forest())
    _, report = chm_of([tmp_path, path])
    assert list(report.origin.sources) == [path]
    assert report.origin.method.details["points_read"] == len(forest())


def test_bounds_and_another_raster_give_the_pixels(tmp_path):
    path = write_points(tmp_path / "p.laz", forest())
    whole, whole_report = chm_of(path)
    part, report = chm_of(path, bounds=(WEST + 10, SOUTH + 8, WEST + 20, SOUTH + 20))
    np.testing.assert_array_equal(part, whole[10:22, 10:20])
    shutil.copy(report.files.chm, tmp_path / "like.tif")
    like, _ = chm_of(path, like=tmp_path / "like.tif")
    np.testing.assert_array_equal(like, part)
    assert whole_report.grid.shape == (30, 40)
    with pytest.raises(LidarError, match="expected an overlap"):
        chm_of(path, bounds=(0, 0, 10, 10))


def test_an_interruption_leaves_nothing(tmp_path):
    path = write_points(tmp_path / "p.laz", forest())

    def stop(done, _):
        if done > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        points_to_chm([path], tmp_path / "chm.tif", limits=SMALL, progress=stop)
    assert list(tmp_path.iterdir()) == [path]


def test_progress_ends_with_all_steps_done(tmp_path):
    told = []
    points_to_chm(
        [write_points(tmp_path / "p.laz", forest())], tmp_path / "chm.tif", limits=SMALL,
        progress=lambda *step: told.append(step),
    )  # fmt: skip
    assert [done for done, _ in told] == list(range(1, told[-1][1] + 1))


@pytest.mark.skipif(not FIELD_DATA, reason="CANOPY_FIELD_DATA is not set: no real lidar")
def test_it_agrees_with_a_published_model_of_a_real_forest(tmp_path):
    plots = sorted((Path(FIELD_DATA) / "pairs" / "NEON_TEAK").glob("*/points.laz"))
    medians = []
    for plot in plots:
        beside = plot.with_name("chm.tif")
        points_to_chm([plot], tmp_path / "c.tif", ChmSettings(like=beside, overwrite=True))
        medians.append(np.nanmedian(np.abs(read(tmp_path / "c.tif") - read(beside))))
    assert len(medians) == 18
    assert max(medians) <= 0.2
    assert np.median(medians) <= 0.05
