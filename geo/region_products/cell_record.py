"""What of a cell's STAC item the products over all cells need: little, so that many fit."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any

from geo.errors import MapFileError
from geo.height_maps.stac_item import MAP_ASSET

ITEM_NAME = "item.json"


@dataclass(frozen=True, kw_only=True)
class BandRecord:
    """A band of a cell's heights, as its file has it.

    Attributes:
        data_type: as STAC names it: float32, int16, uint8.
        nodata: stored value without a height, ``nan`` or a number, as text: NaN equals nothing, not
            even that of the next cell; None where every pixel has one.
        scale: metres of one stored unit.
        offset: metres of a stored 0.
        description: what it holds.
        unit: of the value that scale and offset give.
    """

    data_type: str
    nodata: str | None
    scale: float
    offset: float
    description: str
    unit: str


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """A cell that stands.

    Attributes:
        id: of its item.
        code: of its CRS, EPSG:32617.
        shape: rows and columns [px].
        origin: x and y of its upper left corner [m].
        pixel: width and height of a pixel [m], both positive.
        bbox: west, south, east, north [degrees]; west > east across the antimeridian.
        times: start and end of its acquisition, ISO 8601.
        heights: name of its file of heights in the store, cells/ID/height.tif.
        bands: of that file.
    """

    id: str
    code: str
    shape: tuple[int, int]
    origin: tuple[float, float]
    pixel: tuple[float, float]
    bbox: tuple[float, float, float, float]
    times: tuple[str, str]
    heights: str
    bands: tuple[BandRecord, ...]


def folder_of(item_id: str) -> str:
    """Return the name of a cell's folder in the store."""
    return f"cells/{item_id}"


def record_of(item: dict[str, Any]) -> CellRecord:
    """Return what the joint products need of an item.

    Args:
        item: of a cell, as JSON values; north-up, its heights in the asset ``canopy_height``.

    Raises:
        MapFileError: it is no item of a cell.
    """
    try:
        properties, asset = item["properties"], item["assets"][MAP_ASSET]
        (a, b, x, d, e, y), (rows, columns) = properties["proj:transform"][:6], properties[
            "proj:shape"
        ]  # fmt: skip
        west, south, east, north = item["bbox"]
        if b or d or not a > 0 > e:
            raise ValueError  # noqa: TRY301 - told below, like all that is no item of a cell
        return CellRecord(
            id=item["id"],
            code=properties["proj:code"],
            shape=(rows, columns),
            origin=(x, y),
            pixel=(a, -e),
            bbox=(west, south, east, north),
            times=_times(properties),
            heights=from_root(asset["href"], item["id"]),
            bands=_bands(asset),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        name = f"{folder_of(str(item.get('id')))}/{ITEM_NAME}"
        msg = f"{name} is not that of a cell ({error!r}): delete it and run the same command again"
        raise MapFileError(msg) from error


def refuse_different(first: CellRecord, cell: CellRecord) -> None:
    """Refuse to join cells that are not of one kind.

    Raises:
        MapFileError: their pixels or their bands differ.
    """
    if cell.pixel != first.pixel or cell.bands != first.bands:
        msg = (
            f"cells {first.id} and {cell.id} differ in their pixels or bands: expected cells of "
            "one command, choose another output or make them all anew"
        )
        raise MapFileError(msg)


def from_root(href: str, item_id: str) -> str:
    """Return an href of a cell's item as seen from the root of the store.

    Args:
        href: as it stands in the item; one that is not relative stays as it is.
        item_id: of the item.

    Returns:
        Such as ``cells/ID/height.tif``, or ``../other/image.tif`` for what lies beside the store.
    """
    if "://" in href or href.startswith("/"):
        return href
    return posixpath.normpath(posixpath.join(folder_of(item_id), href))


def _times(properties: dict[str, Any]) -> tuple[str, str]:
    """Return start and end of an item's acquisition."""
    start, end = properties.get("start_datetime"), properties.get("end_datetime")
    if start and end:
        return start, end
    moment: str = properties["datetime"]
    return moment, moment


def _bands(asset: dict[str, Any]) -> tuple[BandRecord, ...]:
    """Return the bands of an asset, told by STAC 1.1 and the raster extension together."""
    told = asset["bands"]
    rasters = asset.get("raster:bands") or [{} for _ in told]
    return tuple(_band(raster | band) for band, raster in zip(told, rasters, strict=True))


def _band(told: dict[str, Any]) -> BandRecord:
    """Return a band."""
    nodata = told.get("nodata")
    return BandRecord(
        data_type=told["data_type"],
        nodata=None if nodata is None else f"{float(nodata):.17g}",
        scale=float(told.get("scale", told.get("raster:scale", 1.0))),
        offset=float(told.get("offset", told.get("raster:offset", 0.0))),
        description=told.get("description") or told.get("name") or "",
        unit=told.get("unit") or "",
    )
