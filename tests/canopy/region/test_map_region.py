"""Regions: the same heights whatever the cells, dates that are told, runs that go on."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pystac
import pytest
import rasterio
from faulty_folder import serving_faultily
from rio_cogeo.cogeo import cog_validate
from scipy import ndimage
from shapely.geometry import box
from small_models import TOP_M, LocalMean, model_of, tiny_model
from small_regions import COLUMN, ROW, read_cells, request, smooth, write_image

from canopy import shared_model
from canopy.errors import RunError, SettingsError
from canopy.height_models.folder import save_height_model
from canopy.region.cell_work import make_cell
from canopy.region.map_region import job_of, map_region, planned
from canopy.region.run_settings import RunSettings
from geo.cells import Cell
from geo.imagery.image import ColourSource
from geo.imagery.ranking import Preference
from geo.stores.store import store_of


@pytest.fixture
def local_mean(monkeypatch):
    """Put a model whose heights can be computed by hand in the place of every other."""
    model = model_of(LocalMean())
    monkeypatch.setattr(shared_model, "load_height_model", lambda *_, **__: model)
    return model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A real network with random weights, in a folder."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_height_model(tiny_model(), folder)
    return folder


by_hand = pytest.mark.usefixtures("local_mean")


def expected_heights(pixels):
    """What LocalMean sees inside an image [m]."""
    grey = pixels.astype(float).mean(0) / 255
    return TOP_M * ndimage.uniform_filter(grey, 3, mode="nearest")


@by_hand
def test_cells_hold_what_the_model_sees_in_the_image(tmp_path):
    pixels = smooth(700, 900)
    image = write_image(tmp_path / "a.tif", pixels, row=100, column=50)
    run = map_region(request([image]), tmp_path / "out")
    assert run.report.counts == {"done": 4, "kept": 0, "empty": 0, "failed": 0}
    whole, (west, north) = read_cells(tmp_path / "out")
    assert (west, north) == (COLUMN * 0.6, -ROW * 0.6)
    found = whole[100:800, 50:950]
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(found[inner], expected_heights(pixels)[inner], atol=0.02)
    assert np.isnan(whole[:99]).all()
    assert np.isnan(whole[:, 951:]).all()


def test_heights_do_not_depend_on_the_size_of_the_cells(tmp_path, tiny):
    image = write_image(tmp_path / "a.tif", smooth(900, 1000), row=37, column=11)
    small = map_region(request([image], model=tiny), tmp_path / "small")
    large = map_region(request([image], model=tiny, cell_px=1024), tmp_path / "large")
    assert (small.report.counts["done"], large.report.counts["done"]) == (4, 1)
    first, _ = read_cells(tmp_path / "small")
    second, _ = read_cells(tmp_path / "large")
    assert np.isfinite(first).sum() > 800_000
    np.testing.assert_array_equal(first, second)


def test_a_part_of_an_area_has_the_cells_of_the_whole(tmp_path, tiny):
    image = write_image(tmp_path / "a.tif", smooth(600, 1000))
    whole = map_region(request([image], model=tiny), tmp_path / "whole")
    name = max(whole.report.states)
    middle = Cell.from_id(name).footprint.centroid.buffer(1e-4)
    part = map_region(request([image], model=tiny, area=middle), tmp_path / "part")
    assert list(part.report.states) == [name]
    maps = [tmp_path / place / "cells" / name / "height.tif" for place in ("whole", "part")]
    with rasterio.open(maps[0]) as one, rasterio.open(maps[1]) as other:
        np.testing.assert_array_equal(one.read(), other.read())


@by_hand
def test_the_newest_image_wins_and_each_pixel_tells_its_date(tmp_path):
    old = write_image(tmp_path / "old.tif", smooth(512, 1024, 1), date="2019-05-01")
    new = write_image(
        tmp_path / "new.tif", smooth(512, 512, 2), date="2023-07-02",
        sun_elevation=50.0, off_nadir=10.0, gsd_m=0.6,
    )  # fmt: skip
    map_region(request([old, new]), tmp_path / "out")
    days, _ = read_cells(tmp_path / "out", "acquired.tif")
    assert (days[:, :512] == (dt.date(2023, 7, 2) - dt.date(1970, 1, 1)).days).all()
    assert (days[:, 512:] == (dt.date(2019, 5, 1) - dt.date(1970, 1, 1)).days).all()
    items = {
        item.id: item
        for item in pystac.Collection.from_file(tmp_path / "out/collection.json").get_items()
    }
    left, right = (items[name].properties for name in sorted(items))
    assert (left["datetime"], right["datetime"]) == ("2023-07-02T00:00:00Z", "2019-05-01T00:00:00Z")
    assert (left["view:sun_elevation"], left["view:off_nadir"], left["gsd"]) == (50.0, 10.0, 0.6)
    assert "view:sun_elevation" not in right


@by_hand
def test_an_older_image_that_covers_a_cell_wins_over_a_newer_part(tmp_path):
    old = write_image(tmp_path / "old.tif", smooth(512, 512, 1), date="2019-05-01")
    new = write_image(tmp_path / "new.tif", smooth(512, 200, 2), date="2023-07-02")
    map_region(request([old, new]), tmp_path / "out")
    days, _ = read_cells(tmp_path / "out", "acquired.tif")
    assert len(np.unique(days)) == 1


@pytest.mark.parametrize(
    ("prefer", "winner"),
    [
        (Preference(), "2023-01-01"),
        (Preference(by="cloud"), "2020-01-01"),
        (Preference(by="nearest", date=dt.datetime(2021, 3, 1, tzinfo=dt.UTC)), "2021-01-01"),
    ],
)
@by_hand
def test_what_is_preferred_wins(tmp_path, prefer, winner):
    images = [
        write_image(tmp_path / f"{date}.tif", smooth(512, 512), date=date, cloud=cloud)
        for date, cloud in (("2020-01-01", 1.0), ("2021-01-01", 5.0), ("2023-01-01", 9.0))
    ]
    map_region(request(images, prefer=prefer), tmp_path / "out")
    days, _ = read_cells(tmp_path / "out", "acquired.tif")
    assert (days == (dt.date.fromisoformat(winner) - dt.date(1970, 1, 1)).days).all()


@by_hand
def test_every_product_is_valid_and_says_where_it_comes_from(tmp_path):
    image = write_image(tmp_path / "a.tif", smooth(512, 512))
    map_region(request([image]), tmp_path / "out")
    (folder,) = (tmp_path / "out/cells").iterdir()
    for name in ("height.tif", "acquired.tif"):
        assert cog_validate(folder / name, strict=True, quiet=True) == (True, [], [])
    item = pystac.Item.from_file(folder / "item.json")
    (source,) = [link for link in item.links if link.rel == "derived_from"]
    assert (folder / source.href).resolve() == (tmp_path / "a.tif").resolve()
    assert not list((tmp_path / "out").glob(".making/*"))


@by_hand
def test_the_same_command_again_makes_only_what_is_missing_or_stale(tmp_path):
    image = write_image(tmp_path / "a.tif", smooth(512, 1024))
    out = tmp_path / "out"
    map_region(request([image]), out)
    before = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/height.tif")}
    again = map_region(request([image]), out)
    assert again.report.counts == {"done": 0, "kept": 2, "empty": 0, "failed": 0}
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("cells/*/height.tif")}
    (out / "cells" / min(again.report.states) / "item.json").unlink()
    assert map_region(request([image]), out).report.counts["done"] == 1
    stale = map_region(request([image], encoding="int16-cm"), out)
    assert stale.report.counts["done"] == 2
    assert (
        map_region(request([image], encoding="int16-cm", batch=3), out).report.counts["kept"] == 2
    )
    assert (
        map_region(request([image], encoding="int16-cm", overwrite=True), out).report.counts["done"]
        == 2
    )


def test_a_model_is_loaded_once_and_anew_when_its_folder_holds_another(tmp_path, monkeypatch):
    image = write_image(tmp_path / "a.tif", smooth(512, 1024))
    loads, load = [], shared_model.load_height_model

    def counted(*names, **options):
        loads.append(names)
        return load(*names, **options)

    monkeypatch.setattr(shared_model, "load_height_model", counted)
    found = []
    for seed in (0, 1):
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        save_height_model(tiny_model(seed), tmp_path / "model")
        run = map_region(request([image], model=tmp_path / "model"), tmp_path / "out")
        assert run.report.counts["done"] == 2
        found.append(read_cells(tmp_path / "out")[0])
    assert len(loads) == 2
    assert not np.array_equal(found[0], found[1])


def test_a_scheduler_that_cannot_be_reached_leaves_no_folder(tmp_path, tiny):
    image = write_image(tmp_path / "a.tif", smooth(512, 512))
    run = RunSettings(scheduler="tcp://127.0.0.1:9", connect_timeout_s=0.5)
    with pytest.raises(RunError, match="does not answer"):
        map_region(request([image], model=tiny, run=run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_server_that_stalls_holds_its_own_cell_and_no_other_of_the_worker(tmp_path, tiny):
    (tmp_path / "served").mkdir()
    images = [
        write_image(
            tmp_path / "served" / f"{name}.tif", smooth(1024, 512, seed), column=2048 * seed
        )
        for seed, name in enumerate("ab")
    ]
    with serving_faultily(tmp_path / "served") as server, ThreadPoolExecutor(2) as threads:
        remote = [
            replace(each, sources=(ColourSource(f"{server.url}/{each.id}.tif", None),))
            for each in images
        ]
        asked = request(remote, model=tiny, cell_px=1024)
        store = store_of(tmp_path / "out")
        plan, model = planned(asked, predicts=True)
        make = partial(make_cell, job_of(asked, store, model))
        tasks = {task.images[0].id: task for task in plan.tasks(plan.cells)}
        assert len(tasks) == len(plan.cells) == 2
        with server.gate("a.tif", when=lambda: server.asked.count("a.tif") > 2) as gate:
            held = threads.submit(make, tasks["a"])
            assert gate.reached.wait(timeout=60)
            assert threads.submit(make, tasks["b"]).result(timeout=60).state == "done"
            assert not held.done()
        assert held.result(timeout=60).state == "done"


@by_hand
def test_a_broken_image_costs_its_own_cells_only(tmp_path):
    good = write_image(tmp_path / "good.tif", smooth(512, 512))
    bad = write_image(tmp_path / "bad.tif", smooth(512, 512, 2), column=1024)
    data = (tmp_path / "bad.tif").read_bytes()
    (tmp_path / "bad.tif").write_bytes(data[: len(data) // 2])
    run = map_region(request([good, bad]), tmp_path / "out")
    assert run.report.counts["done"] == 1
    (reason,) = set(run.report.failed.values())
    assert "bad.tif cannot be read" in reason
    (tmp_path / "bad.tif").write_bytes(data)
    again = map_region(request([good, bad]), tmp_path / "out")
    assert again.report.counts == {"done": 1, "kept": 1, "empty": 0, "failed": 0}


@by_hand
def test_ground_without_data_is_looked_at_once(tmp_path):
    image = write_image(tmp_path / "a.tif", np.zeros((3, 512, 512), np.uint8))
    with rasterio.open(tmp_path / "a.tif", "r+") as target:
        target.nodata = 0
    run = map_region(request([image]), tmp_path / "out")
    assert run.report.counts["empty"] == 1
    assert not list((tmp_path / "out").glob("cells/*/*.tif"))
    assert map_region(request([image]), tmp_path / "out").report.counts["kept"] == 1


@by_hand
def test_cells_of_other_pixels_are_means_of_the_models(tmp_path):
    pixels = smooth(1024, 1024)
    image = write_image(tmp_path / "a.tif", pixels)
    map_region(request([image], resolution_m=1.2), tmp_path / "out")
    coarse, _ = read_cells(tmp_path / "out")
    fine = expected_heights(pixels)
    means = fine.reshape(512, 2, 512, 2).mean((1, 3))
    # Cells of 1.2 m are counted from the same origin: this ground begins in the middle of one.
    rows, columns = np.nonzero(np.isfinite(coarse))
    found = coarse[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    np.testing.assert_allclose(found[2:-2, 2:-2], means[2:-2, 2:-2], atol=0.05)
    days, _ = read_cells(tmp_path / "out", "acquired.tif")
    assert np.isfinite(days[np.isfinite(coarse)]).all()


def test_intervals_are_bands_of_every_cell(tmp_path):
    image = write_image(tmp_path / "a.tif", smooth(512, 512))
    map_region(request([image], interval=0.8), tmp_path / "out")
    (path,) = (tmp_path / "out").glob("cells/*/height.tif")
    with rasterio.open(path) as source:
        heights, lower, upper = source.read()
    assert (lower <= heights).all()
    assert (heights <= upper).all()
    assert (upper - lower).mean() > 1


@by_hand
def test_an_area_over_two_zones_has_cells_in_both(tmp_path):
    image = write_image(tmp_path / "a.tif", smooth(512, 1200), column=910_200)
    run = map_region(request([image]), tmp_path / "out")
    assert {name[:6] for name in run.report.states} == {"utm33n", "utm34n"}
    assert {path.name for path in (tmp_path / "out").glob("*.vrt")} == {
        "mosaic_32633.vrt", "mosaic_32634.vrt",
    }  # fmt: skip


@by_hand
def test_what_has_no_meaning_for_cells_is_refused(tmp_path):
    image = write_image(tmp_path / "a.tif", smooth(512, 512))
    for chosen in ({"grid": "scene"}, {"pixel_size_m": 0.5}, {"stac": False}):
        with pytest.raises(SettingsError, match="with a region"):
            request([image], **chosen)
    with pytest.raises(SettingsError, match="none of the 1 images shows any of the area"):
        map_region(request([image], area=box(0, 0, 0.1, 0.1)), tmp_path / "out")
    map_region(request([image]), tmp_path / "out")
    with pytest.raises(SettingsError, match="choose another output"):
        map_region(request([image], cell_px=1024), tmp_path / "out")


@by_hand
def test_the_report_tells_what_was_chosen(tmp_path):
    image = write_image(tmp_path / "a.tif", smooth(512, 512))
    map_region(request([image]), tmp_path / "out")
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["cells"] == {"all": 1, "done": 1, "kept": 0, "empty": 0, "failed": 0}
    assert report["settings"]["cell_px"] == 512
    assert report["megapixels"] == pytest.approx(0.262, abs=1e-3)
