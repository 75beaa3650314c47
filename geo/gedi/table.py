"""Footprints as GeoParquet, written in groups of rows: points in EPSG:4326."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyproj import CRS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

EPOCH = np.datetime64("2018-01-01T00:00:00", "us")
"""Where delta_time counts from. No second was leaped since, so it is UTC to the second."""

LATEST_S = 3.2e9
"""Beyond it, delta_time is no time of a mission that flies today (year 2119) [s]."""

CRS_NAME = "EPSG:4326"

_POINT = np.dtype([("order", "u1"), ("kind", "<u4"), ("x", "<f8"), ("y", "<f8")])
"""A point in well-known binary: 21 bytes."""


def with_geometry_facts(schema: pa.Schema, facts: Mapping[str, Any]) -> pa.Schema:
    """Return a schema that says what GeoParquet 1.1 asks for.

    Args:
        schema: with a column ``geometry`` of well-known binary.
        facts: what else is said of the table, as JSON values.
    """
    column = {
        "encoding": "WKB", "geometry_types": ["Point"],
        "crs": CRS.from_user_input(CRS_NAME).to_json_dict(),
    }  # fmt: skip
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    return schema.with_metadata({"geo": json.dumps(geo), "canopy:footprints": json.dumps(facts)})


def as_table(shots: Mapping[str, NDArray[Any]], schema: pa.Schema, texts: Mapping[str, Any]) -> Any:  # noqa: ANN401 - pyarrow is published without types
    """Return shots as a table; columns that they lack are null.

    Args:
        shots: arrays (n,) by name, or one value for all; NaN or masked where unknown; delta_time in
            seconds since 2018.
        schema: of the table.
        texts: values that all shots share, by name of the column.
    """
    count = len(shots["shot_number"])
    columns = [_column(field, shots, texts, count) for field in schema]
    return pa.table(columns, schema=schema)


def _column(
    field: pa.Field, shots: Mapping[str, NDArray[Any]], texts: Mapping[str, Any], count: int
) -> pa.Array:
    """Return one column."""
    if field.name == "geometry":
        return points_as_wkb(shots["lon_lowestmode"], shots["lat_lowestmode"])
    if field.name == "time":
        return times(shots["delta_time"]) if "delta_time" in shots else pa.nulls(count, field.type)
    if field.name in texts:
        return pa.repeat(pa.scalar(texts[field.name], field.type), count)
    if field.name not in shots:
        return pa.nulls(count, field.type)
    values = shots[field.name]
    if values.ndim == 0:
        return pa.repeat(pa.scalar(values.item(), field.type), count)
    mask = np.ma.getmaskarray(values)
    if values.dtype.kind == "f":
        mask = mask | np.isnan(np.ma.getdata(values))
    data = np.ma.getdata(values)
    return _narrowed(np.where(mask, 0, data) if mask.any() else data, mask, field.type)


def _narrowed(data: NDArray[Any], mask: NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    """Return numbers in the type of their column; what does not fit in whole numbers is null."""
    wanted = np.dtype(kind.to_pandas_dtype())
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        mask = mask | (data < limits.min) | (data > limits.max)
        data = np.where(mask, 0, data)
    return pa.array(data.astype(wanted), kind, mask=mask)


def times(seconds: NDArray[np.float64]) -> pa.Array:
    """Return moments of seconds since 2018 (n,), null where there is none."""
    unknown = ~((seconds >= 0) & (seconds < LATEST_S))
    whole = np.round(np.where(unknown, 0.0, seconds) * 1e6).astype("timedelta64[us]")
    return pa.array(EPOCH + whole, pa.timestamp("us"), mask=unknown).cast(pa.timestamp("us", "UTC"))


def points_as_wkb(x: NDArray[np.float64], y: NDArray[np.float64]) -> pa.Array:
    """Return points as well-known binary (n,)."""
    points = np.empty(len(x), _POINT)
    points["order"], points["kind"], points["x"], points["y"] = 1, 1, x, y
    offsets = np.arange(len(x) + 1, dtype=np.int32) * _POINT.itemsize
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(points)]
    return pa.Array.from_buffers(pa.binary(), len(x), buffers)
