"""Granules of both versions and products: every value as in the file, heights in metres."""

from __future__ import annotations

import datetime as dt

import geopandas as gpd
import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from shapely.geometry import Polygon
from small_granules import (
    BEAMS,
    FULL,
    V1_A,
    V1_B,
    V2_A,
    V2_B,
    profile_of,
    shots_of,
    write_granule,
    zipped,
)

from geo.catalog.area import read_area
from geo.gedi.errors import GediError, GranuleError
from geo.gedi.granule import Reading
from geo.gedi.ingest import ingest_granules
from geo.gedi.settings import IngestSettings


def whole(columns_of, name, count, key):
    """A column of all beams in their order."""
    return np.concatenate([np.asarray(columns_of(name, beam, count)[key]) for beam in BEAMS])


@pytest.mark.parametrize(("name", "version"), [(V1_A, 1), (V2_A, 2)])
def test_a_granule_of_l2a_comes_whole(ingested, tmp_path, name, version):
    units = {} if version == 1 else {"rh": "m"}
    table, report = ingested(write_granule(tmp_path / f"{name}.h5", name=name, units=units))
    assert (report.read, report.kept, report.granules, report.faults) == (160, 160, 1, [])
    for key in ("shot_number", "lon_lowestmode", "lat_lowestmode", "elev_lowestmode",
                "elev_highestreturn", "sensitivity", "quality_flag", "degrade_flag",
                "solar_elevation", "digital_elevation_model"):  # fmt: skip
        np.testing.assert_array_equal(table[key], whole(shots_of, name, 20, key), err_msg=key)
    heights = whole(shots_of, name, 20, "rh")
    for rank in (50, 75, 95, 98, 100):
        np.testing.assert_array_equal(table[f"rh{rank}"], heights[:, rank])
    assert list(table["beam"].unique()) == list(BEAMS)
    assert set(table["beam"][table["full_power"]]) == FULL
    assert set(table["version"]) == {version}
    assert set(table["product"]) == {"L2A"}
    assert set(table["granule"]) == {name}
    epoch = dt.datetime(2018, 1, 1, tzinfo=dt.UTC)
    seconds = (table["time"] - epoch) / pd.Timedelta(seconds=1)
    np.testing.assert_allclose(seconds, whole(shots_of, name, 20, "delta_time"), atol=1e-6)
    flags = whole(shots_of, name, 20, "land_cover_data/leaf_off_flag")
    assert table["leaf_off_flag"].isna().sum() == (flags == 255).sum() > 0


def test_the_table_is_geoparquet_in_degrees(ingested, tmp_path):
    table, report = ingested(write_granule(tmp_path / f"{V2_A}.h5"), ranks=(98, 10, 98))
    assert table.crs == "EPSG:4326"
    np.testing.assert_array_equal(table.geometry.x, table["lon_lowestmode"])
    np.testing.assert_array_equal(table.geometry.y, table["lat_lowestmode"])
    assert [name for name in table.columns if name.startswith("rh")] == ["rh10", "rh98"]
    assert report.columns == list(table.columns)
    schema = pq.read_schema(report.output)
    assert schema.field("shot_number").type == "uint64"
    assert "cover" not in schema.names  # no column of nothing
    # As geopandas writes the same points.
    table[["geometry"]].to_parquet(tmp_path / "again.parquet")
    assert gpd.read_parquet(tmp_path / "again.parquet").geometry.equals(table.geometry)


def test_columns_are_called_as_those_of_simulated_footprints(ingested, tmp_path):
    from small_worlds import world_of  # noqa: PLC0415 - slow

    from geo.simulation.write import footprint_table  # noqa: PLC0415

    table, _ = ingested(write_granule(tmp_path / f"{V2_A}.h5"))
    made = {
        name for name in footprint_table(world_of("conifer")).columns if not name.startswith("true")
    }
    assert made - {"track", "cover"} - {f"rh{rank}" for rank in range(101)} <= set(table.columns)


def test_l2b_is_joined_by_shot_number(ingested, tmp_path):
    def backwards(columns, beam):
        keep = slice(None, None, -1) if beam != "BEAM0011" else slice(4, None)
        for key in columns:
            columns[key] = columns[key][keep]

    main = write_granule(tmp_path / f"{V2_A}.h5")
    beside = write_granule(tmp_path / f"{V2_B}.h5", name=V2_B, change=backwards)
    table, report = ingested(beside, main)
    assert (report.kept, report.granules, report.twice) == (160, 1, 0)
    assert set(table["product"]) == {"L2A+L2B"}
    expected = whole(profile_of, V2_B, 20, "cover")
    lost = (table["beam"] == "BEAM0011") & (np.tile(np.arange(20), 8) < 4)
    np.testing.assert_array_equal(table["cover"].isna(), (expected == -9999) | lost)
    known = table["cover"].notna()
    np.testing.assert_array_equal(table["cover"][known], expected[known])
    flags = whole(profile_of, V2_B, 20, "l2b_quality_flag")
    np.testing.assert_array_equal(table["l2b_quality_flag"][~lost], flags[~lost])
    assert table["l2b_quality_flag"][lost].isna().all()


