"""Points and footprints: which pixels of the map they meet, which are left out, and why."""

from __future__ import annotations

import re

import numpy as np
import pytest
import rasterio
from rasterio.warp import calculate_default_transform
from small_heights import EAST, NORTH, UTM, forest, write_heights

import canopy.evaluation.report
from canopy.errors import SettingsError
from canopy.evaluation.pictures import residual_map
from geo.errors import SceneError

gpd = pytest.importorskip("geopandas")


def frame(places, **columns):
    """Points at columns and rows of 1 m pixels of the map (n, 2)."""
    x, y = EAST + np.array(places)[:, 0], NORTH - np.array(places)[:, 1]
    return gpd.GeoDataFrame(columns, geometry=gpd.points_from_xy(x, y), crs=UTM)


@pytest.fixture
def ground(tmp_path):
    heights = forest(100, 120)
    return heights, write_heights(tmp_path / "map.tif", heights)


PLACES = np.random.default_rng(0).uniform(20, 80, (40, 2))


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".parquet", ".csv"])
def test_points_meet_the_pixel_under_them(evaluate, ground, tmp_path, suffix):
    heights, here = ground
    columns, rows = np.floor(PLACES).astype(int).T
    measured = heights[rows, columns] + 1
    points = frame(PLACES, height=measured)
    path = tmp_path / f"trees{suffix}"
    if suffix == ".csv":
        degrees = points.to_crs(4326)
        degrees = degrees.assign(longitude=degrees.geometry.x, latitude=degrees.geometry.y)
        degrees.drop(columns="geometry").to_csv(path, index=False)
    elif suffix == ".parquet":
        pytest.importorskip("pyarrow")
        points.to_parquet(path)
    else:
        (points.to_crs(4326) if suffix == ".geojson" else points).to_file(path)
    found = evaluate(here, path)["comparisons"][0]
    assert found["kind"] == "points"
    assert found["count"] == 40
    assert found["errors"]["bias_m"] == pytest.approx(-1, abs=1e-6)
    assert found["area_ha"] is None
    assert "edge_error" not in found["errors"]
    assert "shift" not in found


def test_footprints_meet_the_98th_percentile_within_12_m(evaluate, ground, tmp_path):
    heights, here = ground
    y, x = np.mgrid[0.5:100, 0.5:120]
    expected = [
        np.percentile(heights[(x - column) ** 2 + (y - row) ** 2 <= 144.15], 98)
        for column, row in PLACES
    ]
    path = tmp_path / "gedi.gpkg"
    frame(PLACES, RH98=np.array(expected) - 2).to_file(path)
    content = evaluate(here, footprints=[path])
    found = content["comparisons"][0]
    assert found["kind"] == "footprints"
    assert found["compared"] == "98th percentile of the map within 12 m of the point"
    assert found["count"] == 40
    assert found["errors"]["bias_m"] == pytest.approx(2, abs=0.02)
    again = evaluate(here, footprints=[path], radius_m=0.0)["comparisons"][0]
    assert again["errors"]["bias_m"] < 0


def test_poor_footprints_are_left_out_and_counted(evaluate, ground, tmp_path):
    _, here = ground
    points = frame(
        np.full((8, 2), 50.0), rh98=[10.0] * 7 + [np.nan], quality_flag=[0] + [1] * 7,
        degrade_flag=[0, 1] + [0] * 6, sensitivity=[0.99, 0.99, 0.9] + [0.99] * 5,
        solar_elevation=[-9, -9, -9, 20] + [-9] * 4, is_powerbeam=[True] * 4 + [False] + [True] * 3,
    )  # fmt: skip
    points.to_file(tmp_path / "gedi.gpkg")
    found = evaluate(here, footprints=[tmp_path / "gedi.gpkg"])["comparisons"][0]
    assert found["count"] == 2
    assert found["sites"][0]["left_out"] == {
        "quality_flag is not 1": 1, "degrade_flag is not 0": 1, "sensitivity below 0.95": 1,
        "taken by day": 1, "coverage beam": 1, "no height": 1,
    }  # fmt: skip
    found = evaluate(here, footprints=[tmp_path / "gedi.gpkg"], filters=False)["comparisons"][0]
    assert found["count"] == 7


