"""From every kind of catalog comes the same region; two runs at once never mix."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import rasterio
from small_catalog import DATES, day_of
from small_products import ended, refuse_differences, start_map, until
from small_stac_api import stac_api
from small_watch import watching


def test_the_undisturbed_region_shows_both_images_and_their_dates(place):
    days, heights = {}, {}
    for path in place.expected.glob("cells/*/acquired.tif"):
        column = path.parent.name.split("_e")[1].split("_")[0]
        with rasterio.open(path) as source:
            days.setdefault(column, set()).update(np.unique(source.read()).tolist())
        with rasterio.open(path.with_name("height.tif")) as source:
            heights[path.parent.name] = source.read(1)
    assert days == {"834": {day_of("old")}, "835": {day_of("old")}, "836": {day_of("new")}}
    assert all(np.isfinite(each).all() and each.std() > 0.3 for each in heights.values())


@pytest.mark.slow
def test_an_api_is_searched_and_mapped_while_a_second_run_is_refused(place, output, here):
    with stac_api(json.loads(place.items.read_text())["features"]) as api:
        asked = ("--api", api.url, "--collection", "aerial", "--datetime", "2020/2024")
        with watching(output), place.server.gate("new.tif") as gate:
            first = start_map(*place.arguments(output, *asked))
            until(gate.reached.is_set, first)
            code, said = here(*place.arguments(output))
            assert code == 2
            assert said.startswith(f"error: another run is writing {output} (")
            assert said.count("\n") == 1
            gate.open.set()
            code, _, said = ended(first)
        assert (code, "6 cells: 6 done" in said) == (0, True), said
        assert len(api.searches()) == 1
    refuse_differences(output, place.expected)


def test_a_static_catalog_of_relative_hrefs_gives_the_same_region(place, output, here):
    code, said = here(*place.arguments(output, source=f"{place.server.url}/catalog.json"))
    assert code == 0, said
    refuse_differences(output, place.expected)


def test_a_search_into_a_table_gives_the_same_region(place, tmp_path, output, here, monkeypatch):
    from cli.app import main  # noqa: PLC0415 - slow

    table = tmp_path / "items.parquet"
    with stac_api(json.loads(place.items.read_text())["features"]) as api:
        search = ["search", "--api", api.url, "--collection", "aerial", "--area", str(place.area)]
        monkeypatch.setattr(sys, "argv", ["canopy", *search, "--output", str(table)])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 0
    code, said = here(*place.arguments(output, source=table))
    assert code == 0, said
    refuse_differences(output, place.expected)


def test_one_date_alone_can_be_asked_for(place, output, here):
    with stac_api(json.loads(place.items.read_text())["features"]) as api:
        asked = ("--api", api.url, "--collection", "aerial", "--datetime", DATES["old"][:4])
        code, said = here(*place.arguments(output, *asked))
    assert code == 0, said
    for path in output.glob("cells/*/acquired.tif"):
        with rasterio.open(path) as source:
            assert np.unique(source.read()).tolist() == [day_of("old")]
