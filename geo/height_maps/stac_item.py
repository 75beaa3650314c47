"""A height map told to a catalogue: where, when, how high, from what, by which model or method."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
import rasterio
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import (
    DataType,
    NoDataStrings,
    RasterBand,
    RasterExtension,
    Statistics,
)
from pystac.extensions.render import Render, RenderExtension
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError

from geo.errors import MapFileError
from geo.footprint import grid_footprint
from geo.grid import Grid
from geo.height_maps.item_properties import finite, level_of, moment_of, properties_of
from geo.height_maps.style import RAMP_NAME
from geo.hrefs import media_type, relative_href, source_href
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from geo.height_maps.map_facts import (
        HeightMapFacts,
        HeightSummary,
    )

MAP_ASSET = "canopy_height"
PREVIEW_ASSET = "preview"
STYLE_ASSET = "style"
DENSITY_ASSET = "point_density"
DATES_ASSET = "acquired"
NO_DATE = -2147483648
"""What stands in a layer of dates where a pixel has none."""
VIEW_SCHEMA = "https://stac-extensions.github.io/view/v1.0.0/schema.json"
PROCESSING_SCHEMA = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
_SHA256_MULTIHASH = "1220"  # the function sha2-256, then the length of its digest, 32 bytes


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """What the file of a map tells; metres = stored value * scale + offset."""

    grid: Grid
    data_type: str
    nodata: float | None
    scale: float
    offset: float

    def stored(self, height_m: float) -> float:
        """Return the number that stands in the file for a height in metres."""
        return (height_m - self.offset) / self.scale


def describe_height_map(
    cog_path: str | Path, facts: HeightMapFacts, item_path: str | Path
) -> pystac.Item:
    """Describe a finished height map as a STAC 1.1 item.

    Hrefs of local files are relative to the item, so that map, item and companions can move
    together. Numbers in `bands`, `raster:bands` and `renders` speak of the stored values, as
    readers of these fields expect: nodata, statistics and rescaling of an int16 map are in
    centimetres, and `scale` turns them into metres. `canopy:height_m` is in metres whatever the
    encoding. A map without CRS, or on a grid with no way to the globe, has a null geometry and no
    bbox, which STAC allows for what cannot be located.

    Args:
        cog_path: The map; opened for its grid, and read through once for its checksum.
        facts: What the file does not tell.
        item_path: Where the item will stand; it need not exist.

    Returns:
        The item, with `item_path` as its self href.

    Raises:
        MapFileError: The map or a companion is missing or unreadable.
    """
    layout = _read_layout(Path(cog_path))
    home = Path(item_path).absolute()
    footprint = grid_footprint(layout.grid)
    item = pystac.Item(
        id=facts.item_id,
        geometry=footprint.geometry if footprint else None,
        bbox=footprint.bbox if footprint else None,
        datetime=moment_of(facts),
        properties=properties_of(facts),
        stac_extensions=[PROCESSING_SCHEMA],
    )
    item.set_self_href(home.as_posix())
    _add_projection(item, layout)
    _add_map(item, Path(cog_path), layout, facts)
    _add_companions(item, facts)
    _add_view(item, facts)
    _add_render(item, layout, facts)
    _add_links(item, facts)
    return item


def write_item(item: pystac.Item, path: str | Path) -> Path:
    """Write an item as JSON, whole or not at all.

    The self link is left out: it would pin the item to one folder of one machine.

    Args:
        item: The item.
        path: Where it shall stand; an older file is replaced.

    Returns:
        `path`.

    Raises:
        MapFileError: The file cannot be written.
    """
    record = item.to_dict(include_self_link=False, transform_hrefs=False)
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as part:
        part.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def multihash_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as a hexadecimal multihash, read in small pieces."""
    with path.open("rb") as file:
        return _SHA256_MULTIHASH + hashlib.file_digest(file, "sha256").hexdigest()


def _read_layout(path: Path) -> _Layout:
    """Return the grid and the encoding of a map."""
    try:
        with rasterio.open(path) as source:
            return _Layout(
                grid=Grid(
                    crs=source.crs,
                    transform=source.transform,
                    height=source.height,
                    width=source.width,
                ),
                data_type=source.dtypes[0],
                nodata=source.nodata,
                scale=source.scales[0],
                offset=source.offsets[0],
            )
    except RasterioIOError as error:
        msg = f"cannot read {path}: expected a finished height map, write it before its item"
        raise MapFileError(msg) from error