def test_footprints_as_canopy_writes_them_go_through_the_filters_of_the_protocol(
    evaluate, ground, tmp_path
):
    _, here = ground
    points = frame(
        np.full((6, 2), 50.0), rh98=[10.0] * 6, quality_flag=np.uint8([1, 1, 1, 1, 1, 0]),
        sensitivity=np.float32([0.95, 0.99, 0.99, 0.99, 0.99, 0.99]),
        full_power=[True, False, True, True, True, True], leaf_off_flag=[0, 0, 1, None, 0, 0],
        elev_lowestmode=np.float32([100, 100, 100, 100, 100, 100]),
        digital_elevation_model=np.float32([90, 90, 90, np.nan, 300, 90]),
    )  # fmt: skip
    points.to_parquet(tmp_path / "ours.parquet")
    site = evaluate(here, footprints=[tmp_path / "ours.parquet"])["comparisons"][0]["sites"][0]
    assert site["count"] == 2
    assert site["left_out"] == {
        "quality_flag is not 1": 1, "coverage beam": 1, "leaves off": 1,
        "ground far from the elevation model": 1,
    }  # fmt: skip
    assert "full-power beam" in site["filters"]
    assert site["filters_lacking"] == [
        "degrade_flag is 0 (no degrade_flag)", "solar_elevation below 0 (no solar_elevation)",
    ]  # fmt: skip
    words = points.drop(columns="full_power").assign(is_powerbeam=["power", "coverage"] * 3)
    words.to_parquet(tmp_path / "words.parquet")
    site = evaluate(here, footprints=[tmp_path / "words.parquet"])["comparisons"][0]["sites"][0]
    assert site["left_out"]["coverage beam"] == 2
    everything = evaluate(here, footprints=[tmp_path / "ours.parquet"], filters=False)
    site = everything["comparisons"][0]["sites"][0]
    assert (site["count"], site["filters"], site["filters_lacking"]) == (6, [], [])


def test_footprints_that_are_all_left_out_are_said_to_be(evaluate, ground, tmp_path):
    _, here = ground
    points = frame(
        PLACES[:3], rh98=[10.0] * 3, solar_elevation=[20, 20, -9], quality_flag=[1, 1, 0]
    )
    points.to_parquet(tmp_path / "day.parquet")
    said = "no footprint left of 3 (1 quality_flag is not 1, 2 taken by day): --all-footprints"
    with pytest.raises(SettingsError, match=re.escape(said)):
        evaluate(here, footprints=[tmp_path / "day.parquet"])


def test_a_point_beyond_the_map_or_on_its_gaps_is_left_out(evaluate, tmp_path):
    heights = forest(40, 40)
    heights[:, 30:] = np.nan
    here = write_heights(tmp_path / "map.tif", heights)
    places = [(10, 10), (35, 10), (-5, 10), (1e5, 1e5), (29, 20)]
    frame(places, height=[1.0] * 5).to_file(tmp_path / "trees.gpkg")
    found = evaluate(here, tmp_path / "trees.gpkg")["comparisons"][0]
    assert found["count"] == 2
    assert found["sites"][0]["left_out"] == {"no height on the map": 3}
    # A circle of which the gap takes a half has too little of the map.
    around = evaluate(here, tmp_path / "trees.gpkg", radius_m=5.0)["comparisons"][0]
    assert around["count"] == 1
    assert around["compared"] == "mean of the map within 5 m of the point"
    frame(places[1:4], height=[1.0] * 3).to_file(tmp_path / "far.gpkg")
    with pytest.raises(SettingsError, match="no point with a height on the map"):
        evaluate(here, tmp_path / "far.gpkg")


def test_groups_are_a_column_of_the_points_or_polygons(evaluate, ground, tmp_path):
    from shapely.geometry import box  # noqa: PLC0415 - comes with geopandas

    heights, here = ground
    columns, rows = np.floor(PLACES).astype(int).T
    west = columns < 50
    measured = heights[rows, columns] - np.where(west, 3, 1)
    points = frame(PLACES, height=measured, side=np.where(west, "west", "east"))
    points = points[points["height"] > 0]
    points.to_file(tmp_path / "trees.gpkg")
    halves = [
        box(EAST, NORTH - 100, EAST + 50, NORTH),
        box(EAST + 50, NORTH - 100, EAST + 120, NORTH),
    ]
    zones = gpd.GeoDataFrame({"side": ["west", "east"]}, geometry=halves, crs=UTM)
    zones.to_file(tmp_path / "zones.gpkg")
    for choices in ({}, {"sites": tmp_path / "zones.gpkg"}):
        found = evaluate(here, tmp_path / "trees.gpkg", groups="side", **choices)
        groups = found["comparisons"][0]["groups"]
        assert groups["worst"] == {"name": "west", "mae_m": pytest.approx(3)}
        assert groups["best"] == {"name": "east", "mae_m": pytest.approx(1)}
        assert groups["gap_mae_m"] == pytest.approx(2)


