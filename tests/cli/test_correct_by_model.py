"""``canopy correct --model`` and ``canopy map --correction``: what is written, said and refused."""

from __future__ import annotations

import json

import numpy as np
import pystac
import pytest
import rasterio
import torch
from small_corrections import constant, network, save, write_heights, write_run, write_scene
from small_models import Constant, model_of

import canopy.mapping.map_heights
from canopy.correction_network.network import CorrectionArchitecture
from geo.height_maps.cog import check_cog

SIDE = 600
ARCHITECTURE = CorrectionArchitecture(window_px=64, channels=(4, 4), hidden=8)


@pytest.fixture
def place(tmp_path):
    """A scene, a map of 10 m of it, and a network that says 14 m everywhere."""
    write_scene(tmp_path / "scene.tif", side=SIDE)
    heights = np.full((SIDE, SIDE), 10.0)
    heights[:, :40] = 0.5
    write_heights(tmp_path / "map.tif", heights)
    save(constant(14.0, ARCHITECTURE), tmp_path / "net", ARCHITECTURE, notice="For tests.")
    return tmp_path


@pytest.fixture
def correct(canopy_command, place):
    def run(*options, heights="map.tif", image="scene.tif"):
        return canopy_command(
            "correct", place / heights, "--model", place / "net", "--image", place / image,
            "-o", place / "out.tif", *options,
        )  # fmt: skip

    return run


