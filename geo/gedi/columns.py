"""The columns of footprints: what they are called here, and where granules hold them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

L2A, L2B = "L2A", "L2B"
FLOAT, WHOLE = "f", "iu"

BEAMS = {
    "BEAM0000": False, "BEAM0001": False, "BEAM0010": False, "BEAM0011": False,
    "BEAM0101": True, "BEAM0110": True, "BEAM1000": True, "BEAM1011": True,
}  # fmt: skip
"""The beams, and whether they have full power where nothing else says so."""

RANKS = 101
"""Columns of rh: 0 to 100 percent of the returned energy."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table.

    Attributes:
        name: in the table.
        dtype: Arrow's type in the table.
        kinds: NumPy's letters of the kinds of numbers that granules may hold.
        places: path below the group of a beam, by product.
        height: whether it is a height or an elevation, whose unit is read from the file.
        unknown: values that stand for "not known".
    """

    name: str
    dtype: pa.DataType
    kinds: str
    places: dict[str, str]
    height: bool = False
    unknown: tuple[float, ...] = field(default=(-9999.0, -999999.0))


def _both(name: str, dtype: pa.DataType, kinds: str = FLOAT, *, height: bool = False) -> Column:
    """Return a column that L2A holds beside the shots and L2B in its group geolocation."""
    places = {L2A: name, L2B: f"geolocation/{name}"}
    return Column(name=name, dtype=dtype, kinds=kinds, places=places, height=height)


def _cover(name: str, dtype: pa.DataType, *unknown: float) -> Column:
    """Return a column of land cover, which both products hold."""
    place = f"land_cover_data/{name}"
    return Column(
        name=name, dtype=dtype, kinds="fiu", places={L2A: place, L2B: place},
        unknown=(-9999.0, -999999.0, *unknown),
    )  # fmt: skip


def _profile(name: str, dtype: pa.DataType, kinds: str = FLOAT) -> Column:
    """Return a column that L2B alone holds."""
    return Column(name=name, dtype=dtype, kinds=kinds, places={L2B: name})


SHOT_NUMBER, LONGITUDE, LATITUDE, SECONDS = (
    Column(name="shot_number", dtype=pa.uint64(), kinds="iu",
           places={L2A: "shot_number", L2B: "shot_number"}),
    _both("lon_lowestmode", pa.float64()),
    _both("lat_lowestmode", pa.float64()),
    Column(name="delta_time", dtype=pa.float64(), kinds=FLOAT,
           places={L2A: "delta_time", L2B: "delta_time"}),
)  # fmt: skip

LOWEST, HIGHEST = (
    _both("elev_lowestmode", pa.float32(), height=True),
    _both("elev_highestreturn", pa.float32(), height=True),
)

MEASURED = (
    LOWEST,
    HIGHEST,
    _both("digital_elevation_model", pa.float32(), height=True),
    _both("digital_elevation_model_srtm", pa.float32(), height=True),
    Column(name="sensitivity", dtype=pa.float32(), kinds=FLOAT,
           places={L2A: "sensitivity", L2B: "sensitivity"}),
    Column(name="quality_flag", dtype=pa.uint8(), kinds=WHOLE,
           places={L2A: "quality_flag", L2B: "l2a_quality_flag"}),
    _both("degrade_flag", pa.uint8(), WHOLE),
    _both("solar_elevation", pa.float32()),
    _both("solar_azimuth", pa.float32()),
    Column(name="surface_flag", dtype=pa.uint8(), kinds=WHOLE,
           places={L2A: "surface_flag", L2B: "surface_flag"}),
    Column(name="num_detectedmodes", dtype=pa.uint8(), kinds=WHOLE,
           places={L2A: "num_detectedmodes", L2B: "num_detectedmodes"}),
    Column(name="selected_algorithm", dtype=pa.uint8(), kinds=WHOLE,
           places={L2A: "selected_algorithm", L2B: "selected_l2a_algorithm"}),
    Column(name="rx_maxamp", dtype=pa.float32(), kinds="fiu",
           places={L2A: "rx_assess/rx_maxamp"}),
    Column(name="sd_corrected", dtype=pa.float32(), kinds="fiu",
           places={L2A: "rx_assess/sd_corrected"}),
    _cover("landsat_treecover", pa.float32()),
    _cover("modis_treecover", pa.float32()),
    _cover("leaf_off_flag", pa.uint8(), 255),
    _cover("landsat_water_persistence", pa.uint8(), 255),
    _cover("urban_proportion", pa.uint8(), 255),
    _cover("pft_class", pa.uint8(), 255),
)  # fmt: skip
"""Read of the product whose shots they are."""

PROFILE = (
    _profile("algorithmrun_flag", pa.uint8(), WHOLE),
    _profile("l2b_quality_flag", pa.uint8(), WHOLE),
    _profile("cover", pa.float32()),
    _profile("pai", pa.float32()),
    _profile("fhd_normal", pa.float32()),
    _profile("omega", pa.float32()),
    _profile("pgap_theta", pa.float32()),
)
"""Read of L2B, by itself or beside L2A."""


def schema_of(ranks: tuple[int, ...]) -> pa.Schema:
    """Return the schema of a table with these percentiles of relative height."""
    text = pa.string()
    head = [
        ("shot_number", pa.uint64(), False), ("beam", text, False),
        ("full_power", pa.bool_(), False), ("time", pa.timestamp("us", "UTC"), True),
        ("lon_lowestmode", pa.float64(), False), ("lat_lowestmode", pa.float64(), False),
    ]  # fmt: skip
    middle = [(column.name, column.dtype, True) for column in (*MEASURED, *PROFILE)]
    heights = [(f"rh{rank}", pa.float32(), True) for rank in ranks]
    tail = [
        ("product", text, False), ("version", pa.uint8(), True), ("granule", text, False),
        ("geometry", pa.binary(), False),
    ]  # fmt: skip
    fields = [*head, *middle, *heights, *tail]
    return pa.schema([pa.field(name, kind, nullable) for name, kind, nullable in fields])
