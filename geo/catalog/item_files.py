"""Items on disk: an ItemCollection as JSON, or stac-geoparquet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from geo.catalog.errors import CatalogError
from geo.errors import OutputError
from geo.outputs import refuse_missing_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

JSON_SUFFIXES = {".json", ".geojson"}
PARQUET_SUFFIXES = {".parquet", ".geoparquet"}


def refuse_items_file(path: Path) -> None:
    """Refuse a name that is none of a file of items, before anything is asked or read.

    Raises:
        OutputError: its ending is unknown, or its folder is missing.
        CatalogError: what writes it is not installed.
    """
    if path.suffix.lower() not in JSON_SUFFIXES | PARQUET_SUFFIXES:
        msg = f"output {path}: items are written as .json (ItemCollection) or .parquet"
        raise OutputError(msg)
    refuse_missing_folder(path)
    if path.suffix.lower() in PARQUET_SUFFIXES:
        _writer()


def write_items(items: Sequence[dict[str, Any]], path: Path, suffix: str) -> None:
    """Write items.

    Args:
        items: STAC items as JSON values, at least one.
        path: where; a temporary path, whose own ending says nothing.
        suffix: ending of the final name: .json, .geojson, .parquet or .geoparquet.

    Raises:
        CatalogError: the items fit no table, or hold numbers that JSON lacks.
    """
    if suffix.lower() in PARQUET_SUFFIXES:
        _write_parquet(items, path)
        return
    collection = {"type": "FeatureCollection", "features": list(items)}
    try:
        text = json.dumps(collection, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        msg = f"items hold numbers that JSON lacks ({error}): write them as .parquet instead"
        raise CatalogError(msg) from error
    path.write_text(text + "\n", encoding="utf-8")


def _write_parquet(items: Sequence[dict[str, Any]], path: Path) -> None:
    """Write items as stac-geoparquet."""
    arrow = _writer()
    try:
        arrow.to_parquet(arrow.parse_stac_items_to_arrow(items), path)
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        msg = f"these items do not fit one table ({reason}): write them as .json instead"
        raise CatalogError(msg) from error


def _writer() -> Any:  # noqa: ANN401 - a module
    """Return what writes stac-geoparquet."""
    try:
        import stac_geoparquet.arrow as arrow  # noqa: PLC0415, PLR0402 - slow; JSON needs none of it
    except ImportError as error:
        msg = f"stac-geoparquet needs {error.name}: pip install stac-geoparquet, or write .json"
        raise CatalogError(msg) from error
    return arrow


def picture_of(path: Path) -> Path:
    """Return where the picture beside a file of items stands."""
    return path.with_suffix(".preview.png")