def pixels(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def test_heights_go_towards_what_the_network_sees(correct, place):
    code, out, err = correct()
    assert code == 0, err
    assert "corrected" in out
    assert "For tests." in out
    found = pixels(place / "out.tif")
    assert (found[:, :40] == 0.5).all()
    middle = found[200:400, 200:400]
    assert 13.0 < middle.min() <= middle.max() < 14.0
    factors = pixels(place / "out.factor.tif")
    np.testing.assert_allclose(middle.max() / 10, factors.max(), atol=0.005)
    assert {path.name for path in place.glob("out*")} == {
        "out.tif", "out.qml", "out.json", "out.factor.tif", "out.factor.png", "out.preview.png",
        "out.report.json",
    }  # fmt: skip
    check_cog(place / "out.tif")
    check_cog(place / "out.factor.tif")


@pytest.mark.parametrize("finer", [1, 2])
def test_ground_beyond_the_image_is_left_and_said(correct, place, finer):
    side = SIDE * finer
    whole = write_scene(place / "half.tif", side=side, gsd=0.6 / finer)
    with rasterio.open(place / "half.tif") as dataset:
        profile = dataset.profile | {"width": side // 2}
    with rasterio.open(place / "half.tif", "w", **profile) as dataset:
        dataset.write(whole[:, :, : side // 2])
    code, out, err = correct("--bandwidth", "10", image="half.tif")
    assert code == 0, err
    assert "of the map, too far from imagery: left as it is" in out
    found = pixels(place / "out.tif")
    assert (found[:, 400:] == 10).all()
    assert found[200:400, 100:200].min() > 13


def test_the_item_tells_model_sources_and_defaults(correct, place):
    code, _, err = correct("--sun-elevation", "44", "--slope", "5")
    assert code == 0, err
    item = pystac.Item.from_file(place / "out.json")
    assert item.properties["canopy:correction_model"] == "small 1"
    assert item.properties["canopy:correction_defaults"] == {"off_nadir": 10.0}
    sources = [link.href for link in item.links if link.rel == "derived_from"]
    assert sources == ["./map.tif", "./scene.tif"]
    assert item.assets["factor_field"].href == "./out.factor.tif"


def test_an_item_of_the_image_tells_its_view(correct, place):
    told = {"properties": {"view:sun_elevation": 40, "view:off_nadir": 3}}
    (place / "scene.json").write_text(json.dumps(told))
    code, out, err = correct("--item", place / "scene.json", "--slope", "0", "--json")
    assert code == 0, err
    assert json.loads(out)["defaults"] == {}


def test_a_map_that_agrees_is_left_bit_for_bit(correct, place):
    write_heights(place / "right.tif", np.full((SIDE, SIDE), 14.2))
    code, out, err = correct(heights="right.tif")
    assert code == 0, err
    assert "left unchanged: map and" in out
    assert pixels(place / "out.tif").tobytes() == pixels(place / "right.tif").tobytes()
    assert (pixels(place / "out.factor.tif") == 1).all()


def test_ground_without_trees_is_not_touched(correct, place):
    write_heights(place / "bare.tif", np.zeros((SIDE, SIDE)))
    code, out, err = correct(heights="bare.tif")
    assert code == 0, err
    assert "none of" in out
    assert (pixels(place / "out.tif") == 0).all()


@pytest.mark.parametrize("encoding", [("int16", -32768, 0.01), ("uint8", 255, 1.0)])
def test_centimetres_and_whole_metres_are_kept(correct, place, encoding):
    dtype, nodata, scale = encoding
    stored = np.full((SIDE, SIDE), 10 / scale)
    stored[0, :] = nodata
    write_heights(place / "other.tif", stored, dtype=dtype, nodata=nodata)
    with rasterio.open(place / "other.tif", "r+") as dataset:
        dataset.scales = (scale,)
    code, _, err = correct(heights="other.tif")
    assert code == 0, err
    with rasterio.open(place / "out.tif") as dataset:
        assert (dataset.dtypes[0], dataset.nodata, dataset.scales[0]) == (dtype, nodata, scale)
        found = dataset.read(1)
    assert (found[0] == nodata).all()
    assert 13 <= found[300, 300] * scale <= 14


def test_a_greater_least_change_leaves_what_would_change_by_less(correct, place):
    assert correct("--least-change", "0.9")[0] == 0
    assert pixels(place / "out.tif").tobytes() == pixels(place / "map.tif").tobytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--least-change", "2"), "--least-change 2.0: expected a share from 0 to 1"),
        (("--folds", "4"), "--folds with --model: of no effect"),
        (("--percentile", "95"), "--percentile with --model"),
        (("--footprints", "f.parquet"), "one of both"),
        (("--sun-elevation", "95"), "sun_elevation 95.0: expected 0 to 90 degrees"),
        (("--slope", "steep"), "slope steep: expected degrees, or a raster"),
        (("--bandwidth", "5"), "--bandwidth 5.0: expected 10 to 2000 m"),
        (("--item", "missing.json"), "missing.json cannot be read"),
        pytest.param(
            ("--device", "cuda"),
            "device cuda: no CUDA device",
            id="no CUDA",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here"),
        ),
    ],
)
def test_options_that_do_not_fit_are_one_line(correct, place, options, said):
    code, out, err = correct(*options)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not list(place.glob("out*"))


def test_a_model_without_its_image_or_neither_is_refused(canopy_command, place):
    for options in (
        ("--model", place / "net"), (), ("--footprints", "f.csv", "--slope", "3"),
        ("--footprints", "f.csv", "--device", "cpu"),
    ):  # fmt: skip
        code, _, err = canopy_command("correct", place / "map.tif", "-o", place / "o.tif", *options)
        assert code == 2
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("image", "gsd", "said"),
    [("coarse.tif", 2.0, "has pixels of 2.00 m"), ("none.tif", None, "does not exist")],
)
def test_an_image_that_does_not_fit_is_one_line(correct, place, image, gsd, said):
    if gsd:
        write_scene(place / image, gsd=gsd)
    code, _, err = correct(image=image)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_an_image_of_another_place_is_refused(correct, place):
    with rasterio.open(place / "scene.tif", "r+") as dataset:
        dataset.transform = dataset.transform.translation(9000, 0) * dataset.transform
    code, _, err = correct()
    assert code == 2
    assert "lies whole within" in err
    assert not list(place.glob("out*"))


@pytest.fixture
def height_model(monkeypatch):
    monkeypatch.setattr(
        canopy.mapping.map_heights, "load_height_model", lambda *_, **__: model_of(Constant(10.0))
    )


@pytest.mark.usefixtures("height_model")
def test_a_map_is_made_and_corrected_in_one_go(canopy_command, place):
    output = place / "one.tif"
    code, out, err = canopy_command(
        "map", place / "scene.tif", "-o", output, "--correction", place / "net", "--json"
    )
    assert code == 0, err
    assert "corrected by small 1" in err
    told = json.loads(out)
    assert told["correction"]["correction_applied"]
    assert told["paths"]["factors"] == str(place / "one.factor.tif")
    found = pixels(output)
    assert 13 < found[300, 300] < 14
    assert told["height"]["mean"] == pytest.approx(found.mean(), abs=0.02)
    item = pystac.Item.from_file(place / "one.json")
    assert "corrected by small 1" in item.properties["processing:lineage"]
    assert set(item.properties["canopy:correction_defaults"]) == {
        "sun_elevation", "off_nadir", "slope"
    }  # fmt: skip
    assert item.assets["factor_field"].href == "./one.factor.tif"
    check_cog(output)
    assert not (place / "one.tif.partial").exists()


@pytest.mark.usefixtures("height_model")
def test_one_go_is_the_map_and_then_the_correction(canopy_command, place):
    save(network(5, ARCHITECTURE), place / "net", ARCHITECTURE)
    one, two = place / "one.tif", place / "two.tif"
    canopy_command("map", place / "scene.tif", "-o", one, "--correction", place / "net")
    canopy_command("map", place / "scene.tif", "-o", place / "plain.tif")
    code, _, err = canopy_command(
        "correct", place / "plain.tif", "--model", place / "net", "--image", place / "scene.tif",
        "-o", two,
    )  # fmt: skip
    assert code == 0, err
    assert np.ptp(pixels(place / "one.factor.tif")) > 0
    np.testing.assert_allclose(pixels(one), pixels(two), atol=1e-3)


@pytest.mark.usefixtures("height_model")
def test_other_pixels_and_intervals_of_encodings_are_corrected_too(canopy_command, place):
    code, _, err = canopy_command(
        "map", place / "scene.tif", "-o", place / "one.tif", "--correction", place / "net",
        "--resolution", "1", "--encoding", "int16-cm",
    )  # fmt: skip
    assert code == 0, err
    with rasterio.open(place / "one.tif") as dataset:
        assert dataset.res == (1.0, 1.0)
        assert 1300 < dataset.read(1)[180, 180] < 1400


@pytest.mark.usefixtures("height_model")
def test_a_correction_that_is_none_is_refused_before_anything_is_mapped(canopy_command, place):
    code, _, err = canopy_command(
        "map", place / "scene.tif", "-o", place / "one.tif", "--correction", "nothing"
    )
    assert code == 2
    assert "no correction network nothing" in err
    assert not list(place.glob("one*"))


def test_training_through_the_command_makes_a_network_that_corrects(canopy_command, place):
    config = write_run(place)
    code, out, err = canopy_command("train", "correction", config, "-o", place / "run", "--json")
    assert code == 0, err
    assert "kept aside" in err
    assert json.loads(out)["footprints"]["learned"] > 0
    code, _, err = canopy_command(
        "correct", place / "map.tif", "--model", place / "run", "--image", place / "scene.tif",
        "-o", place / "out.tif",
    )  # fmt: skip
    assert code == 0, err
