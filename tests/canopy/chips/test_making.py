"""Sets of chips hold what the pairs hold, split by ground, whole on disk or not there at all."""

from __future__ import annotations

import json
import re

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from small_pairs import truth, write_pair
from small_scenes import EAST, NORTH

from canopy.chips import black_borders
from canopy.chips.chip_set import open_chip_set
from canopy.chips.making import make_chips
from canopy.chips.settings import ChipSettings
from canopy.errors import OutputError, SettingsError
from geo.errors import SceneError

ALL = (1.0, 0.0, 0.0)


def cut(tmp_path, *folders, output="set", overwrite=False, **choices):
    choices = {"tile_px": 64, "shares": ALL, "guard_m": 0.0} | choices
    sources = [str(folder) for folder in folders]
    return make_chips(sources, tmp_path / output, ChipSettings(**choices), overwrite=overwrite)


def everything(chip_set, split="train"):
    return list(chip_set.chips(split))


def test_every_chip_has_the_heights_of_its_pixels(tmp_path):
    heights = truth(192, 256)
    made = cut(tmp_path, write_pair(tmp_path / "plot", heights))
    chips = everything(made)
    assert len(chips) == 12
    for chip in chips:
        assert chip["image"].dtype == torch.uint8
        assert chip["image"].shape == (3, 64, 64)
        torch.testing.assert_close(chip["heights"], chip["image"][0].float())
        assert chip["known"].all()
    found = np.sort(np.concatenate([chip["heights"].flatten() for chip in chips]))
    np.testing.assert_array_equal(found, np.sort(heights.ravel()))


def test_an_axis_that_is_no_multiple_ends_with_the_plot(tmp_path):
    made = cut(tmp_path, write_pair(tmp_path / "plot", truth(70, 130)))
    assert len(made.index) == 6
    assert all(chip["known"].all() for chip in everything(made))


def test_heights_that_are_missing_are_not_known(tmp_path):
    heights = truth(64, 64)
    heights[:, :20] = np.nan
    chip = everything(cut(tmp_path, write_pair(tmp_path / "plot", heights)))[0]
    np.testing.assert_array_equal(chip["known"], np.isfinite(heights))
    assert (chip["heights"][:, :20] == 0).all()
    assert (chip["image"][0, :, :20] == 7).all(), "the image is there all the same"


def test_feet_become_metres_and_centimetres_that_nobody_declared_are_refused(tmp_path):
    folder = write_pair(tmp_path / "plot", truth(64, 64))
    with rasterio.open(folder / "chm.tif", "r+") as dataset:
        dataset.units = ("ft",)
    chip = everything(cut(tmp_path, folder))[0]
    torch.testing.assert_close(chip["heights"], chip["image"][0] * 0.3048, atol=0.006, rtol=0)
    with rasterio.open(folder / "chm.tif", "r+") as dataset:
        dataset.units = ("",)
        dataset.write(dataset.read(1) * 100, 1)
    with pytest.raises(SceneError, match="taller than any tree"):
        cut(tmp_path, folder, output="other")
    assert not (tmp_path / "other").exists()


def test_windows_with_too_little_lidar_are_left_out(tmp_path):
    heights = truth(64, 192)
    heights[:, 70:128] = np.nan
    made = cut(tmp_path, write_pair(tmp_path / "plot", heights), least_known=0.5)
    assert len(made.index) == 2


def test_coarser_heights_are_interpolated_and_finer_imagery_averaged(tmp_path):
    folder = write_pair(tmp_path / "plot", np.full((128, 128), 9, np.float32), pixel=0.3)
    ramp = np.repeat(np.arange(40, dtype=np.float32)[None], 40, axis=0)
    with rasterio.open(folder / "chm.tif") as old:
        profile = old.profile | {
            "height": 40,
            "width": 40,
            "transform": old.transform * old.transform.scale(1 / 0.3),
        }
    (folder / "chm.tif").unlink()
    with rasterio.open(folder / "chm.tif", "w", **profile) as target:
        target.write(ramp, 1)
    chip = everything(cut(tmp_path, folder))[0]
    assert (chip["image"][0] == 9).all()
    columns = (np.arange(64) + 0.5) * 0.6 - 0.5
    inside = slice(2, 60)
    np.testing.assert_allclose(chip["heights"][30, inside], columns[inside], atol=0.02)


