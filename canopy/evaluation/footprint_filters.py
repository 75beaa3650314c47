"""The filters of CHMv2's validation on a table of footprints, as far as it has their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from geo.gedi.filters import PRESETS, failures

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROTOCOL = PRESETS["strict"]

NOT_OF_SHOTS = "angles of view and sun, cloud, edges of tree cover, gain and loss since the image"
"""What the protocol filters too, and no table of shots tells."""

POWERFUL = {"1", "1.0", "true", "power", "full", "full power"}
"""How tables say that a beam has full power, in small letters."""


def protocol_filters(table: Any) -> tuple[dict[str, NDArray[np.bool_]], list[str], list[str]]:  # noqa: ANN401 - geopandas is published without types
    """Return what the filters keep, and which were applied.

    Args:
        table: footprints, with columns as `canopy gedi ingest` and `canopy simulate` write them, in
            any case of letters; ``is_powerbeam`` is taken for ``full_power``.

    Returns:
        What is kept (rows,) by the reason why others are left out; the filters applied, in words;
        those that could not be, with the columns that the table lacks.
    """
    columns = columns_of(table)
    kept, applied, lacking = {}, [], []
    for each in PROTOCOL:
        missing = [name for name in each.columns if name not in columns]
        if missing:
            lacking.append(f"{each.keeps} (no {', '.join(missing)})")
            continue
        kept[each.removes] = failures([each], columns, len(table)) == 0
        applied.append(each.keeps)
    return kept, applied, lacking


def columns_of(table: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401 - see protocol_filters
    """Return the columns that filters look at, as numbers."""
    names = {str(name).lower(): name for name in reversed(table.columns)}
    wanted = {name for each in PROTOCOL for name in each.columns} & set(names)
    found = {name: as_numbers(table[names[name]]) for name in wanted - {"full_power"}}
    power = next((names[name] for name in ("full_power", "is_powerbeam") if name in names), None)
    if power is not None:
        said = table[power].astype(str).str.strip().str.lower()
        found["full_power"] = said.isin(POWERFUL).to_numpy(bool)
    return found


def as_numbers(column: Any) -> NDArray[Any]:  # noqa: ANN401 - see protocol_filters
    """Return a column as floating-point numbers, NaN where it has none; float32 stays float32."""
    values = column.to_numpy()
    if values.dtype.kind == "f":
        return np.asarray(values)
    try:
        return np.asarray(column.to_numpy(dtype=float, na_value=np.nan))
    except (TypeError, ValueError):
        return np.full(len(column), np.nan)
