"""``canopy register``: a shift is said, and applied only where it is sure."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from rasterio.warp import transform
from small_worlds import settings_of

from geo.height_maps.cog import check_cog
from geo.simulation.world import simulate
from geo.simulation.write import CHM, IMAGERY, write_world

EAST, NORTH = 1.8, -2.4
"""How far heights are put off their place [m]."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A world as files, with heights that lie elsewhere."""
    place = tmp_path_factory.mktemp("world")
    write_world(simulate(settings_of("mixed", size_m=60), 5), place)
    put(place / CHM, place / "off.tif", Affine.translation(EAST, NORTH))
    return place


def put(source, path, move, *, pixels=None, **changes):
    """Write a copy of a raster that lies elsewhere or holds other pixels."""
    with rasterio.open(source) as dataset:
        profile = {**dataset.profile, "driver": "GTiff", "tiled": False}
        del profile["blockxsize"], profile["blockysize"]
        profile |= {"transform": move * dataset.transform} | changes
        pixels = dataset.read() if pixels is None else pixels
    with rasterio.open(path, "w", **profile) as target:
        target.write(pixels)
        target.units = ("m",)
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_heights_are_moved_where_they_belong(canopy_command, folder, tmp_path):
    before = [digest(folder / name) for name in (IMAGERY, "off.tif")]
    output = tmp_path / "moved.tif"
    code, out, err = canopy_command(
        "register", folder / IMAGERY, folder / "off.tif", "-o", output, "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["verdict"] == "shifted"
    assert found["confident"]
    assert np.hypot(found["east_m"] + EAST, found["north_m"] + NORTH) < 0.4
    check_cog(output)
    with rasterio.open(output) as moved, rasterio.open(folder / "off.tif") as source:
        np.testing.assert_array_equal(moved.read(), source.read())
        step = (moved.transform.c - source.transform.c, moved.transform.f - source.transform.f)
        assert step == pytest.approx((found["east_m"], found["north_m"]), abs=1e-3)
        assert (moved.transform.a, moved.transform.e) == (source.transform.a, source.transform.e)
        assert moved.crs == source.crs
        assert moved.units == ("m",)
        assert np.isnan(moved.nodata)
        assert "to fit" in moved.tags()["REGISTRATION"]
    assert [digest(folder / name) for name in (IMAGERY, "off.tif")] == before
    assert {path.name for path in tmp_path.iterdir()} == {"moved.tif", "moved.json", "moved.qml"}
    assert found["stac"] == str(output.with_suffix(".json"))
    assert found["local"] is None  # 60 m have one shift


def test_moved_heights_have_an_item(canopy_command, folder, tmp_path):
    chm, output = tmp_path / "dated.tif", tmp_path / "moved.tif"
    put(folder / "off.tif", chm, Affine.identity())
    with rasterio.open(chm, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2021:07:03 10:00:00")
    code, out, err = canopy_command("register", folder / IMAGERY, chm, "-o", output, "--json")
    assert code == 0, err
    assert "beside it moved.qml, moved.json" in err
    told, item = json.loads(out), pystac.Item.from_file(tmp_path / "moved.json")
    assert item.properties["canopy:shift_m"] == [told["east_m"], told["north_m"]]
    assert item.properties["canopy:registered_to"] == IMAGERY
    assert item.datetime.date().isoformat() == "2021-07-03"
    (link,) = item.get_links("derived_from")
    assert link.href.endswith("dated.tif")
    assert (tmp_path / item.assets["canopy_height"].href).samefile(output)
    with rasterio.open(output) as dataset:
        assert item.properties["proj:transform"] == list(dataset.transform)[:6]
        mean = dataset.read(1).mean()
    assert item.properties["canopy:height_m"]["mean"] == pytest.approx(mean, abs=0.02)


def test_an_item_is_left_out_where_asked(canopy_command, folder, tmp_path):
    output = tmp_path / "moved.tif"
    code, out, err = canopy_command(
        "register", folder / IMAGERY, folder / "off.tif", "-o", output, "--no-stac", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["stac"] is None
    assert {path.name for path in tmp_path.iterdir()} == {"moved.tif", "moved.qml"}


def test_aligned_heights_stay(canopy_command, folder, tmp_path):
    output = tmp_path / "moved.tif"
    code, out, err = canopy_command("register", folder / IMAGERY, folder / CHM, "-o", output)
    assert code == 0, err
    assert "aligned:" in out
    assert "nothing is written" in err
    assert list(tmp_path.iterdir()) == []


def test_heights_of_no_forest_are_not_moved(canopy_command, folder, tmp_path):
    with rasterio.open(folder / CHM) as dataset:
        noise = np.random.default_rng(0).gamma(2, 5, (1, *dataset.shape)).astype(np.float32)
    chm = put(folder / CHM, tmp_path / "noise.tif", Affine.identity(), pixels=noise)
    output = tmp_path / "moved.tif"
    code, out, err = canopy_command(
        "register", folder / IMAGERY, chm, "-o", output, "--json", "--quiet"
    )
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert not found["confident"]
    assert found["output"] is None
    assert not output.exists()


def test_heights_may_have_another_crs_and_pixel(canopy_command, folder, tmp_path):
    """In degrees, from north up pixels of a metre."""
    from rasterio.warp import Resampling, calculate_default_transform, reproject  # noqa: PLC0415

    with rasterio.open(folder / "off.tif") as source:
        placed, width, height = calculate_default_transform(
            source.crs, "EPSG:4326", source.width, source.height, *source.bounds,
            resolution=(1 / 111_320, 1 / 111_320),
        )  # fmt: skip
        pixels = np.full((1, height, width), np.nan, np.float32)
        reproject(
            source.read(), pixels, src_transform=source.transform, src_crs=source.crs,
            dst_transform=placed, dst_crs="EPSG:4326", src_nodata=np.nan, dst_nodata=np.nan,
            resampling=Resampling.average,
        )  # fmt: skip
        utm = source.crs
    chm = tmp_path / "degrees.tif"
    with rasterio.open(
        chm, "w", driver="GTiff", count=1, dtype="float32", nodata=np.nan, crs="EPSG:4326",
        transform=placed, width=width, height=height,
    ) as target:  # fmt: skip
        target.write(pixels)
    output = tmp_path / "moved.tif"
    code, out, err = canopy_command("register", folder / IMAGERY, chm, "-o", output, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert np.hypot(found["east_m"] + EAST, found["north_m"] + NORTH) < 0.6
    with rasterio.open(output) as moved:
        after = moved.transform
    xs, ys = transform("EPSG:4326", utm, [placed.c, after.c], [placed.f, after.f])
    step = (xs[1] - xs[0], ys[1] - ys[0])
    assert step == pytest.approx((found["east_m"], found["north_m"]), abs=0.01)


@pytest.fixture(scope="module")
def savanna(tmp_path_factory):
    """Single trees in the open, where a shadow is most easily taken for a tree."""
    place = tmp_path_factory.mktemp("savanna")
    write_world(simulate(settings_of("savanna", size_m=72), 5), place)
    return place


def coarse(folder, path, times, combine, move=None):
    """Write the heights of a world in place, on pixels that are so many times larger."""
    with rasterio.open(folder / CHM) as dataset:
        rows, columns = (length // times for length in dataset.shape)
        blocks = dataset.read(1).reshape(rows, times, columns, times)
        transform = (move or Affine.identity()) * dataset.transform * Affine.scale(times)
        profile = {"crs": dataset.crs, "dtype": "float32", "count": 1, "nodata": np.nan}
    with rasterio.open(
        path, "w", driver="GTiff", height=rows, width=columns, transform=transform, **profile
    ) as target:
        target.write(combine(blocks, axis=(1, 3)), 1)
    return path


def found_in(canopy_command, folder, chm):
    code, out, err = canopy_command("register", folder / IMAGERY, chm, "--json", "--max-shift", "4")
    assert code == 0, err
    return json.loads(out)


@pytest.mark.parametrize("combine", [np.mean, np.max])
@pytest.mark.parametrize("times", [2, 3])
def test_coarse_heights_are_not_drawn_towards_shadows(
    canopy_command, savanna, tmp_path, times, combine
):
    chm = coarse(savanna, tmp_path / "coarse.tif", times, combine)
    found = found_in(canopy_command, savanna, chm)
    away = np.hypot(found["east_m"], found["north_m"])
    assert found["verdict"] == "aligned", found
    assert away < 0.36 * times * 0.6  # interpolated, crowns lie up to 0.6 pixels off
    assert found["spread_m"] == pytest.approx(times * 0.6 / 3, abs=0.01)


def test_a_shift_of_coarse_heights_is_found(canopy_command, savanna, tmp_path):
    chm = coarse(savanna, tmp_path / "c.tif", 3, np.mean, Affine.translation(EAST, NORTH))
    found = found_in(canopy_command, savanna, chm)
    assert found["verdict"] == "shifted"
    assert np.hypot(found["east_m"] + EAST, found["north_m"] + NORTH) < found["spread_m"]


def test_heights_too_coarse_for_a_shift_are_unclear(canopy_command, savanna, tmp_path):
    chm = coarse(savanna, tmp_path / "c.tif", 5, np.mean, Affine.translation(EAST, NORTH))
    found = found_in(canopy_command, savanna, chm)
    assert found["verdict"] == "unclear"
    assert "pixels of 3.00 m tell a shift within 1.00 m at best" in found["reason"]
    assert "give heights of 2.4 m or finer" in found["reason"]
    at_limit = coarse(savanna, tmp_path / "limit.tif", 4, np.mean)
    assert found_in(canopy_command, savanna, at_limit)["verdict"] == "aligned"


@pytest.mark.parametrize(
    ("ground_m", "said"), [(2000, "taller than any tree"), (130, "above ground")]
)
def test_elevations_are_no_heights(canopy_command, folder, tmp_path, ground_m, said):
    with rasterio.open(folder / CHM) as dataset:
        surface = dataset.read() / 4 + ground_m
    dsm = put(folder / CHM, tmp_path / "dsm.tif", Affine.identity(), pixels=surface)
    code, out, err = canopy_command("register", folder / IMAGERY, dsm)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert said in err


def test_an_output_that_stands_is_kept(canopy_command, folder, tmp_path):
    output = tmp_path / "moved.tif"
    output.write_text("mine")
    code, _, err = canopy_command("register", folder / IMAGERY, folder / "off.tif", "-o", output)
    assert code == 2
    assert "--overwrite" in err
    assert output.read_text() == "mine"
    code, _, err = canopy_command(
        "register", folder / IMAGERY, folder / "off.tif", "-o", output, "--overwrite"
    )
    assert code == 0, err
    check_cog(output)


@pytest.mark.parametrize(
    ("output", "word"),
    [("off.tif", "what shall be read"), ("moved.png", ".tif"), ("none/moved.tif", "folder")],
)
def test_a_wrong_output_is_one_line(canopy_command, folder, output, word):
    code, out, err = canopy_command(
        "register", folder / IMAGERY, folder / "off.tif", "-o", folder / output, "--overwrite"
    )
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert word in err


@pytest.mark.parametrize("option", ["--overwrite", "--no-stac"])
def test_options_about_a_file_need_one(canopy_command, folder, option):
    code, out, err = canopy_command("register", folder / IMAGERY, folder / "off.tif", option)
    assert (code, out) == (2, "")
    assert "go with --output" in err


def test_heights_of_other_ground_are_one_line(canopy_command, folder, tmp_path):
    chm = put(folder / CHM, tmp_path / "far.tif", Affine.translation(9000, 0))
    code, _, err = canopy_command("register", folder / IMAGERY, chm)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "expected the same ground" in err
    code, _, err = canopy_command("register", folder / IMAGERY, tmp_path / "none.tif")
    assert code == 2
    assert len(err.splitlines()) == 1