def test_small_plots_share_chips(tmp_path):
    heights = [truth(20 + seed, 33, seed) for seed in range(7)]
    folders = [
        write_pair(tmp_path / "site" / f"plot{seed}", plot, east=EAST + 500 * seed)
        for seed, plot in enumerate(heights)
    ]
    made = cut(tmp_path, tmp_path / "site")
    chips = everything(made)
    assert len(chips) < len(folders)
    assert sum(len(plots) for plots in made.index["plots"]) == 7
    for chip in chips:
        known = chip["known"]
        torch.testing.assert_close(chip["heights"][known], chip["image"][0].float()[known])
    found = np.sort(np.concatenate([chip["heights"][chip["known"]] for chip in chips]))
    np.testing.assert_array_equal(
        found, np.sort(np.concatenate([plot.ravel() for plot in heights]))
    )
    alone = cut(tmp_path, tmp_path / "site", output="alone", collages=False)
    assert len(alone.index) == 7


def test_no_ground_is_on_two_sides_overlapping_plots_included(tmp_path):
    for number in range(24):
        write_pair(
            tmp_path / "site" / f"plot{number}", truth(40, 40, number),
            east=EAST + 18 * (number // 2) + 3000 * (number % 2), north=NORTH - 12 * (number % 5),
        )  # fmt: skip
    write_pair(tmp_path / "site" / "wide", truth(300, 900), east=EAST + 6000)
    made = cut(
        tmp_path, tmp_path / "site",
        shares=(0.5, 0.25, 0.25), block_m=60, guard_m=20, collages=False,
    )  # fmt: skip
    local = made.index.to_crs(made.index.estimate_utm_crs())
    grounds = {name: part.union_all() for name, part in local.geometry.groupby(local["split"])}
    assert set(grounds) == {"train", "val", "test"}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        assert grounds[first].distance(grounds[second]) > 20 - 0.1
    areas = {name: ground.area for name, ground in grounds.items()}
    assert min(areas.values()) > 0.1 * max(areas.values())


def test_plots_in_two_zones_on_the_same_ground_stay_together(tmp_path):
    first = write_pair(tmp_path / "site" / "here", truth(64, 64))
    with rasterio.open(first / "rgb.tif") as dataset:
        bounds = dataset.bounds
    import pyproj  # noqa: PLC0415

    x, y = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:32632", always_xy=True).transform(
        bounds.left, bounds.top
    )
    write_pair(tmp_path / "site" / "there", truth(64, 64, 1), east=x, north=y, crs="EPSG:32632")
    for number in range(6):
        write_pair(
            tmp_path / "site" / f"far{number}", truth(64, 64), east=EAST + 2000 * (number + 1)
        )
    made = cut(tmp_path, tmp_path / "site", shares=(0.5, 0.25, 0.25))
    splits = {
        plots[0]: split
        for plots, split in zip(made.index["plots"], made.index["split"], strict=True)
    }
    assert splits["here"] == splits["there"]


def test_the_same_seed_deals_the_same_and_another_does_not(tmp_path):
    for number in range(12):
        write_pair(
            tmp_path / "site" / f"plot{number}", truth(64, 64, number), east=EAST + 900 * number
        )
    shares = {"shares": (0.5, 0.25, 0.25)}
    first = cut(tmp_path, tmp_path / "site", **shares)
    again = cut(tmp_path, tmp_path / "site", output="again", **shares)
    other = cut(tmp_path, tmp_path / "site", output="other", seed=5, **shares)
    assert list(first.index["split"]) == list(again.index["split"])
    assert dict(zip(first.index["plots"].map(str), first.index["split"], strict=True)) != dict(
        zip(other.index["plots"].map(str), other.index["split"], strict=True)
    )


