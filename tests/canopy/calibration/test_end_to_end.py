"""From pairs to a calibration, to a map with intervals, to a report of their coverage."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from rio_cogeo.cogeo import cog_validate
from scipy import ndimage
from small_heights import forest, write_heights
from small_models import TOP_M, FirstBand, model_of, tiny_model
from small_scenes import EAST, NORTH, PLACES, write_scene
from small_worlds import settings_of

from canopy.calibration.calibrate import calibrate_intervals, predicting
from canopy.calibration.predicting import sample_pairs
from canopy.calibration.settings import CalibrationSettings
from canopy.chips.pairing import PairFiles
from canopy.errors import ModelError, OutputError, SettingsError
from canopy.evaluation.evaluate import evaluate_map
from canopy.mapping.map_heights import map_heights
from canopy.mapping.settings import MapSettings
from geo.errors import ResumeError
from geo.height_maps.partial_map import partial_folder
from geo.simulation.world import simulate
from geo.simulation.write import CHM, IMAGERY
from geo.simulation.write import write_world as write_simulated

SIDE = 200


def write_world(folder, seed):
    """A forest, and an image whose red is its height with errors that are alike in neighbours.

    To a model that reads red as height, these errors are the model's, from one distribution
    whatever the seed.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    true = forest(SIDE, SIDE, seed=seed, smooth=6.0)
    errors = ndimage.gaussian_filter(rng.normal(size=true.shape), 3.0, mode="wrap")
    seen = true * 0.9 + (1 + 0.15 * true) * errors / errors.std()
    red = np.rint(np.clip(seen / TOP_M, 0, 1) * 255).astype(np.uint8)
    east = EAST + 1000 * seed  # ground of its own
    transform = Affine(0.6, 0, east, 0, -0.6, NORTH)
    write_scene(folder / "image.tif", np.stack([red] * 3), transform=transform)
    write_heights(folder / "chm.tif", true, pixel=0.6, place=(east, NORTH))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Worlds, a calibration on three of them and maps of others."""
    folder = tmp_path_factory.mktemp("intervals")
    for seed in range(3):
        write_world(folder / "calibration" / f"site{seed}" / "plot", seed)
    for seed in range(100, 103):
        write_world(folder / "new" / f"plot{seed}", seed)
    model = model_of(FirstBand())
    report = calibrate_intervals(
        [str(folder / "calibration")], folder / "intervals.json", model=model,
        settings=CalibrationSettings(block_m=15, data="Three made forests."),
    )  # fmt: skip
    return folder, model, report


def map_new(made, seed, output, **choices):
    folder, model, _ = made
    settings = {"interval": 0.9, "calibration": folder / "intervals.json"} | choices
    settings = {"preview": False, "stac": False, "overwrite": True} | settings
    scene = folder / "new" / f"plot{seed}" / "image.tif"
    return map_heights(scene, output, model=model, settings=MapSettings(**settings))


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_marginal_coverage_on_worlds_of_other_seeds_is_within_three_points(made, level, tmp_path):
    found = []
    for seed in range(100, 103):
        map_new(made, seed, tmp_path / "map.tif", interval=level)
        reference = made[0] / "new" / f"plot{seed}" / "chm.tif"
        report = evaluate_map(tmp_path / "map.tif", [reference], tmp_path / f"report{seed}")
        (comparison,) = report.content["comparisons"]
        assert comparison["interval"]["level"] == level
        found.append(comparison["interval"]["coverage"])
    assert abs(np.mean(found) - level) <= 0.03
    words = (tmp_path / "report100" / "report.md").read_text()
    assert f"shall hold {100 * level:g} % of true heights" in words


def test_the_report_of_a_calibration_says_what_it_rests_on_and_how_it_held(made):
    folder, _, report = made
    written = json.loads((folder / "intervals.report.json").read_text())
    assert written == json.loads(json.dumps(report.as_json()))
    assert written["left_out_in_turn"] == "sites"
    assert written["groups"] == 3
    by_level = {entry["level"]: entry for entry in written["coverage"]}
    assert set(by_level) == {0.5, 0.8, 0.9, 0.95}
    assert abs(by_level[0.8]["coverage"] - 0.8) <= 0.05
    assert {entry["group"] for entry in by_level[0.8]["by_group"]} == {"site0", "site1", "site2"}
    words = (folder / "intervals.report.md").read_text()
    assert "must not have been learned from" in words
    assert "Three made forests." in words


def test_bands_item_and_report_of_a_map_tell_of_its_intervals(made, tmp_path):
    output = tmp_path / "map.tif"
    report = map_new(made, 100, output, stac=True)
    assert cog_validate(output, strict=True, quiet=True)[0]
    with rasterio.open(output) as dataset:
        height, lower, upper = dataset.read()
        assert dataset.descriptions == ("Canopy height", "lower 90 %", "upper 90 %")
        assert dataset.units == ("m", "m", "m")
        assert dataset.tags()["INTERVAL_LEVEL"] == "0.9"
        assert "Three made forests" in dataset.tags()["INTERVAL_CALIBRATION"]
    assert (lower >= 0).all()
    assert (lower <= height).all()
    assert (height <= upper).all()
    item = pystac.Item.from_file(output.with_suffix(".json"))
    asset = item.assets["canopy_height"]
    assert [band["name"] for band in asset.extra_fields["bands"]] == ["height", "lower", "upper"]
    assert len(asset.extra_fields["raster:bands"]) == 3
    assert item.properties["canopy:interval"]["level"] == 0.9
    statistics = asset.extra_fields["bands"][2]["statistics"]
    assert statistics["mean"] == pytest.approx(upper.mean(), abs=1e-3)
    told = report.as_json()["interval"]
    assert told["mean_lower"] == pytest.approx(lower.mean(), abs=0.01)
    json.dumps(report.as_json())


def test_heights_are_those_of_a_map_without_intervals(made, tmp_path):
    map_new(made, 100, tmp_path / "with.tif")
    map_new(made, 100, tmp_path / "without.tif", interval=None, calibration=None)
    with (
        rasterio.open(tmp_path / "with.tif") as one,
        rasterio.open(tmp_path / "without.tif") as other,
    ):
        assert other.count == 1
        np.testing.assert_array_equal(one.read(1), other.read(1))


@pytest.mark.parametrize("encoding", ["float32", "int16-cm", "uint8-m"])
@pytest.mark.parametrize(
    "choices", [{}, {"resolution_m": 1.0}, {"resolution_m": 0.4}, {"grid": "scene"}]
)
@pytest.mark.parametrize("place", ["UTM, 0.1 m", "degrees", "feet"])
def test_ends_enclose_heights_and_share_their_holes_on_any_grid(
    made, tmp_path, place, choices, encoding
):
    spot = next(known for known in PLACES if known.name.startswith(place))
    pixels = np.random.default_rng(0).integers(1, 200, (3, spot.height, spot.width))
    pixels = pixels.astype(np.uint8)
    pixels[:, 20:50, 30:60] = 0
    scene = write_scene(
        tmp_path / "scene.tif", pixels, crs=spot.crs, transform=spot.transform, nodata=0
    )
    settings = MapSettings(
        interval=0.8, calibration=made[0] / "intervals.json", encoding=encoding, preview=False,
        stac=False, **choices,
    )  # fmt: skip
    map_heights(scene, tmp_path / "map.tif", model=made[1], settings=settings)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        bands = dataset.read(masked=True)
        assert len(set(dataset.scales)) == len(set(dataset.dtypes)) == 1
    masks = np.ma.getmaskarray(bands)
    assert masks[0].any()
    assert (masks == masks[0]).all()
    height, lower, upper = (band.compressed().astype(float) for band in bands)
    assert (lower >= 0).all()
    assert (lower <= height).all()
    assert (height <= upper).all()
    assert (upper - lower).mean() > 0


def test_an_interval_follows_from_the_sewn_height_and_its_sewn_scale(made, tmp_path):
    """Whatever the tiles: the model is local, so that no seam shows in any band."""
    maps = []
    for tile, overlap in ((64, 16), (224, 32)):
        output = tmp_path / f"{tile}.tif"
        map_new(made, 101, output, tile_px=tile, overlap_px=overlap)
        with rasterio.open(output) as dataset:
            maps.append(dataset.read())
    np.testing.assert_allclose(maps[0], maps[1], atol=1 / 32)


def test_a_resumed_map_with_intervals_is_the_uninterrupted_one(made, tmp_path):
    map_new(made, 102, tmp_path / "whole.tif")
    output = tmp_path / "map.tif"
    folder, model, _ = made
    scene = folder / "new" / "plot102" / "image.tif"
    settings = MapSettings(
        interval=0.9, calibration=folder / "intervals.json", preview=False, stac=False
    )

    def interrupt(done, total):
        if done > total / 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        map_heights(scene, output, model=model, settings=settings, progress=interrupt)
    assert partial_folder(output).exists()
    other = tmp_path / "other.json"
    calibrate_intervals(
        [str(folder / "calibration")], other, model=model, settings=CalibrationSettings(block_m=20)
    )
    for change, said in (
        ({"interval": 0.8}, "--resume: interval was 90 %, now it is 80 %: give"),
        ({"interval": None, "calibration": None}, "interval was 90 %, now it is not set: give"),
        ({"calibration": other}, r"interval calibration was \w{12}, now it is \w{12}: give"),
    ):
        with pytest.raises(ResumeError, match=said):
            map_heights(
                scene, output, model=model, settings=replace(settings, resume=True, **change)
            )
    report = map_heights(scene, output, model=model, settings=replace(settings, resume=True))
    assert report.tiles_resumed
    assert output.read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_the_network_runs_once_for_heights_and_intervals(made, tmp_path):
    """As many passes as tiles over three: the encoder of a model with bins sees each tile once."""
    folder, _, _ = made
    model = tiny_model()
    calls = []
    model.network.encoder.register_forward_hook(lambda _m, images, _o: calls.append(len(images[0])))
    scene = folder / "new" / "plot100" / "image.tif"
    settings = MapSettings(preview=False, stac=False)
    calibrate_intervals(
        [str(folder / "calibration")], tmp_path / "intervals.json", model=model,
        settings=CalibrationSettings(block_m=15),
    )  # fmt: skip
    calls.clear()
    map_heights(scene, tmp_path / "one.tif", model=model, settings=settings)
    alone = sum(calls)
    calls.clear()
    with_interval = replace(settings, interval=0.8, calibration=tmp_path / "intervals.json")
    map_heights(scene, tmp_path / "three.tif", model=model, settings=with_interval)
    assert sum(calls) == alone
    with rasterio.open(tmp_path / "one.tif") as one, rasterio.open(tmp_path / "three.tif") as three:
        np.testing.assert_array_equal(one.read(1), three.read(1))


def test_another_radiometry_than_the_calibrations_is_refused(made, tmp_path):
    with pytest.raises(SettingsError, match="radiometry none"):
        map_new(made, 100, tmp_path / "map.tif", radiometry="none")
    assert not (tmp_path / "map.tif").exists()


def test_a_missing_calibration_is_named_before_anything_is_read(made, tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        map_new(made, 100, tmp_path / "map.tif", calibration=tmp_path / "no.json")


def test_a_calibration_is_not_written_over_unasked(made):
    folder, model, _ = made
    with pytest.raises(OutputError, match="exists"):
        calibrate_intervals([str(folder / "calibration")], folder / "intervals.json", model=model)


def test_too_few_blocks_of_ground_are_refused(made, tmp_path):
    folder, model, _ = made
    pairs = [str(folder / "calibration" / "site0")]
    with pytest.raises(SettingsError, match="found 1 plots"):
        calibrate_intervals(pairs, tmp_path / "intervals.json", model=model,
                            settings=CalibrationSettings(block_m=100))  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_heights_of_a_pair_are_compared_where_its_shift_puts_them(made, tmp_path):
    folder, model, _ = made
    plot = folder / "calibration" / "site0" / "plot"
    with rasterio.open(plot / "chm.tif") as dataset:
        place = dataset.transform.c + 3.0, dataset.transform.f - 1.8
        write_heights(tmp_path / "off.tif", dataset.read(1), pixel=0.6, place=place)
    how = predicting(model, CalibrationSettings(block_m=15))
    right = PairFiles(name="plot", site="", image=plot / "image.tif", heights=plot / "chm.tif")
    off = replace(right, heights=tmp_path / "off.tif")
    true, wrong, set_right = (
        np.concatenate([sample.true for sample in sample_pairs([pair], how)])
        for pair in (right, off, replace(off, shift_m=(-3.0, 1.8)))
    )
    np.testing.assert_allclose(set_right, true, atol=1e-4)
    assert len(wrong) != len(true) or np.abs(wrong - true).mean() > 1


def test_pairs_are_registered_first_where_asked(tmp_path):
    world = tmp_path / "world"
    world.mkdir()
    write_simulated(simulate(settings_of("mixed", size_m=60), 5), world)
    with rasterio.open(world / CHM) as dataset:
        profile = dataset.profile | {"driver": "GTiff"}
        moved = Affine.translation(1.8, -2.4) * dataset.transform
        with rasterio.open(tmp_path / "off.tif", "w", **profile | {"transform": moved}) as target:
            target.write(dataset.read(1), 1)
    told = []
    report = calibrate_intervals(
        [f"{world / IMAGERY}={tmp_path / 'off.tif'}"], tmp_path / "intervals.json",
        model=model_of(FirstBand()), progress=lambda *seen: told.append(seen),
        settings=CalibrationSettings(block_m=15, register="keep-unclear", data="A wood"),
    )  # fmt: skip
    assert report.calibration.data == "A wood; heights of 1 of 1 pairs moved onto the image"
    assert told == [(1, 2), (2, 2)]


def test_ground_under_two_images_counts_once(made, tmp_path):
    folder, model, _ = made
    image, chm = (
        folder / "calibration" / "site0" / "plot" / name for name in ("image.tif", "chm.tif")
    )
    copy = tmp_path / "again.tif"
    copy.write_bytes(image.read_bytes())
    settings = CalibrationSettings(block_m=15, over="blocks")
    one = calibrate_intervals(
        [f"{image}={chm}"], tmp_path / "one.json", model=model, settings=settings
    )
    two = calibrate_intervals(
        [f"{image}={chm}", f"{copy}={chm}"], tmp_path / "two.json", model=model, settings=settings
    )
    assert two.calibration.plots == one.calibration.plots
