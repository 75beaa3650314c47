"""Files that are cut short, wrong or hostile: said in a line, and the rest is kept."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_granules import BEAMS, V1_A, V2_A, V2_B, write_granule, zipped

from geo.gedi.errors import GediError
from geo.gedi.sources import find_sources


@pytest.fixture
def good(tmp_path):
    return write_granule(tmp_path / f"{V1_A}.h5", name=V1_A)


def truncated(path):
    write_granule(path)
    path.write_bytes(path.read_bytes()[:-5000])


def empty(path):
    path.write_bytes(b"")


def web_page(path):
    path.write_text("<html>Please log in</html>")


def level_1b(path):
    write_granule(path)
    with h5py.File(path, "r+") as file:
        file.attrs["short_name"] = "GEDI_L1B"
        for beam in BEAMS:
            del file[beam]["rh"]


def no_granule(path):
    with h5py.File(path, "w") as file:
        file["temperature"] = np.zeros(3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (truncated, "is cut short: fetch it again"),
        (empty, "is empty: fetch it again"),
        (web_page, "is no HDF5: expected a GEDI granule"),
        (level_1b, "is GEDI_L1B: expected a GEDI granule of level 2A or 2B"),
        (no_granule, "has no beams of GEDI: expected"),
    ],
)
def test_a_file_that_is_no_granule_is_said_and_passed_over(ingested, tmp_path, good, make, said):
    make(tmp_path / "bad.h5")
    table, report = ingested(tmp_path / "bad.h5", good)
    assert len(table) == 160
    assert report.faults == [fault for fault in report.faults if f"bad.h5 {said}" in fault]
    assert len(report.faults) == 1


def test_a_link_that_leads_nowhere_is_said(ingested, tmp_path, good):
    folder = tmp_path / "granules"
    folder.mkdir()
    good.rename(folder / good.name)
    (folder / "gone.h5").symlink_to(tmp_path / "nowhere.h5")
    table, report = ingested(folder)
    assert len(table) == 160
    assert report.faults == ["gone.h5 does not exist: check the path"]


def test_missing_beams_are_a_fault_unless_the_file_was_cut_out(ingested, tmp_path):
    whole = write_granule(tmp_path / f"{V2_A}.h5", beams=BEAMS[2:])
    table, report = ingested(whole)
    assert len(table) == 120
    (fault,) = report.faults
    assert "has no BEAM0000, BEAM0001: expected eight beams; the others are kept" in fault
    part = write_granule(tmp_path / f"{V2_A}_subset.h5", beams=BEAMS[2:])
    table, report = ingested(part)
    assert report.faults == []
    assert any("has no BEAM0000, BEAM0001 (it was cut out of" in note for note in report.notes)
    unnamed = write_granule(tmp_path / "x.h5", beams=BEAMS[2:], stated=False)
    assert ingested(unnamed)[1].faults


def replaced(key, values):
    """A change that puts something else in the place of a column of one beam."""

    def change(columns, beam):
        if beam == "BEAM0010":
            columns[key] = values(columns[key])

    return change


@pytest.mark.parametrize(
    ("key", "values", "said"),
    [
        ("shot_number", lambda _: None, "has no shot_number"),
        ("rh", lambda _: None, "has no rh"),
        ("shot_number", lambda old: old.astype(float), "holds float64: expected integers"),
        ("shot_number", lambda old: old.astype(np.uint32), "expected 64-bit integers"),
        ("rh", lambda old: old[:, :100], r"has the shape (20, 100): expected (20, 101)"),
        ("rh", lambda old: old[:7], r"has the shape (7, 101): expected (20, 101)"),
        ("lat_lowestmode", lambda old: old[:7], r"has the shape (7,): expected (20,)"),
        ("sensitivity", lambda old: old[:7], r"has the shape (7,): expected (20,)"),
        ("quality_flag", lambda old: old.astype("S1"), "holds |S1: expected integers"),
        ("lon_lowestmode", lambda old: old.astype(str).astype("S9"), "floating-point numbers"),
    ],
)
def test_a_broken_beam_is_left_out_and_said(ingested, tmp_path, key, values, said):
    table, report = ingested(write_granule(tmp_path / f"{V2_A}.h5", change=replaced(key, values)))
    assert set(table["beam"]) == set(BEAMS) - {"BEAM0010"}
    (fault,) = report.faults
    assert said in fault
    assert "in BEAM0010 is left out" in fault
    assert report.read == report.kept + report.broken


def test_where_nothing_can_be_read_that_is_said_and_no_filter_blamed(ingested, tmp_path):
    def without_heights(columns, _beam):
        columns["rh"] = None

    path = write_granule(tmp_path / f"{V2_A}.h5", change=without_heights)
    with pytest.raises(GediError) as caught:
        ingested(path, preset="default")
    assert "none of 160 shots is left: 160 could not be read" in str(caught.value)
    assert "has no rh" in str(caught.value)
    assert "relax" not in str(caught.value)


def test_shots_without_a_place_are_not_blamed_on_an_area(ingested, tmp_path):
    def nowhere(columns, _beam):
        columns["lat_lowestmode"] = np.full_like(columns["lat_lowestmode"], np.nan)

    path = write_granule(tmp_path / f"{V2_A}.h5", change=nowhere)
    with pytest.raises(GediError, match=r"none of 160 shots is left: 160 have no coordinates$"):
        ingested(path)


def test_a_broken_profile_costs_no_shots(ingested, tmp_path):
    main = write_granule(tmp_path / f"{V2_A}.h5")
    bad = replaced("cover", lambda old: old[:4])
    beside = write_granule(tmp_path / f"{V2_B}.h5", name=V2_B, change=bad, beams=BEAMS[1:])
    table, report = ingested(main, beside)
    assert len(table) == 160
    assert set(table["beam"][table["cover"].notna()]) == set(BEAMS) - {"BEAM0000", "BEAM0010"}
    assert len(report.faults) == 2
    beside.write_bytes(b"no")
    table, report = ingested(main, beside)
    assert len(table) == 160
    assert "no profile is joined" in report.faults[0]


def test_a_chunk_that_breaks_costs_what_follows_in_its_beam(ingested, tmp_path):
    path = write_granule(tmp_path / f"{V2_A}.h5", count=64, compression="gzip")
    with h5py.File(path) as file:
        chunk = file["BEAM1000/rh"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(data)
    table, report = ingested(path)
    assert len(table) == 64 * 7
    assert "breaks off" in report.faults[0]
    assert (report.read, report.broken) == (64 * 8, 64)


def external_link(file, outside):
    del file["BEAM0010/rh"]
    file["BEAM0010/rh"] = h5py.ExternalLink(str(outside), "BEAM0010/rh")


def external_beam(file, outside):
    del file["BEAM0010"]
    file["BEAM0010"] = h5py.ExternalLink(str(outside), "BEAM0010")


def soft_link(file, outside):
    file["elsewhere"] = h5py.ExternalLink(str(outside), "/")
    del file["BEAM0010/rh"]
    file["BEAM0010/rh"] = h5py.SoftLink("/elsewhere/BEAM0010/rh")


def virtual(file, outside):
    layout = h5py.VirtualLayout((20, 101), np.float32)
    layout[:] = h5py.VirtualSource(str(outside), "BEAM0010/rh", shape=(20, 101))
    del file["BEAM0010/rh"]
    file["BEAM0010"].create_virtual_dataset("rh", layout)


def external_storage(file, outside):
    del file["BEAM0010/rh"]
    file["BEAM0010"].create_dataset("rh", (20, 101), "f4", external=[(str(outside), 0, 8080)])


@pytest.mark.parametrize(
    "lead", [external_link, external_beam, soft_link, virtual, external_storage]
)
def test_nothing_outside_the_file_is_read(ingested, tmp_path, lead):
    (tmp_path / "outside").mkdir()
    outside = write_granule(tmp_path / "outside" / "secret.h5")
    path = write_granule(tmp_path / f"{V2_A}.h5")
    with h5py.File(path, "r+") as file:
        lead(file, outside)
    table, report = ingested(path)
    assert set(table["beam"]) == set(BEAMS) - {"BEAM0010"}
    (fault,) = report.faults
    assert "is not followed" in fault or "is not opened" in fault


def test_more_than_a_granule_can_hold_is_not_read(ingested, tmp_path, good):
    path = write_granule(tmp_path / f"{V2_A}.h5", beams=("BEAM0000",))
    with h5py.File(path, "r+") as file:
        group = file.create_group("BEAM0001")
        group.create_dataset("shot_number", (10**12,), "u8", chunks=(10**4,))
        group = file.create_group("BEAM0010")
        group.create_dataset(
            "shot_number", (10**6,), "u8", chunks=(10**8,), maxshape=(None,), compression="gzip"
        )
    table, report = ingested(path, good)
    assert len(table) == 180
    assert any("5000000 at most" in fault for fault in report.faults)
    assert any("no granule has such" in fault for fault in report.faults)


def bomb(path):
    """An archive of a few bytes that says it unpacks to 20 GB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{V2_A}.h5", bytes(10**6))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(data)