def test_a_set_comes_back_from_disk(tmp_path):
    made = cut(tmp_path, write_pair(tmp_path / "plot", truth(128, 128)), per_file=3)
    opened = open_chip_set(tmp_path / "set")
    assert opened.settings == made.settings
    assert len(opened.index) == 4
    assert sorted(path.name for path in opened.folder.glob("*.safetensors")) == [
        "train-00000.safetensors", "train-00001.safetensors",
    ]  # fmt: skip
    for ours, theirs in zip(everything(made), everything(opened), strict=True):
        for name, tensor in ours.items():
            assert torch.equal(tensor, theirs[name])
    loader = torch.utils.data.DataLoader(opened.chips("train"), batch_size=4)
    assert next(iter(loader))["image"].shape == (4, 3, 64, 64)


def test_any_gis_opens_the_index(tmp_path):
    cut(tmp_path, write_pair(tmp_path / "plot", truth(64, 64)))
    index = gpd.read_parquet(tmp_path / "set" / "index.parquet")
    assert index.crs.to_epsg() == 4326
    area = index.to_crs("EPSG:32633").area.iloc[0]
    assert area == pytest.approx((64 * 0.6) ** 2, rel=1e-3)
    assert index["height_p95_m"].between(50, 60).all()
    assert sum(index["height_counts"].iloc[0]) == 64 * 64


def test_the_card_counts_what_there_is(tmp_path):
    cut(tmp_path, write_pair(tmp_path / "plot", truth(128, 64)))
    text = (tmp_path / "set" / "README.md").read_text()
    assert "2 chips of 64 x 64 px at 0.6 m, from 1 pairs" in text
    for name in ("heights.png", "blocks.png"):
        assert name in text
        assert (tmp_path / "set" / name).read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "set" / "set.json").read_text())["settings"]["tile_px"] == 64


def ground_and_area(made):
    """Known ground, and known area of chips [m2]."""
    return made.index["new_ground_m2"].sum(), made.index["known_m2"].sum()


def test_ground_that_windows_share_counts_once(tmp_path):
    heights = truth(100, 130)
    heights[90:, :50] = np.nan
    made = cut(tmp_path, write_pair(tmp_path / "plot", heights))
    ground, area = ground_and_area(made)
    on_earth = 0.36 / 0.9996**2  # near the middle of a zone lengths are 0.04 % too short
    assert ground == pytest.approx((100 * 130 - 500) * on_earth, rel=1e-3)
    assert area == pytest.approx((6 * 64**2 - 10 * 50) * on_earth, rel=1e-3)
    text = (tmp_path / "set" / "README.md").read_text()
    assert f"| train | {made.index['site'][0]} | 6 | 0.45 | 0.87 |" in text


def test_what_one_window_does_not_know_another_may_add(tmp_path):
    left, right = truth(64, 64), truth(64, 64, 1)
    left[:, 40:], right[:20] = np.nan, np.nan
    write_pair(tmp_path / "site" / "left", left)
    write_pair(tmp_path / "site" / "right", right)
    ground, area = ground_and_area(cut(tmp_path, tmp_path / "site"))
    both = 64 * 40 + 44 * 24
    assert ground / area == pytest.approx(both / (64 * 40 + 44 * 64))


def test_plots_that_overlap_count_their_ground_once_but_sites_count_their_own(tmp_path):
    for number in range(3):
        write_pair(tmp_path / "site" / f"p{number}", truth(40, 40), east=EAST + 10 * 0.6 * number)
    made = cut(tmp_path, tmp_path / "site")
    ground, area = ground_and_area(made)
    assert ground / area == pytest.approx((40 + 10 + 10) / 120)
    write_pair(tmp_path / "again" / "p", truth(40, 40))
    made = cut(tmp_path, tmp_path / "site", tmp_path / "again", output="both")
    by_site = made.index.groupby("site")["new_ground_m2"].sum()
    assert by_site["again"] / by_site["site"] == pytest.approx(40 / 60)