def test_rasters_and_footprints_stand_side_by_side(evaluate, ground, tmp_path):
    _, here = ground
    frame(PLACES, rh98=[20.0] * 40).to_file(tmp_path / "gedi.gpkg")
    frame(PLACES, height=[20.0] * 40).to_file(tmp_path / "trees.gpkg")
    content = evaluate(here, here, tmp_path / "trees.gpkg", footprints=[tmp_path / "gedi.gpkg"])
    kinds = [comparison["kind"] for comparison in content["comparisons"]]
    assert kinds == ["pixels", "points", "footprints"]


def test_what_is_no_table_of_heights_is_refused(evaluate, ground, tmp_path):
    _, here = ground
    frame(PLACES, tall=[20.0] * 40).to_file(tmp_path / "tall.gpkg")
    with pytest.raises(SettingsError, match="--height-column"):
        evaluate(here, tmp_path / "tall.gpkg")
    assert evaluate(here, tmp_path / "tall.gpkg", height_column="tall")["comparisons"]
    with pytest.raises(SettingsError, match="has no column h: found tall"):
        evaluate(here, tmp_path / "tall.gpkg", height_column="h")
    frame(PLACES, rh98=[2000.0] * 40).to_file(tmp_path / "cm.gpkg")
    with pytest.raises(SettingsError, match=r"--reference-scale 0\.01"):
        evaluate(here, footprints=[tmp_path / "cm.gpkg"])
    assert evaluate(here, footprints=[tmp_path / "cm.gpkg"], reference_scale=0.01)["comparisons"]
    (tmp_path / "plain.csv").write_text("height,plot\n3,a\n")
    with pytest.raises(SettingsError, match="longitude and latitude"):
        evaluate(here, tmp_path / "plain.csv")
    (tmp_path / "words.csv").write_text("lon,lat,height\n15,48.9,tall\n")
    with pytest.raises(SettingsError, match="height holds"):
        evaluate(here, tmp_path / "words.csv")
    (tmp_path / "gaps.csv").write_text("lon,lat,height\n15,48.9,22.5\n15,48.9,n/a\n")
    with pytest.raises(SettingsError, match="height holds 'n/a', expected heights: leave such"):
        evaluate(here, tmp_path / "gaps.csv")
    frame(PLACES, rh98=[20.0] * 40).to_file(tmp_path / "shots.gpkg")
    with pytest.raises(SettingsError, match=r"column rh98\): give it as --footprints"):
        evaluate(here, tmp_path / "shots.gpkg")
    assert evaluate(here, tmp_path / "shots.gpkg", height_column="rh98")["comparisons"]
    (tmp_path / "broken.gpkg").write_text("no table")
    with pytest.raises(SceneError, match="cannot be read as a table"):
        evaluate(here, tmp_path / "broken.gpkg")
    with pytest.raises(SceneError, match="does not exist"):
        evaluate(here, tmp_path / "missing.csv")
    boxes = gpd.GeoDataFrame({"height": [1.0]}, geometry=frame([(5, 5)]).buffer(2), crs=UTM)
    boxes.to_file(tmp_path / "boxes.gpkg")
    with pytest.raises(SettingsError, match="holds Polygon: expected points"):
        evaluate(here, tmp_path / "boxes.gpkg")


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3857"])
def test_pictures_have_a_scale_in_metres_of_the_ground(evaluate, tmp_path, monkeypatch, crs):
    here = write_heights(tmp_path / "map.tif", forest(300, 700))
    with rasterio.open(here) as source:
        transform, width, height = calculate_default_transform(
            source.crs, crs, source.width, source.height, *source.bounds
        )
    profile = {"crs": crs, "transform": transform}
    there = write_heights(tmp_path / "there.tif", np.full((height, width), 9.0), **profile)
    frame([(50, 50), (650, 250)], height=[5.0, 6.0]).to_file(tmp_path / "two.gpkg")
    drawn = []
    monkeypatch.setattr(canopy.evaluation.report, "draw", lambda *told: drawn.append(told) or [])
    evaluate(there, tmp_path / "two.gpkg")
    _, section, content, number = drawn[0]
    points = section.points[0]
    assert np.hypot(np.ptp(points.x), np.ptp(points.y)) == pytest.approx(
        np.hypot(600, 200), rel=1e-3
    )
    axes = residual_map(section, content["comparisons"][number], "there.tif").axes[0]
    assert np.ptp(axes.get_xlim()) == pytest.approx(np.ptp(axes.get_ylim()))
    written = " ".join([axes.get_xlabel(), *(text.get_text() for text in axes.texts)])
    assert re.fullmatch(r"width 6\d\d m 200 m", written), written
    bar = next(line for line in axes.lines if len(line.get_xdata()) == 2)
    assert np.ptp(bar.get_xdata()) * np.ptp(axes.get_xlim()) == pytest.approx(200)
