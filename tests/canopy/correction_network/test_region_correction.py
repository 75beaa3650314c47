"""A correction in a region: the field is a function of the ground, whatever the cells."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate
from small_corrections import constant, save, varied
from small_models import model_of, tiny_model
from small_regions import read_cells, request, smooth, write_image

from canopy import shared_model
from canopy.correction_network.settings import FieldSettings
from canopy.errors import SettingsError
from canopy.height_models.folder import save_height_model
from canopy.region import correcting
from canopy.region.map_region import map_region


@pytest.fixture(autouse=True)
def near(monkeypatch):
    """A kernel that reaches less far, so that regions can be small; networks are loaded anew."""
    settings = FieldSettings(bandwidth_m=20.0, stride_px=32, least_height_m=1.0)
    monkeypatch.setattr(correcting, "SETTINGS", settings)
    correcting.load_once.cache_clear()
    yield
    correcting.load_once.cache_clear()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A height network with random weights, in a folder."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_height_model(tiny_model(), folder)
    return folder


def corrected(asked, correction):
    return replace(asked, settings=replace(asked.settings, correction=str(correction)))


def test_heights_do_not_depend_on_the_size_of_the_cells(tmp_path, tiny):
    network = save(varied(), tmp_path / "network")
    image = write_image(tmp_path / "a.tif", smooth(900, 1000), row=37, column=11)
    plain = map_region(request([image], model=tiny), tmp_path / "plain")
    small = map_region(corrected(request([image], model=tiny), network), tmp_path / "small")
    asked = corrected(request([image], model=tiny, cell_px=1024), network)
    large = map_region(asked, tmp_path / "large")
    counts = [run.report.counts["done"] for run in (plain, small, large)]
    assert counts == [4, 4, 1]
    before, _ = read_cells(tmp_path / "plain")
    first, _ = read_cells(tmp_path / "small")
    second, _ = read_cells(tmp_path / "large")
    known = np.isfinite(before)
    assert known.sum() > 800_000
    ratio = first[known] / before[known]
    assert np.ptp(ratio) > 0.1  # the field is none that anything would agree on
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-3)


def test_pixels_of_another_size_agree_across_cells_too(tmp_path, tiny):
    network = save(varied(), tmp_path / "network")
    image = write_image(tmp_path / "a.tif", smooth(900, 1000), row=600, column=700)
    runs = []
    for name, cell_px in (("small", 512), ("large", 1024)):
        asked = request([image], model=tiny, cell_px=cell_px, resolution_m=1.2)
        map_region(corrected(asked, network), tmp_path / name)
        whole, (west, north) = read_cells(tmp_path / name)
        rows, columns = np.nonzero(np.isfinite(whole))
        corner = north - rows.min() * 1.2, west + columns.min() * 1.2
        part = whole[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        runs.append((corner, part))
    assert runs[0][0] == pytest.approx(runs[1][0])
    assert np.isfinite(runs[0][1]).sum() > 200_000
    np.testing.assert_allclose(runs[0][1], runs[1][1], rtol=0, atol=1e-3)


def test_a_cell_tells_its_factors_and_a_plain_one_has_none_left(tmp_path, tiny):
    network = save(constant(40.0), tmp_path / "network", notice="For tests.")
    facts = {"sun_elevation": 50.0}
    image = write_image(tmp_path / "a.tif", smooth(512, 512), **facts)
    asked = request([image], model=tiny)
    map_region(corrected(asked, network), tmp_path / "out")
    (folder,) = (tmp_path / "out/cells").iterdir()
    item = json.loads((folder / "item.json").read_text())
    told = item["properties"]
    assert told["canopy:correction_applied"]
    assert told["canopy:correction_model"] == "small 1"
    assert told["canopy:correction_notice"] == "For tests."
    collection = json.loads((tmp_path / "out/collection.json").read_text())
    assert collection["description"].endswith("Heights are corrected by small 1. For tests.")
    assert "proj:bbox" not in str(collection["item_assets"])
    assert set(told["canopy:correction_defaults"]) == {"off_nadir", "slope"}
    assert item["assets"]["factor_field"]["proj:shape"] == [16, 16]
    with rasterio.open(folder / "factor.tif") as dataset:
        assert dataset.read(1).min() > 1
        bounds = list(dataset.bounds)
    with rasterio.open(folder / "height.tif") as dataset:
        assert bounds == pytest.approx(list(dataset.bounds))
    for name in ("height.tif", "factor.tif"):
        assert cog_validate(folder / name, strict=True, quiet=True)[0]
    again = map_region(corrected(asked, network), tmp_path / "out")
    assert again.report.counts["kept"] == 1
    without = map_region(asked, tmp_path / "out")
    assert without.report.counts["done"] == 1
    assert not (folder / "factor.tif").exists()


def test_another_network_makes_cells_anew(tmp_path, tiny):
    image = write_image(tmp_path / "a.tif", smooth(512, 512))
    networks = [save(constant(height), tmp_path / f"n{height}") for height in (30, 40)]
    for network in networks:
        run = map_region(corrected(request([image], model=tiny), network), tmp_path / "out")
        assert run.report.counts["done"] == 1


def test_a_network_of_another_pixel_is_refused(tmp_path, monkeypatch):
    network = save(constant(10.0), tmp_path / "network", gsd_m=1.0)
    image = write_image(tmp_path / "a.tif", smooth(512, 512))
    monkeypatch.setattr(shared_model, "load_height_model", lambda *_, **__: model_of(constant(1.0)))
    with pytest.raises(SettingsError, match=r"sees pixels of 1 m, the model small of 0.6 m"):
        map_region(corrected(request([image]), network), tmp_path / "out")
    assert not (tmp_path / "out").exists()