@pytest.mark.parametrize("name", [V1_B, V2_B])
def test_l2b_alone_has_the_top_and_the_profile(ingested, tmp_path, name):
    table, report = ingested(write_granule(tmp_path / f"{name}.h5", name=name, units={}))
    top = whole(profile_of, name, 20, "rh100")
    np.testing.assert_allclose(table["rh100"], top / 100, rtol=1e-6)
    assert not {"rh98", "rh50"} & set(table.columns)
    flags = whole(profile_of, name, 20, "l2a_quality_flag")
    np.testing.assert_array_equal(table["quality_flag"], flags)
    assert "cm, as its elevations show" in " ".join(report.notes)


def test_units_are_those_of_the_file(ingested, tmp_path):
    def in_centimetres(columns, _):
        columns["rh"] = np.round(columns["rh"] * 100).astype(np.int16)
        columns["elev_lowestmode"] = (columns["elev_lowestmode"] * 100).astype(np.float32)

    units = {"rh": "cm", "elev_lowestmode": "cm", "elev_highestreturn": "m"}
    path = write_granule(tmp_path / f"{V2_A}.h5", units=units, change=in_centimetres)
    table, _ = ingested(path)
    np.testing.assert_allclose(table["rh98"], whole(shots_of, V2_A, 20, "rh")[:, 98], atol=0.006)
    low = whole(shots_of, V2_A, 20, "elev_lowestmode")
    np.testing.assert_allclose(table["elev_lowestmode"], low, rtol=1e-6)


@pytest.mark.parametrize(
    ("units", "said"),
    [({"rh": "cm"}, "its elevations say m"), ({"rh": "feet"}, "expected m or cm")],
)
def test_a_unit_that_cannot_be_is_refused(ingested, tmp_path, units, said):
    good = write_granule(tmp_path / f"{V1_A}.h5", name=V1_A)
    bad = write_granule(tmp_path / f"{V2_A}.h5", units=units)
    table, report = ingested(good, bad)
    assert set(table["version"]) == {1}
    assert said in report.faults[0]


def test_an_elevation_in_no_unit_of_length_is_left_out_and_said(ingested, tmp_path):
    path = write_granule(tmp_path / f"{V2_A}.h5", units={"digital_elevation_model": "furlong"})
    table, report = ingested(path)
    assert "digital_elevation_model" not in table
    assert any("is in 'furlong': expected m or cm" in note for note in report.notes)


def test_without_units_and_elevations_the_documented_unit_is_taken_and_said(ingested, tmp_path):
    def bare(columns, _):
        columns["elev_highestreturn"] = None

    path = write_granule(tmp_path / f"{V2_A}.h5", units={}, change=bare)
    table, report = ingested(path)
    np.testing.assert_array_equal(table["rh98"], whole(shots_of, V2_A, 20, "rh")[:, 98])
    assert any("m taken, as the product documents" in note for note in report.notes)


