"""A virtual raster over all cells of a CRS, written from what their items say."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from rasterio.crs import CRS

from geo.errors import MapFileError
from geo.height_maps.cog import BLOCK_PX
from geo.height_maps.raw_raster import GDAL_TYPES
from geo.region_products.cell_record import refuse_different

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geo.region_products.cell_record import BandRecord, CellRecord

MOST_SIDE_PX = 2**31 - 1
"""Longest side of a raster of GDAL."""


def mosaics(cells: Iterable[CellRecord]) -> dict[str, bytes]:
    """Return a virtual raster for each CRS, of files that are named from the store's root.

    No file is opened. Between cells is nodata. Overviews are those of the cells: GDAL asks each for
    its own when it reads the mosaic at less than full size.

    Args:
        cells: those that stand; pixels of one size, on one grid for each CRS.

    Returns:
        Files by name: ``mosaic.vrt``; where there are several CRSs one each, ``mosaic_32617.vrt``.

    Raises:
        MapFileError: cells of one CRS fit on no common grid, or their bands differ.
    """
    by_code: dict[str, list[CellRecord]] = defaultdict(list)
    for cell in cells:
        by_code[cell.code].append(cell)
    alone = len(by_code) == 1
    return {
        "mosaic.vrt" if alone else f"mosaic_{code.partition(':')[2]}.vrt": mosaic(group)
        for code, group in sorted(by_code.items())
    }


def mosaic(cells: Sequence[CellRecord]) -> bytes:
    """Return a virtual raster of cells of one CRS, as XML for GDAL.

    Args:
        cells: at least one.

    Raises:
        MapFileError: they fit on no common grid, or their bands differ.
    """
    first = cells[0]
    for cell in cells:
        refuse_different(first, cell)
    across, down = first.pixel
    west = min(cell.origin[0] for cell in cells)
    north = max(cell.origin[1] for cell in cells)
    places = [_place(cell, west, north) for cell in cells]
    columns = max(column + cell.shape[1] for cell, (_, column) in zip(cells, places, strict=True))
    rows = max(row + cell.shape[0] for cell, (row, _) in zip(cells, places, strict=True))
    if max(rows, columns) > MOST_SIDE_PX:
        msg = f"a mosaic of {rows} x {columns} px is more than GDAL reads: give a smaller area"
        raise MapFileError(msg)
    root = ET.Element("VRTDataset", rasterXSize=str(columns), rasterYSize=str(rows))
    axes = {"dataAxisToSRSAxisMapping": "1,2"}
    ET.SubElement(root, "SRS", axes).text = CRS.from_user_input(first.code).to_wkt()
    transform = (west, across, 0.0, north, 0.0, -down)
    ET.SubElement(root, "GeoTransform").text = ", ".join(repr(float(each)) for each in transform)
    for number, band in enumerate(first.bands, start=1):
        element = _add_band(root, number, band)
        for cell, place in zip(cells, places, strict=True):
            _add_source(element, number, band, cell, place)
    ET.indent(root, space=" ")
    return ET.tostring(root, encoding="unicode").encode()


def _place(cell: CellRecord, west: float, north: float) -> tuple[int, int]:
    """Return row and column of a cell's upper left pixel in a mosaic."""
    column = (cell.origin[0] - west) / cell.pixel[0]
    row = (north - cell.origin[1]) / cell.pixel[1]
    if max(abs(column - round(column)), abs(row - round(row))) > 0.01:  # noqa: PLR2004 - of a pixel
        msg = f"cell {cell.id} lies off the grid of the others: delete it and make it anew"
        raise MapFileError(msg)
    return round(row), round(column)


def _add_band(root: ET.Element, number: int, band: BandRecord) -> ET.Element:
    """Add a band without pixels."""
    kind = {"dataType": GDAL_TYPES[band.data_type], "band": str(number)}
    element = ET.SubElement(root, "VRTRasterBand", kind)
    facts = {"Description": band.description, "UnitType": band.unit}
    if band.nodata is not None:
        facts["NoDataValue"] = band.nodata
    facts |= {"ColorInterp": "Gray" if number == 1 else "Undefined"}
    if (band.scale, band.offset) != (1.0, 0.0):
        facts |= {"Scale": repr(band.scale), "Offset": repr(band.offset)}
    for name, text in facts.items():
        ET.SubElement(element, name).text = text
    return element


def _add_source(
    parent: ET.Element, number: int, band: BandRecord, cell: CellRecord, place: tuple[int, int]
) -> None:
    """Add a cell to a band."""
    (rows, columns), (row, column) = cell.shape, place
    source = ET.SubElement(parent, "SimpleSource")
    relative = "0" if "://" in cell.heights or cell.heights.startswith("/") else "1"
    # Not shared: GDAL then opens the file for each thread, and threads read at once.
    name = ET.SubElement(source, "SourceFilename", relativeToVRT=relative, shared="0")
    name.text = cell.heights
    ET.SubElement(source, "SourceBand").text = str(number)
    # With these GDAL opens a cell when one of its pixels is asked for, and not before.
    ET.SubElement(
        source,
        "SourceProperties",
        RasterXSize=str(columns), RasterYSize=str(rows), DataType=GDAL_TYPES[band.data_type],
        BlockXSize=str(BLOCK_PX), BlockYSize=str(BLOCK_PX),
    )  # fmt: skip
    size = {"xSize": str(columns), "ySize": str(rows)}
    ET.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0"} | size)
    ET.SubElement(source, "DstRect", {"xOff": str(column), "yOff": str(row)} | size)
