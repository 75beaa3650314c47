"""GEDI granules made in memory's image: the layout of versions 1 and 2, few shots, known values."""

from __future__ import annotations

import zipfile

import numpy as np

V1_A = "GEDI02_A_2019108080338_O01964_T05337_02_001_01"
V1_B = "GEDI02_B_2019108080338_O01964_T05337_02_001_01"
V2_A = "GEDI02_A_2020146180335_O08222_02_T03349_02_003_01_V002"
V2_B = "GEDI02_B_2020146180335_O08222_02_T03349_02_003_01_V002"

BEAMS = (
    "BEAM0000", "BEAM0001", "BEAM0010", "BEAM0011", "BEAM0101", "BEAM0110", "BEAM1000", "BEAM1011",
)  # fmt: skip
FULL = {"BEAM0101", "BEAM0110", "BEAM1000", "BEAM1011"}


def numbers_of(name, beam, count):
    """Shot numbers as the mission gives them: OOOOO BB RR G NNNNNNNN."""
    orbit = int(name.split("_O")[1][:5])
    start = orbit * 10**13 + BEAMS.index(beam) * 10**11 + 2 * 10**8
    return np.uint64(start) + np.arange(count, dtype=np.uint64)


def shots_of(name, beam, count):
    """Columns of L2A, metres, by path below the beam; values differ by shot and beam."""
    number = BEAMS.index(beam)
    index = np.arange(count)
    top = 5.0 + number + index % 20
    low = 700.0 + index % 50
    return {
        "shot_number": numbers_of(name, beam, count),
        "delta_time": 40e6 + index * 0.00826,
        "lon_lowestmode": 10.0 + number * 0.01 + index * 1e-5,
        "lat_lowestmode": 50.0 + index * 1e-5,
        "elev_lowestmode": low.astype(np.float32),
        "elev_highestreturn": (low + top).astype(np.float32),
        "digital_elevation_model": (low + 3).astype(np.float32),
        "sensitivity": np.where(index % 4 == 0, 0.93, 0.97).astype(np.float32),
        "quality_flag": (index % 5 != 0).astype(np.uint8),
        "degrade_flag": (index % 7 == 0).astype(np.uint8) * 3,
        "solar_elevation": np.where(index % 3 == 0, 20, -20).astype(np.float32),
        "rh": (top[:, None] * np.arange(101) / 100 - 1 + np.arange(101) / 100).astype(np.float32),
        "land_cover_data/leaf_off_flag": np.select([index % 9 == 0, index % 9 == 1], [1, 255], 0)
        .astype(np.uint8),
    }  # fmt: skip


def profile_of(name, beam, count):
    """Columns of L2B, by path below the beam; rh100 in centimetres."""
    plain = shots_of(name, beam, count)
    index = np.arange(count)
    moved = {
        f"geolocation/{key}": plain[key]
        for key in (
            "lon_lowestmode", "lat_lowestmode", "elev_lowestmode", "elev_highestreturn",
            "digital_elevation_model", "degrade_flag", "solar_elevation",
        )
    }  # fmt: skip
    return moved | {
        "shot_number": plain["shot_number"],
        "delta_time": plain["delta_time"],
        "sensitivity": plain["sensitivity"],
        "l2a_quality_flag": plain["quality_flag"],
        "l2b_quality_flag": (index % 6 != 0).astype(np.uint8),
        "rh100": np.round(plain["rh"][:, 100] * 100).astype(np.int16),
        "cover": np.where(index % 8 == 0, -9999, index / count).astype(np.float32),
        "pai": (index / count * 4).astype(np.float32),
    }


UNITS = {"rh": "m", "rh100": "cm", "elev_lowestmode": "m", "elev_highestreturn": "m"}


def write_granule(  # noqa: PLR0913 - choices of a test
    path, *, name=V2_A, count=20, beams=BEAMS, units=UNITS, change=None, stated=True, **options
):
    """Write a granule; its columns are those of its name's product.

    Args:
        path: the file.
        name: as the archive calls it.
        count: shots of a beam.
        beams: names of the groups.
        units: units by column; {} for files that state none, as version 1.
        change: called with the columns of each beam and its name before they are written; a value
            of None takes the column away.
        stated: whether METADATA tells the name.
        options: of the datasets.
    """
    h5py = __import__("h5py")
    columns_of = shots_of if "02_A" in name else profile_of
    with h5py.File(path, "w") as file:
        file.attrs["short_name"] = np.array(["GEDI_L2A" if "02_A" in name else "GEDI_L2B"], object)
        about = file.create_group("METADATA/DatasetIdentification")
        if stated:
            about.attrs["fileName"] = np.array([f"{name}.h5"], object)
            about.attrs["VersionID"] = np.array(["002" if "V002" in name else "01"], object)
        for beam in beams:
            group = file.create_group(beam)
            said = "Full power beam" if beam in FULL else "Coverage beam"
            group.attrs["description"] = np.array([said], object)
            columns = columns_of(name, beam, count)
            if change:
                change(columns, beam)
            for key, values in columns.items():
                if values is None:
                    continue
                dataset = group.create_dataset(key, data=values, **options)
                if unit := units.get(key.rpartition("/")[2]):
                    dataset.attrs["units"] = np.array([unit], object)
    return path


def zipped(path, *files, names=None):
    """Write files into an archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, name in zip(files, names or [each.name for each in files], strict=True):
            archive.write(file, name)
    return path