def _add_map(item: pystac.Item, path: Path, layout: _Layout, facts: HeightMapFacts) -> None:
    """Add the map with its bands, and the model that made it if one did."""
    asset = _add_asset(item, MAP_ASSET, path, facts)
    asset.media_type, asset.roles = pystac.MediaType.COG, ["data"]
    asset.title = "Canopy height"
    # As the MLM extension asks of what a model made (its best practices, processing extension).
    asset.extra_fields["processing:level"] = level_of(facts)
    if facts.model:
        asset.extra_fields["mlm:name"] = facts.model.name
    _add_bands(asset, layout, facts)


def _add_companions(item: pystac.Item, facts: HeightMapFacts) -> None:
    """Add preview, style, point density and dates, where they were written."""
    if facts.preview is not None:
        asset = _add_asset(item, PREVIEW_ASSET, facts.preview, facts)
        asset.media_type, asset.roles = pystac.MediaType.PNG, ["overview", "thumbnail"]
        asset.title = "Image and map with a legend"
        # A page for people, not a grid: what the item says of the map's grid must not pass to it.
        asset.extra_fields |= {"proj:code": None, "proj:shape": _png_shape(facts.preview)}
    if facts.style is not None:
        asset = _add_asset(item, STYLE_ASSET, facts.style, facts)
        asset.media_type, asset.roles = pystac.MediaType.XML, ["style", "metadata"]
        asset.title = "QGIS style"
    if facts.density is not None:
        asset = _add_asset(item, DENSITY_ASSET, facts.density, facts)
        asset.media_type, asset.roles = pystac.MediaType.COG, ["data"]
        asset.title = "Points per square metre"
        band = {"name": "density", "description": "Lidar points per square metre"}
        asset.extra_fields["bands"] = [band | {"data_type": "float32", "unit": "m-2"}]
    if facts.dates is not None:
        asset = _add_asset(item, DATES_ASSET, facts.dates, facts)
        asset.media_type, asset.roles = pystac.MediaType.COG, ["data", "date"]
        asset.title = "Day on which the image was taken"
        band = {"name": "acquired", "description": "Days since 1970-01-01 of the pixel's image"}
        asset.extra_fields["bands"] = [
            band | {"data_type": "int32", "unit": "d", "nodata": NO_DATE}
        ]


def _add_asset(item: pystac.Item, key: str, path: Path, facts: HeightMapFacts) -> pystac.Asset:
    """Add a local file with its size and checksum and return its asset."""
    folder = Path(item.self_href).parent
    home = folder / path.name if path.parent == facts.staged_in else path
    try:
        size, checksum = path.stat().st_size, multihash_sha256(path)
    except OSError as error:
        msg = f"cannot read {path} ({error.strerror}): expected a finished file, write it first"
        raise MapFileError(msg) from error
    asset = pystac.Asset(relative_href(home, folder))
    item.add_asset(key, asset)
    FileExtension.ext(asset, add_if_missing=True).apply(size=size, checksum=checksum)
    return asset


def _png_shape(path: Path) -> list[int]:
    """Return rows and columns of a PNG, from the first chunk of the file."""
    with path.open("rb") as file:
        width, height = struct.unpack(">II", file.read(24)[16:])
    return [height, width]


def _add_projection(item: pystac.Item, layout: _Layout) -> None:
    """Add grid and CRS: a CRS without a code is spelled out, and none at all has a null code."""
    grid = layout.grid
    code = _authority_code(grid.crs)
    unnamed = grid.crs if code is None else None
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=code,
        wkt2=unnamed.to_wkt(version="WKT2_2019") if unnamed else None,
        shape=list(grid.shape),
        transform=list(grid.transform)[:6],
        bbox=list(grid.bounds),
    )


def _authority_code(crs: CRS | None) -> str | None:
    """Return a code such as EPSG:32617 where it stands for exactly this CRS, else None."""
    authority = crs.to_authority() if crs else None
    if authority is None or CRS.from_authority(*authority) != crs:
        return None
    return ":".join(authority)


