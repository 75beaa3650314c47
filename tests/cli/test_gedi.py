"""``canopy gedi ingest``: the table on the screen, exit codes, granules from the catalogue."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("h5py")
gpd = pytest.importorskip("geopandas")

import numpy as np  # noqa: E402
from rasterio.transform import from_origin  # noqa: E402
from small_granules import BEAMS, V2_A, V2_B, write_granule  # noqa: E402 - they need h5py
from small_heights import write_heights  # noqa: E402
from small_stac_api import stac_api, stac_item  # noqa: E402

from geo.gedi.earthdata import Hosts  # noqa: E402


@pytest.fixture
def granule(tmp_path):
    return write_granule(tmp_path / f"{V2_A}.h5")


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def test_a_table_tells_what_each_filter_removed(canopy_command, granule, tmp_path):
    output = tmp_path / "f.parquet"
    code, out, err = canopy_command(
        "gedi", "ingest", granule, "-o", output, "--preset", "strict", "--workers", "1"
    )
    assert code == 0, err
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert re.search(r"read +160 ", lines["read"])
    # Of 20 shots a beam: every 5th is poor, every 7th degraded (one is both), every 4th blunt.
    assert re.search(r"quality +-32 +-32 +keeps: quality_flag is 1", lines["quality"])
    assert re.search(r"degrade +-16 +-24 ", lines["degrade"])
    kept = gpd.read_parquet(output)
    assert re.search(rf"kept +{len(kept)} +{len(kept)} of full power, 0 of coverage", lines["kept"])
    assert f"written  {output}, {len(kept)} footprints" in err


def test_json_says_the_same(canopy_command, granule, tmp_path):
    output = tmp_path / "f.parquet"
    code, out, _ = canopy_command(
        "gedi", "ingest", granule, "-o", output, "--rh", "98,25", "--json", "--quiet"
    )
    told = json.loads(out)
    assert code == 0
    assert told["kept"] == len(gpd.read_parquet(output)) == sum(told["beams"].values())
    assert [each["name"] for each in told["filters"]] == ["quality", "degrade"]
    assert {"rh25", "rh98"} <= set(told["columns"])
    assert told["faults"] == []


def test_a_broken_file_is_said_the_rest_kept_and_the_exit_code_1(canopy_command, granule, tmp_path):
    (tmp_path / "cut.h5").write_bytes(granule.read_bytes()[:9000])
    short = write_granule(tmp_path / f"{V2_A.replace('O08222', 'O08223')}.h5", beams=BEAMS[:6],
                          name=V2_A.replace("O08222", "O08223"))  # fmt: skip
    output = tmp_path / "f.parquet"
    code, _, err = canopy_command(
        "gedi", "ingest", granule, tmp_path / "cut.h5", short, "-o", output, "--preset", "none",
        "--workers", "1",
    )  # fmt: skip
    assert code == 1
    assert "error: cut.h5 is cut short: fetch it again" in err
    assert "has no BEAM1000, BEAM1011: expected eight beams; the others are kept" in err
    assert len(gpd.read_parquet(output)) == 160 + 120
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "expected granules or folders of them, or --search with --area"),
        (("nowhere.h5",), 2, "nowhere.h5 does not exist"),
        (("{granule}", "--rh", "a"), 2, "--rh a: expected whole percentiles"),
        (("{granule}", "--rh", "101"), 2, "expected percentiles from 0 to 100"),
        (("{granule}", "--area", "1,2"), 2, "--area 1,2: expected west,south,east,north"),
        (("{granule}", "--datetime", "2020"), 2, "--datetime: of no effect without --search"),
        (("{granule}", "--list"), 2, "--list: of no effect without --search"),
        (("{granule}", "--limit", "9"), 2, "--limit: of no effect without --search"),
        (("{granule}", "--search", "--area", "1,2,3,4"), 2, "give no files beside it"),
        (("--search",), 2, "--search needs --area"),
        (("{granule}", "-o", "{folder}/f.csv"), 2, "end the name in .parquet"),
        (("{granule}", "-o", "{folder}/old.parquet"), 2, "replace it with --overwrite"),
        (("{granule}", "-o", "{folder}/none/f.parquet"), 2, "does not exist: make it"),
        (("{text}",), 1, "no granule could be read: text.h5 is no HDF5"),
    ],
)
def test_what_cannot_be_met_is_one_line(canopy_command, granule, tmp_path, arguments, code, said):
    (tmp_path / "old.parquet").write_bytes(b"old")
    (tmp_path / "text.h5").write_text("text")
    names = {"granule": granule, "folder": tmp_path, "text": tmp_path / "text.h5"}
    given = [each.format(**names) for each in arguments]
    output = [] if "-o" in given else ["-o", tmp_path / "f.parquet"]
    found, out, err = canopy_command("gedi", "ingest", *given, *output, "--workers", "1")
    assert found == code
    assert said in " ".join(err.split())
    assert len(err.strip().splitlines()) == 1
    assert out == ""
    assert (tmp_path / "old.parquet").read_bytes() == b"old"
    assert not (tmp_path / "f.parquet").exists()


def test_what_was_ingested_is_what_a_map_is_evaluated_against(canopy_command, granule, tmp_path):
    # The shots of BEAM0101 lie on the map, those of the others beside it.
    place = {"crs": "EPSG:4326", "transform": from_origin(10.0385, 50.0015, 1e-5, 1e-5)}
    here = write_heights(tmp_path / "map.tif", np.full((300, 300), 20.0), **place)
    table = tmp_path / "f.parquet"
    assert canopy_command("gedi", "ingest", granule, "-o", table, "--preset", "none")[0] == 0
    code, out, err = canopy_command(
        "evaluate", here, "--footprints", table, "-o", tmp_path / "report", "--json"
    )
    assert code == 0, err
    found = json.loads(out)["comparisons"][0]
    shots = gpd.read_parquet(table)
    good = shots[
        (shots["beam"] == "BEAM0101") & (shots["quality_flag"] == 1)
        & (shots["degrade_flag"] == 0) & (shots["sensitivity"] > 0.94)
        & (shots["solar_elevation"] < 0) & (shots["leaf_off_flag"] != 1)
    ]  # fmt: skip
    assert found["count"] == len(good) > 3
    assert found["errors"]["bias_m"] == pytest.approx(20 - good["rh98"].mean(), abs=1e-3)
    assert len(found["sites"][0]["filters"]) == 7
    assert found["sites"][0]["filters_lacking"] == []
    assert "filters applied         quality_flag is 1" in err


def items(address):
    names = (V2_A, V2_B)
    return [
        stac_item(
            name, (9, 49, 11, 51), collection=f"GEDI02_{name[7]}_002",
            assets={"data": {"href": f"{address}/{name}.h5", "file:size": 123_000}},
        )
        for name in names
    ]  # fmt: skip


SEARCH = ("gedi", "ingest", "--search", "--area", "10,49,10.5,50.5")


def test_without_a_login_the_granules_are_listed_and_the_line_says_what_to_set(
    canopy_command, tmp_path
):
    with stac_api(items("https://data.lpdaac.earthdatacloud.nasa.gov")) as api:
        output = ("-o", tmp_path / "f.parquet", "--api", api.url)
        code, out, err = canopy_command(*SEARCH, *output)
        assert code == 2
        assert re.search(rf"2021-06-01 +123 kB +{V2_A}", out)
        assert "error: NASA Earthdata asks for a login: set EARTHDATA_TOKEN" in err
        code, out, _ = canopy_command(*SEARCH, *output, "--list", "--json")
        assert code == 0
        assert [each["id"] for each in json.loads(out)["granules"]] == [V2_A]
    assert list(tmp_path.glob("f.*")) == []


def test_granules_are_found_fetched_and_ingested(
    canopy_command, granule, served, tmp_path, monkeypatch
):
    write_granule(tmp_path / f"{V2_B}.h5", name=V2_B)
    monkeypatch.setenv("EARTHDATA_TOKEN", "of nobody")
    monkeypatch.setattr(Hosts, "may_know_token", lambda _, url: url.startswith(served))
    with stac_api(items(served), collections=("GEDI02_A_002", "GEDI02_B_002")) as api:
        code, out, err = canopy_command(
            *SEARCH, "-o", tmp_path / "f.parquet", "--api", api.url, "--collection",
            "GEDI02_A_002", "--collection", "GEDI02_B_002", "--preset", "none", "--json",
        )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["kept"] == 160
    table = gpd.read_parquet(tmp_path / "f.parquet")
    assert len(table) == 160
    assert "cover" in table
    kept = sorted(each.name for each in (tmp_path / "f.granules").iterdir())
    assert kept == [granule.name, f"{V2_B}.h5"]