def test_ground_in_two_zones_counts_once(tmp_path):
    import pyproj  # noqa: PLC0415

    here = write_pair(tmp_path / "site" / "here", truth(64, 64))
    with rasterio.open(here / "rgb.tif") as dataset:
        bounds = dataset.bounds
    to_32632 = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:32632", always_xy=True)
    x, y = to_32632.transform(bounds.left, bounds.top)
    write_pair(tmp_path / "site" / "there", truth(64, 64), east=x, north=y, crs="EPSG:32632")
    made = cut(tmp_path, tmp_path / "site")
    ground, _ = ground_and_area(made)
    union = made.index.to_crs("EPSG:6933").union_all().area  # keeps areas
    assert ground == pytest.approx(union, rel=0.01)


def black_pair(folder, *, heights=None, **black):
    """A pair whose image is black in some rows and columns."""
    heights = truth(128, 128) if heights is None else heights
    write_pair(folder, heights)
    with rasterio.open(folder / "rgb.tif", "r+") as image:
        pixels = image.read()
        pixels[:, black.get("rows", slice(None)), black.get("columns", slice(None))] = 0
        image.write(pixels)
    return folder


def test_a_black_border_is_said_with_its_share_and_what_to_do(tmp_path, caplog):
    folder = black_pair(tmp_path / "plot", rows=slice(0, 32))
    cut(tmp_path, folder)
    assert "rgb.tif is black (0, 0, 0) from its border inwards on 25.0% of it, and" in caplog.text
    assert f"rio edit-info --nodata 0 {folder / 'rgb.tif'}" in caplog.text
    caplog.clear()
    with rasterio.open(folder / "rgb.tif", "r+") as image:
        image.nodata = 0
    cut(tmp_path, folder, overwrite=True)
    assert "black" not in caplog.text


@pytest.mark.parametrize(
    "black",
    [
        {"rows": slice(20, 60), "columns": slice(20, 60)},  # a shadow amid the image
        {"rows": slice(0, 12), "columns": slice(0, 30)},  # a tenth of a chip has 410 px
    ],
)
def test_shadows_are_no_black_border(tmp_path, caplog, black):
    cut(tmp_path, black_pair(tmp_path / "plot", **black))
    assert "black" not in caplog.text


def test_black_without_heights_teaches_nothing_and_is_not_said(tmp_path, caplog):
    heights = truth(128, 128)
    heights[:32] = np.nan
    cut(tmp_path, black_pair(tmp_path / "plot", heights=heights, rows=slice(0, 32)))
    assert "black" not in caplog.text


def test_a_black_border_is_found_in_a_large_image_too(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(black_borders, "MOST_SAMPLES", 40)
    cut(tmp_path, black_pair(tmp_path / "plot", heights=truth(150, 130), columns=slice(100, 130)))
    assert re.search(r"inwards on 2[0-6]\.\d% of it", caplog.text)


def left_over(tmp_path):
    return [
        path.name for path in tmp_path.iterdir() if path.name.startswith(".") or "set" in path.name
    ]


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (
            lambda folder: (folder / "chm.tif").write_bytes(b"II*\x00"),
            SceneError,
            "cannot be opened",
        ),
        (lambda folder: (folder / "chm.tif").unlink(), SettingsError, "holds no plot"),
        (lambda folder: (folder / "rgb.tif").write_bytes(b""), SceneError, r"rgb\.tif"),
    ],
)
def test_a_spoilt_pair_leaves_nothing(tmp_path, spoil, error, said):
    folder = write_pair(tmp_path / "plot", truth(64, 64))
    spoil(folder)
    with pytest.raises(error, match=said):
        cut(tmp_path, folder)
    assert left_over(tmp_path) == []