def test_archives_are_unpacked_with_care(ingested, tmp_path, good, monkeypatch):
    (tmp_path / "none.zip").write_bytes(b"PK no archive")
    zipped(tmp_path / "other.zip", good, names=["granule.txt"])
    bomb(tmp_path / "bomb.zip")
    monkeypatch.setattr("geo.gedi.sources.MOST_UNPACKED_BYTES", 10**9)
    archives = [tmp_path / name for name in ("none.zip", "other.zip", "bomb.zip")]
    table, report = ingested(good, *archives)
    assert len(table) == 160
    said = " ".join(report.faults)
    assert "none.zip cannot be unpacked" in said
    assert "other.zip holds no .h5" in said
    assert "unpacks to 4.3 GB: granules have 3 GB at most" in said


def test_what_is_packed_beyond_the_stated_size_is_not_unpacked(ingested, tmp_path, good):
    with zipfile.ZipFile(tmp_path / "liar.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("liar.h5", bytes(10**7))
    data = bytearray((tmp_path / "liar.zip").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(mark)
        data[at + offset : at + offset + 4] = (1000).to_bytes(4, "little")
    (tmp_path / "liar.zip").write_bytes(data)
    table, report = ingested(good, tmp_path / "liar.zip")
    assert len(table) == 160
    assert len(report.faults) == 1


def test_what_is_not_there_is_said_before_anything_is_read(tmp_path):
    with pytest.raises(GediError, match=r"nowhere\.h5 does not exist"):
        find_sources([tmp_path / "nowhere.h5"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(GediError, match="holds no granule"):
        find_sources([tmp_path / "empty"])


def test_a_file_that_ends_a_worker_costs_itself_alone(ingested, tmp_path, good, monkeypatch):
    # What workers run is found by its module's name: the functions of this file are not.
    (tmp_path / "killing_worker.py").write_text(
        "import os\nfrom geo.gedi.parts import make_part as real\n"
        "def make_part(task):\n"
        "    if 'killer' in task.pair.main.file_name:\n        os._exit(139)\n"
        "    return real(task)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import killing_worker  # noqa: PLC0415

    monkeypatch.setattr("geo.gedi.ingest.make_part", killing_worker.make_part)
    killer = write_granule(tmp_path / "killer.h5")
    other = write_granule(tmp_path / f"{V2_A}.h5")
    table, report = ingested(killer, good, other, workers=2)
    assert len(table) == 320
    assert report.faults == ["killer.h5 is broken: reading it ends the process, fetch it again"]


MEASURE = """
import re, sys
from pathlib import Path
import geopandas, numpy, shapely
from geo.gedi.ingest import ingest_granules
from geo.gedi.settings import IngestSettings

def peak_kb():  # of this program; getrusage counts the one that started it too
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

settings = IngestSettings(preset="none", workers=1)
ingest_granules([Path(sys.argv[1])], Path(sys.argv[3]), settings)
before = peak_kb()
report = ingest_granules([Path(sys.argv[2])], Path(sys.argv[4]), settings)
print(report.kept, (peak_kb() - before) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to be measured")
def test_memory_is_that_of_slices_whatever_the_granule_holds(tmp_path):
    path, count = tmp_path / f"{V2_A}.h5", 500_000
    columns = {
        "lon_lowestmode": np.full(count, 10.0), "lat_lowestmode": np.full(count, 50.0),
        "shot_number": np.arange(count, dtype=np.uint64),
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        file.attrs["short_name"] = "GEDI_L2A"
        group = file.create_group(BEAMS[0])
        for key, values in columns.items():
            group.create_dataset(key, data=values, compression="lzf")
        group.create_dataset("rh", (count, 101), "f4", fillvalue=9, chunks=(1000, 101))
    small = write_granule(tmp_path / "small.h5")
    # 500,000 x 101 x 4 bytes: 202 MB of heights.
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, small, path, *(tmp_path / f"{n}.parquet" for n in "ab")],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    kept, grown_mb = map(int, done.stdout.split())
    assert kept == count
    assert grown_mb < 180  # 113 measured; 409 where a beam is read at once