def _add_bands(asset: pystac.Asset, layout: _Layout, facts: HeightMapFacts) -> None:
    """Describe the bands in `bands` of STAC 1.1 and again in `raster:bands`.

    Newer readers look for the first and older ones for the second, which alone holds scale and
    offset here. Version 1.1 of the raster extension allows both; version 2 would not.
    """
    told = [("height", "Canopy height above ground", facts.heights)]
    if facts.interval:
        level = f"{100 * facts.interval.level:g} % interval of the height"
        told += [
            ("lower", f"Lower end of the {level}", facts.interval.lower),
            ("upper", f"Upper end of the {level}", facts.interval.upper),
        ]
    asset.extra_fields["bands"] = [_band(*band, layout) for band in told]
    bands = [_raster_band(heights, layout, facts.pixel_m) for _, _, heights in told]
    RasterExtension.ext(asset, add_if_missing=True).apply(bands)


def _band(name: str, description: str, heights: HeightSummary, layout: _Layout) -> dict[str, Any]:
    """Return a band as STAC 1.1 has it."""
    band: dict[str, Any] = {
        "name": name,
        "description": description,
        "data_type": layout.data_type,
        "unit": "m",
        "statistics": _stored_statistics(heights, layout),
    }
    if layout.nodata is not None:
        band["nodata"] = _json_number(layout.nodata)
    return band


def _raster_band(heights: HeightSummary, layout: _Layout, pixel_m: float) -> RasterBand:
    """Return a band as the raster extension has it."""
    return RasterBand.create(
        data_type=DataType(layout.data_type),
        unit="m",
        nodata=_raster_nodata(layout.nodata),
        statistics=Statistics(dict(_stored_statistics(heights, layout))),
        spatial_resolution=pixel_m,
        scale=layout.scale,
        offset=layout.offset,
    )


def _stored_statistics(heights: HeightSummary, layout: _Layout) -> dict[str, float]:
    """Return statistics of the stored values; with no valid pixel just the share of them."""
    return finite(
        {
            "minimum": layout.stored(heights.minimum_m),
            "maximum": layout.stored(heights.maximum_m),
            "mean": layout.stored(heights.mean_m),
            "stddev": heights.stddev_m / layout.scale,
            "valid_percent": heights.valid_percent,
        }
    )


def _add_render(item: pystac.Item, layout: _Layout, facts: HeightMapFacts) -> None:
    """Add how to draw the map: the style's ramp up to its maximum, in stored values."""
    limits = [layout.stored(height) for height in (0.0, facts.display_maximum_m)]
    render = Render.create(
        assets=[MAP_ASSET],
        title="Canopy height",
        rescale=[limits],
        colormap_name=RAMP_NAME,
        nodata=None if layout.nodata is None else _json_number(layout.nodata),
    )
    RenderExtension.ext(item, add_if_missing=True).apply({MAP_ASSET: render})


def _add_view(item: pystac.Item, facts: HeightMapFacts) -> None:
    """Add how the imagery saw the ground, as far as that is known."""
    if facts.view is None:
        return
    angles = {
        "view:sun_elevation": facts.view.sun_elevation_deg,
        "view:off_nadir": facts.view.off_nadir_deg,
    }
    known = {name: round(angle, 2) for name, angle in angles.items() if angle is not None}
    item.properties |= known
    if known:
        item.stac_extensions.append(VIEW_SCHEMA)
    if facts.view.gsd_m is not None:
        item.properties["gsd"] = round(facts.view.gsd_m, 4)


def _add_links(item: pystac.Item, facts: HeightMapFacts) -> None:
    """Link the sources and then the model, all by `derived_from`; the model's has `mlm:name`.

    So says the MLM extension, version 1.5, under relation types. Its schema is not listed in
    `stac_extensions`: it would demand the inputs and outputs of a model, and the item is none.
    """
    title = facts.method.source_title if facts.method else "Source imagery"
    for source in facts.sources:
        _add_origin(item, source, title, {})
    model = facts.model
    if model is not None and model.href is not None:
        fields = {"mlm:name": model.name, "processing:level": "L4"}
        _add_origin(item, model.href, f"Model {model.name} {model.version}", fields)


def _add_origin(item: pystac.Item, source: str | Path, title: str, fields: dict[str, Any]) -> None:
    """Add a link to something that the map was made from."""
    href = source_href(source, Path(item.self_href).parent)
    kind = media_type(href)
    link = pystac.Link(pystac.RelType.DERIVED_FROM, href, kind, title, extra_fields=fields)
    item.add_link(link)


def _json_number(number: float) -> float | str:
    """Return a nodata value as JSON can hold it: NaN is a word there."""
    return "nan" if math.isnan(number) else number


def _raster_nodata(number: float | None) -> float | NoDataStrings | None:
    """Return a nodata value in the words of the raster extension."""
    return NoDataStrings.NAN if number is not None and math.isnan(number) else number