def test_power_is_what_the_file_says_or_what_is_known_of_the_beam(ingested, tmp_path):
    path = write_granule(tmp_path / f"{V2_A}.h5")
    with h5py.File(path, "r+") as file:
        file["BEAM0000"].attrs["description"] = "Full power beam"
        del file["BEAM0101"].attrs["description"]
    table, report = ingested(path)
    assert table.groupby("beam")["full_power"].all()[["BEAM0000", "BEAM0101"]].all()
    assert any("power is not stated" in note for note in report.notes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(
    arrays.arrays(np.uint64, st.integers(1, 30), elements=st.integers(0, 2**64 - 1), unique=True)
)
def test_shot_numbers_keep_every_digit(tmp_path_factory, numbers):
    def numbered(columns, _):
        columns["shot_number"] = numbers

    folder = tmp_path_factory.mktemp("shots")
    path = write_granule(
        folder / f"{V2_A}.h5", count=len(numbers), beams=("BEAM0000",), change=numbered
    )
    output = folder / "out.parquet"
    ingest_granules([path], output, IngestSettings(preset="none", workers=1))
    table = gpd.read_parquet(output)
    assert table["shot_number"].tolist() == numbers.tolist()


def test_small_slices_give_the_same_table(ingested, tmp_path, monkeypatch):
    path = write_granule(tmp_path / f"{V2_A}.h5", count=90)
    beside = write_granule(tmp_path / f"{V2_B}.h5", name=V2_B, count=90)
    table, _ = ingested(path, beside)
    monkeypatch.setattr("geo.gedi.ingest.Reading", small_reading)
    monkeypatch.setattr("geo.gedi.parts.GROUP_ROWS", 50)
    again, report = ingested(path, beside)
    pd.testing.assert_frame_equal(pd.DataFrame(table), pd.DataFrame(again))
    assert pq.ParquetFile(report.output).num_row_groups > 5


def small_reading(**told):
    return Reading(slice_shots=7, **told)


def test_an_area_keeps_what_geopandas_finds_in_it(ingested, tmp_path):
    path = write_granule(tmp_path / f"{V2_A}.h5", count=400)
    everything, _ = ingested(path)
    triangle = Polygon([(9.99, 49.999), (10.065, 50.0035), (10.065, 49.999)])
    hole = Polygon([(10.04, 50.0), (10.04, 50.002), (10.045, 50.001)])
    area = gpd.GeoDataFrame(geometry=[triangle.difference(hole)], crs="EPSG:4326")
    area.to_crs(32632).to_file(tmp_path / "area.gpkg")
    table, report = ingested(path, area=str(tmp_path / "area.gpkg"))
    ground = read_area(str(tmp_path / "area.gpkg")).geometry
    expected = everything[everything.geometry.intersects(ground)]
    assert 100 < len(expected) < 2000
    assert table["shot_number"].tolist() == expected["shot_number"].tolist()
    assert report.outside == 3200 - len(expected)
    with pytest.raises(
        GediError, match=r"none of 3200 shots is left: 3200 lie outside --area 0,0,1,1"
    ):
        ingested(path, area="0,0,1,1")


def test_shots_without_a_place_are_left_out_and_counted(ingested, tmp_path):
    def lost(columns, _):
        columns["lon_lowestmode"][3] = np.nan
        columns["lat_lowestmode"][5] = -9999

    table, report = ingested(write_granule(tmp_path / f"{V2_A}.h5", change=lost))
    assert report.no_place == 16
    assert len(table) == 144


def test_a_shot_that_comes_twice_is_kept_once(ingested, tmp_path):
    def later(columns, _):
        for key in columns:
            columns[key] = columns[key][12:]

    first = write_granule(tmp_path / f"{V2_A}.h5")
    copy = write_granule(tmp_path / "renamed.h5")
    part = write_granule(tmp_path / f"{V2_A}_subset.h5", change=later)
    alone = write_granule(tmp_path / "profile.h5", name=V2_B)
    table, report = ingested(alone, first, copy, part, first)
    assert len(table) == table["shot_number"].nunique() == 160
    assert report.read == 160 + 160 + 64 + 160
    assert report.twice == report.read - 160
    mixed, report = ingested(first, write_granule(tmp_path / f"{V1_A}.h5", name=V1_A))
    assert len(mixed) == 320
    assert any("number shots differently" in note for note in report.notes)


def test_archives_and_folders_are_searched(ingested, tmp_path):
    folder = tmp_path / "granules" / "deep"
    folder.mkdir(parents=True)
    main = write_granule(tmp_path / f"{V2_A}.h5")
    beside = write_granule(tmp_path / f"{V2_B}.h5", name=V2_B)
    zipped(folder / "a.zip", main, names=[f"../../{V2_A}.h5"])
    zipped(folder / "b.zip", beside, names=[f"inner/{V2_B}.h5"])
    write_granule(folder / "GEDI04_A_2020146180335_O08222_02_T03349_02_002_01_V002.h5")
    (folder / "read me.txt").write_text("no granule")
    table, report = ingested(tmp_path / "granules")
    assert len(table) == 160
    assert "cover" in table
    assert report.faults == []
    assert report.notes["files of other GEDI products passed over"] == 1


def test_workers_give_the_same_table(ingested, tmp_path):
    paths = [
        write_granule(tmp_path / f"{name}.h5", name=name, count=30)
        for name in (V2_A, V1_A, V2_A.replace("O08222", "O08223"))
    ]
    broken = tmp_path / "broken.h5"
    broken.write_bytes(paths[0].read_bytes()[:20_000])
    table, report = ingested(*paths, broken)
    again, other = ingested(*paths, broken, workers=2)
    pd.testing.assert_frame_equal(pd.DataFrame(table), pd.DataFrame(again))
    assert report == other
    assert len(report.faults) == 1


def test_nothing_is_written_where_nothing_is_left(tmp_path):
    path = write_granule(tmp_path / f"{V2_A}.h5", beams=("BEAM0000",))
    output = tmp_path / "out" / "out.parquet"
    output.parent.mkdir()
    with pytest.raises(
        GediError, match=r"none of 20 shots is left: .*removed by .* of --preset strict"
    ):
        ingest_granules([path], output, IngestSettings(preset="strict", workers=1))
    (tmp_path / "no.h5").write_text("no HDF5")
    with pytest.raises(GranuleError, match=r"no granule could be read: no\.h5 is no HDF5"):
        ingest_granules([tmp_path / "no.h5"], output, IngestSettings(workers=1))
    assert list(output.parent.iterdir()) == []