def test_heights_of_other_ground_are_refused(tmp_path):
    folder = write_pair(tmp_path / "plot", truth(64, 64))
    other = write_pair(tmp_path / "other", truth(64, 64), east=EAST + 9000)
    (other / "chm.tif").replace(folder / "chm.tif")
    with pytest.raises(SettingsError, match="on the same ground"):
        cut(tmp_path, folder)


def test_a_split_that_would_be_empty_is_refused(tmp_path):
    folder = write_pair(tmp_path / "plot", truth(64, 64))
    with pytest.raises(SettingsError, match="no chip is left for val"):
        cut(tmp_path, folder, shares=(0.8, 0.1, 0.1))
    assert left_over(tmp_path) == []


def test_nothing_is_overwritten_unasked(tmp_path):
    folder = write_pair(tmp_path / "plot", truth(64, 64))
    cut(tmp_path, folder)
    with pytest.raises(OutputError, match="--overwrite"):
        cut(tmp_path, folder)
    cut(tmp_path, folder, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(OutputError, match="is no set of chips"):
        cut(tmp_path, folder, output="mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "notes.txt", "train-1.safetensors", "run"])
def test_what_stands_beside_a_set_is_never_lost(tmp_path, name):
    folder = write_pair(tmp_path / "plot", truth(64, 64))
    cut(tmp_path, folder)
    before = (tmp_path / "set" / "index.parquet").read_bytes()
    (tmp_path / "set" / name).mkdir() if name == "run" else (tmp_path / "set" / name).touch()
    with pytest.raises(OutputError, match=f"set holds {name} beside a set of chips: move that"):
        cut(tmp_path, folder, overwrite=True, seed=1)
    assert (tmp_path / "set" / name).exists()
    assert (tmp_path / "set" / "index.parquet").read_bytes() == before


def test_pairs_are_named_in_three_ways(tmp_path):
    first = write_pair(tmp_path / "site" / "a", truth(64, 64))
    (tmp_path / "pairs.csv").write_text(
        "name,site,image,heights\nx,here,site/a/rgb.tif,site/a/chm.tif\n"
    )
    for source in (first, f"{first / 'rgb.tif'}={first / 'chm.tif'}", tmp_path / "pairs.csv"):
        made = make_chips(
            [str(source)], tmp_path / "out", ChipSettings(tile_px=64, shares=ALL), overwrite=True
        )
        assert len(made.index) == 1
    assert made.index["site"].iloc[0] == "here"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "expected IMAGE=HEIGHTS"),
        ("a.tif=b.tif", "a.tif does not exist"),
        ("pairs.csv", "no column heights"),
    ],
)
def test_sources_that_are_none_are_refused(tmp_path, monkeypatch, source, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.csv").write_text("image\nx.tif\n")
    with pytest.raises(SettingsError, match=said):
        make_chips([source], tmp_path / "set", ChipSettings())


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"gsd_m": 0}, "gsd of 0"), ({"tile_px": 0}, "0 px"), ({"guard_m": -1}, "guard"),
        ({"shares": (0, 1, 1)}, "train above"), ({"least_known": 0}, "least known"),
        ({"block_m": float("nan")}, "block"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(choices, said):
    with pytest.raises(SettingsError, match=said):
        ChipSettings(**choices)


def test_a_broken_set_is_refused(tmp_path):
    made = cut(tmp_path, write_pair(tmp_path / "plot", truth(64, 64)))
    with pytest.raises(SettingsError, match="split dev: expected one of train, val, test"):
        made.chips("dev")
    with pytest.raises(SettingsError, match="has no chip to test"):
        made.chips("test")
    (tmp_path / "set" / "train-00000.safetensors").write_bytes(b"")
    with pytest.raises(SettingsError, match="cut the set anew"):
        everything(made)
    (tmp_path / "set" / "set.json").write_text("{}")
    with pytest.raises(SettingsError, match="is no whole set of chips"):
        open_chip_set(tmp_path / "set")
