"""Which pixels are compared: encodings, grids, nodata, and what does not overlap."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.warp import calculate_default_transform, reproject
from small_heights import EAST, NORTH, UTM, forest, write_heights
from small_scenes import noise, write_scene

from canopy.errors import SettingsError
from canopy.evaluation.area_means import AreaMeans, Cells
from canopy.evaluation.height_source import open_heights
from canopy.evaluation.read_pairs import name_sites, plan_pair
from canopy.evaluation.settings import EvaluationSettings
from geo.errors import GeoError, SceneError


@pytest.mark.parametrize(
    ("encoding", "step"), [("float32", 1e-6), ("int16-cm", 0.005), ("uint8-m", 0.5)]
)
def test_every_encoding_is_read_in_metres_without_its_nodata(evaluate, tmp_path, encoding, step):
    true = forest(40, 50)
    predicted = true + 2
    predicted[5:9, 7:20] = np.nan
    here = write_heights(tmp_path / "map.tif", predicted, encoding=encoding)
    there = write_heights(tmp_path / "chm.tif", true)
    found = evaluate(here, there)["comparisons"][0]
    assert found["count"] == 40 * 50 - 4 * 13
    assert found["errors"]["bias_m"] == pytest.approx(2, abs=step)


def test_units_and_scales_of_files_and_users_become_metres(evaluate, tmp_path):
    true = np.round(forest(20, 20) * 100) / 100
    chm = write_heights(tmp_path / "chm.tif", true)
    centimetres = write_heights(tmp_path / "cm.tif", true * 100)
    with rasterio.open(centimetres, "r+") as dataset:
        dataset.units = ("cm",)
    found = evaluate(centimetres, chm)["comparisons"][0]
    assert found["errors"]["mae_m"] == pytest.approx(0, abs=1e-9)
    plain = write_heights(tmp_path / "plain.tif", true * 100)
    found = evaluate(plain, chm, map_scale=0.01)["comparisons"][0]
    assert found["errors"]["mae_m"] == pytest.approx(0, abs=1e-9)
    found = evaluate(chm, plain, reference_scale=0.01)["comparisons"][0]
    assert found["errors"]["mae_m"] == pytest.approx(0, abs=1e-9)


def test_gaps_that_a_file_does_not_declare_are_no_heights(evaluate, tmp_path, caplog):
    true = forest(20, 20)
    gappy = true.copy()
    gappy[:2], gappy[2] = -9999, 1e38
    chm = write_heights(tmp_path / "chm.tif", gappy, nodata=None)
    with caplog.at_level(logging.WARNING):
        found = evaluate(write_heights(tmp_path / "map.tif", true), chm)["comparisons"][0]
    assert found["count"] == 17 * 20
    assert found["errors"]["mae_m"] == 0
    assert "taken as no data" in caplog.text


def test_an_internal_mask_is_no_height(evaluate, tmp_path):
    true = forest(20, 20)
    mask = np.full((20, 20), 255, np.uint8)
    mask[:, :5] = 0
    path = write_scene(
        tmp_path / "map.tif", np.round(true)[None].astype(np.uint8), pixel=1.0, mask=mask
    )
    found = evaluate(path, write_heights(tmp_path / "chm.tif", np.round(true)))["comparisons"][0]
    assert found["count"] == 300
    assert found["errors"]["mae_m"] == 0


def test_heights_below_zero_count_as_ground(compare):
    assert compare(np.array([[0.0, 1.0]]), np.array([[-0.4, 1.0]]))["errors"]["mae_m"] == 0


@pytest.mark.parametrize(("pixel", "factor"), [(0.5, 2), (0.2, 5)])
def test_the_finer_raster_is_averaged_over_the_coarser(evaluate, tmp_path, pixel, factor):
    fine = forest(30 * factor, 40 * factor)
    coarse = fine.reshape(30, factor, 40, factor).mean((1, 3))
    here = write_heights(tmp_path / "fine.tif", fine, pixel=pixel)
    there = write_heights(tmp_path / "coarse.tif", coarse)
    for one, other, on in ((here, there, "reference"), (there, here, "map")):
        found = evaluate(one, other)["comparisons"][0]
        assert found["count"] == 1200
        assert found["errors"]["rmse_m"] == pytest.approx(0, abs=1e-9)
        assert found["sites"][0]["compared_on"] == on
        assert found["sites"][0]["pixel_m"] == pytest.approx([1, 1], rel=1e-3)
    assert evaluate(here, there, grid="map")["comparisons"][0]["count"] == 1200 * factor**2


def test_a_cell_with_less_than_half_of_its_area_is_not_compared(evaluate, tmp_path):
    fine = np.ones((4, 4))
    fine[0, :2] = np.nan  # half of the first cell
    fine[:2, 2:] = [[np.nan, np.nan], [np.nan, 1]]
    here = write_heights(tmp_path / "fine.tif", fine, pixel=0.5)
    found = evaluate(here, write_heights(tmp_path / "coarse.tif", np.ones((2, 2))))
    assert found["comparisons"][0]["count"] == 3


def test_a_map_cut_by_the_edge_of_a_cell_counts_where_it_covers_half(evaluate, tmp_path):
    chm = write_heights(tmp_path / "chm.tif", np.ones((4, 4)))
    for offset, columns in ((0.4, 4), (0.6, 3)):
        path = tmp_path / f"map{columns}.tif"
        write_heights(path, np.ones((40, 60)), pixel=0.1, place=(EAST + offset, NORTH))
        assert evaluate(path, chm)["comparisons"][0]["count"] == 4 * columns


@given(
    pixel=st.floats(0.3, 1.9), across=st.floats(-3, 3), down=st.floats(-3, 3),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_area_means_along_axes_are_those_of_the_area(tmp_path_factory, pixel, across, down, seed):
    folder = tmp_path_factory.mktemp("area")
    heights = forest(23, 31, seed, smooth=1.0)
    source = open_heights(
        write_heights(folder / "a.tif", heights, pixel=pixel, place=(EAST + across, NORTH - down))
    )
    grid = open_heights(write_heights(folder / "b.tif", np.zeros((6, 7)), pixel=2.0)).grid
    with source.open() as reader:
        means, valid = AreaMeans(reader, grid).read(Cells(row=0, column=0, height=6, width=7))

    def weights(count, length, offset):
        cells, pixels = np.arange(count)[:, None] * 2.0, offset + np.arange(length) * pixel
        return np.clip(np.minimum(cells + 2, pixels + pixel) - np.maximum(cells, pixels), 0, None)

    rows, columns = weights(6, 23, down), weights(7, 31, across)
    area = rows.sum(1)[:, None] * columns.sum(1)
    share = area / 4
    assert (valid == (share >= 0.5))[np.abs(share - 0.5) > 1e-3].all()
    expected = rows @ heights @ columns.T / np.maximum(area, 1e-9)
    assert means[valid] == pytest.approx(expected[valid], rel=1e-4)


def warped(path, heights, crs):
    """Write heights [m] of a 1 m grid in UTM on another CRS, pixels of about the same size."""
    here = Affine(1, 0, EAST, 0, -1, NORTH)
    rows, columns = heights.shape
    bounds = (EAST, NORTH - rows, EAST + columns, NORTH)
    transform, width, height = calculate_default_transform(UTM, crs, columns, rows, *bounds)
    target = np.full((height, width), np.nan)
    reproject(
        heights, target, src_transform=here, src_crs=UTM, dst_transform=transform, dst_crs=crs,
        dst_nodata=np.nan, resampling=Resampling.bilinear,
    )  # fmt: skip
    options = {"crs": crs, "transform": transform}
    return write_heights(path, target, **options)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32632"])
def test_a_map_in_another_crs_lies_in_the_same_place(evaluate, tmp_path, crs):
    true = forest(90, 110, smooth=6.0)
    here = warped(tmp_path / "map.tif", true, crs)
    coarse = true.reshape(18, 5, 22, 5).mean((1, 3))
    there = write_heights(tmp_path / "chm.tif", coarse, pixel=5.0)
    found = evaluate(here, there)["comparisons"][0]
    assert found["sites"][0]["compared_on"] == "reference"
    assert found["count"] > 0.9 * coarse.size
    assert found["errors"]["mae_m"] < 0.15
    assert abs(found["errors"]["bias_m"]) < 0.02
    other = evaluate(there, here)["comparisons"][0]
    assert other["sites"][0]["compared_on"] == "map"
    assert other["errors"]["mae_m"] < 0.15


def test_pixels_on_the_ground_count_not_those_of_web_mercator(evaluate, tmp_path):
    true = forest(60, 60, smooth=6.0)
    here = warped(tmp_path / "map.tif", true, "EPSG:3857")
    found = evaluate(here, here)["comparisons"][0]
    assert found["area_ha"] == pytest.approx(0.36, rel=0.02)
    assert found["sites"][0]["pixel_m"][0] < 1.1


def test_a_raster_that_runs_north_is_read_like_any_other(evaluate, tmp_path):
    true = forest(30, 40)
    upright = write_heights(tmp_path / "chm.tif", true)
    flipped = write_heights(
        tmp_path / "map.tif", true[::-1], transform=Affine(1, 0, EAST, 0, 1, NORTH - 30)
    )
    for pair in ((flipped, upright), (upright, flipped)):
        found = evaluate(*pair)["comparisons"][0]
        assert found["count"] == 1200
        assert found["errors"]["mae_m"] == 0


def test_a_reference_elsewhere_is_said_and_skipped(evaluate, tmp_path, caplog):
    here = write_heights(tmp_path / "map.tif", forest(30, 30))
    far = write_heights(tmp_path / "far.tif", forest(30, 30), place=(EAST + 30, NORTH))
    empty = write_heights(tmp_path / "empty.tif", np.full((30, 30), np.nan))
    with caplog.at_level(logging.WARNING):
        found = evaluate(here, far, here, empty)["comparisons"][0]
    assert [site["site"] for site in found["sites"]] == ["map"]
    reasons = {entry["path"]: entry["reason"] for entry in found["skipped"]}
    assert reasons == {
        str(far): "does not overlap the map",
        str(empty): "has no pixel that is valid in both",
    }
    assert "does not overlap the map: skipped" in caplog.text
    for alone in (far, empty):
        with pytest.raises(SettingsError, match="no reference could be compared"):
            evaluate(here, alone)


def test_a_folder_stands_for_its_rasters_and_not_for_imagery(evaluate, tmp_path):
    true = forest(30, 60)
    here = write_heights(tmp_path / "map.tif", true)
    for name, columns in (("west", slice(0, 30)), ("east", slice(30, 60))):
        folder = tmp_path / "plots" / name
        folder.mkdir(parents=True)
        place = (EAST + columns.start, NORTH)
        write_heights(folder / "chm.tif", true[:, columns], place=place)
        write_scene(folder / "rgb.tif", noise(30, 30))
    found = evaluate(here, tmp_path / "plots")["comparisons"][0]
    assert [site["site"] for site in found["sites"]] == ["east", "west"]
    assert found["count"] == 1800
    (tmp_path / "none").mkdir()
    with pytest.raises(SettingsError, match="holds no raster"):
        evaluate(here, tmp_path / "none")
    with pytest.raises(SettingsError, match="named twice"):
        evaluate(here, here, here)


def test_layers_of_a_folder_that_are_no_heights_are_passed_over_with_a_word(
    evaluate, tmp_path, caplog
):
    true = forest(30, 30)
    here = write_heights(tmp_path / "map.tif", true)
    folder = tmp_path / "lidar"
    folder.mkdir()
    write_heights(folder / "chm.tif", true)
    write_heights(folder / "a_dtm.tif", np.full((30, 30), 40.0))
    write_heights(folder / "DSM-2020.tif", true + 40)
    with rasterio.open(write_heights(folder / "chm.density.tif", true * 3), "r+") as dataset:
        dataset.units = ("1/m2",)
    with caplog.at_level(logging.WARNING):
        found = evaluate(here, folder)["comparisons"][0]
    assert [(site["path"], site["count"]) for site in found["sites"]] == [
        (str(folder / "chm.tif"), 900)
    ]
    assert found["errors"]["mae_m"] == 0
    assert [record.getMessage().count("passed over") for record in caplog.records] == [1, 1, 1]
    with pytest.raises(SceneError, match="is in 1/m2: expected heights in metres"):
        evaluate(here, folder / "chm.density.tif")


def test_ground_under_several_references_counts_for_the_first(evaluate, tmp_path):
    here = write_heights(tmp_path / "map.tif", np.full((40, 60), 10.0))
    first = np.full((40, 40), 8.0)
    first[:, 30:35] = np.nan  # there the second one counts
    second = np.full((40, 40), 7.0)
    paths = [
        write_heights(tmp_path / "b.tif", first),
        write_heights(tmp_path / "a.tif", second, place=(EAST + 20, NORTH)),
    ]
    found = evaluate(here, *paths)["comparisons"][0]
    assert found["count"] == 40 * 60
    assert found["counted_before"] == 40 * 15
    assert found["errors"]["bias_m"] == pytest.approx((35 * 2 + 25 * 3) / 60)
    sites = {site["site"]: (site["count"], site["counted_before"]) for site in found["sites"]}
    assert sites == {"a": (40 * 25, 40 * 15), "b": (40 * 35, 0)}
    other = evaluate(here, *reversed(paths))["comparisons"][0]
    assert other["count"] == 40 * 60
    assert other["counted_before"] == 40 * 15
    assert other["errors"]["bias_m"] == pytest.approx((20 * 2 + 40 * 3) / 60)
    assert found["shift"]["one_for_all"]["pixels"] <= 40 * 60


def test_references_that_touch_leave_nothing_out(evaluate, tmp_path):
    here = write_heights(tmp_path / "map.tif", forest(40, 40))
    paths = [
        write_heights(tmp_path / f"{start}.tif", forest(40, 20), place=(EAST + start, NORTH))
        for start in (0, 20)
    ]
    found = evaluate(here, *paths)["comparisons"][0]
    assert (found["count"], found["counted_before"]) == (1600, 0)


def test_overlaps_of_other_pixels_are_found_by_centres(evaluate, tmp_path):
    here = write_heights(tmp_path / "map.tif", np.full((60, 60), 9.0))
    fine = write_heights(tmp_path / "fine.tif", np.full((80, 80), 9.0), pixel=0.5)
    coarse = write_heights(tmp_path / "coarse.tif", np.full((20, 20), 9.0), pixel=3.0)
    found = evaluate(here, fine, coarse)["comparisons"][0]
    # 40 m of the first: 13 coarse centres of 3 m lie within, the 14th at 40.5 m.
    assert found["counted_before"] == 13 * 13
    found = evaluate(here, coarse, fine)["comparisons"][0]
    assert found["sites"][0]["site"] == "coarse"
    assert found["counted_before"] == 40 * 40, "all of the finer one lies under the coarse"
    assert len(found["skipped"]) == 1


def test_overlaps_in_another_crs_are_found(evaluate, tmp_path):
    here = write_heights(tmp_path / "map.tif", np.full((60, 60), 9.0))
    one = write_heights(tmp_path / "one.tif", np.full((60, 60), 9.0))
    transform, width, height = calculate_default_transform(
        UTM, "EPSG:4326", 60, 60, *rasterio.open(one).bounds
    )
    profile = {"crs": "EPSG:4326", "transform": transform}
    two = write_heights(tmp_path / "two.tif", np.full((height, width), 9.0), **profile)
    found = evaluate(here, one, two)["comparisons"][0]
    alone = evaluate(here, two)["comparisons"][0]["count"]
    left = found["count"] - 3600
    assert left <= 0.05 * alone, "all but an edge that its pixels share with the first"
    assert found["counted_before"] + left == alone


def test_sites_have_the_shortest_name_that_tells_them_apart():
    assert name_sites(["a/one.tif", "b/two.tif"]) == ["one", "two"]
    assert name_sites(["x/a/chm.tif", "x/b/chm.tif"]) == ["a", "b"]
    assert name_sites(["x/a/1/chm.tif", "x/b/1/chm.tif"]) == ["a/1/chm", "b/1/chm"]
    assert name_sites(["chm.tif"]) == ["chm"]


def test_a_site_alone_has_the_name_that_it_has_among_others():
    assert name_sites(["teak/TEAK_043/chm.tif"]) == ["TEAK_043"]
    assert name_sites(["x/a/chm.tif", "x/b/height.tif"]) == ["a", "b"]
    assert name_sites(["x/a/chm.tif", "x/a/height.tif"]) == ["chm", "height"]
    assert name_sites(["teak/plot-43.tif"]) == ["plot-43"]


def test_what_is_no_raster_of_heights_is_refused_in_one_line(tmp_path):
    text = tmp_path / "text.tif"
    text.write_text("no raster")
    whole = write_heights(tmp_path / "whole.tif", forest(200, 200))
    for path, words in (
        (write_scene(tmp_path / "rgb.tif", noise(9, 9)), "has 3 bands"),
        (text, "cannot be read"),
        (tmp_path / "missing.tif", "does not exist"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(SceneError, match=words) as raised:
            open_heights(path)
        assert "\n" not in str(raised.value)
    whole.write_bytes(whole.read_bytes()[:90_000])
    with open_heights(whole).open() as reader, pytest.raises(GeoError, match="cannot be read"):
        reader.read(0, 0, 200, 200)


def test_a_plane_is_not_compared_with_the_earth(tmp_path):
    here = open_heights(write_heights(tmp_path / "map.tif", forest(9, 9)))
    plane = write_heights(tmp_path / "plane.tif", forest(9, 9), crs=None)
    with pytest.raises(SettingsError, match="has no CRS"):
        plan_pair("plane", here, str(plane), EvaluationSettings())
    assert plan_pair("plane", open_heights(plane), str(plane), EvaluationSettings()) is not None
