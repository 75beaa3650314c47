"""Images from what a user names: STAC items, catalogs and tables of them, or one raster."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
from shapely.geometry import shape

from geo.acquisition import acquisition_from_tags
from geo.catalog.colour_assets import COLOURS, find_colours
from geo.catalog.errors import CatalogError
from geo.catalog.search import CLOUD, footprint
from geo.catalog.signing import needs_signing
from geo.catalog.vetting import vetted
from geo.footprint import grid_footprint
from geo.hrefs import source_href
from geo.imagery.documents import CatalogDocuments
from geo.imagery.errors import NoImagesError
from geo.imagery.image import ColourSource, Image
from geo.scene import is_remote, open_scene

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from geo.catalog.colour_assets import Band, ColourAssets

    Asset = str | Sequence[str] | None
    Json = dict[str, Any]

NOTHING_MORE = 8
"""Reasons that one message lists."""

# What a property was called in older versions of STAC follows what it is called now.
GSD = ("gsd", "eo:gsd")
CLOUDS = (CLOUD,)
SUN_ELEVATION = ("view:sun_elevation", "eo:sun_elevation")
OFF_NADIR = ("view:off_nadir", "eo:off_nadir")
MOMENT = ("datetime",)
START, END = ("start_datetime", "dtr:start_datetime"), ("end_datetime", "dtr:end_datetime")


def open_images(
    source: str | Path,
    *,
    asset: Asset = None,
    allow_local: bool = False,
    skipped: list[str] | None = None,
) -> list[Image]:
    """Return the images of a source; no pixel is read.

    Args:
        source: a path or an http(s) URL of a STAC item, a collection of items, a catalog or a
            collection that is followed through its links, or a stac-geoparquet table, of STAC 0.8
            to 1.1; or a raster, also an s3 or gs URL.
        asset: name of the asset with all colours, or of three, of red, green and blue; found where
            not given.
        allow_local: believe a catalog wherever it points.
        skipped: gets a line for each item that has no image.

    Raises:
        CatalogError: it cannot be read.
        CatalogDownError: its server does not answer.
        NoImagesError: none of its items has an image; the message says why.
        SceneError: it is a raster that cannot be used.
    """
    source = str(source)
    skipped = [] if skipped is None else skipped
    documents = CatalogDocuments(source=source, allow_local=allow_local, refused=skipped)
    if source.startswith(("s3://", "gs://", "/vsi")) or documents.kind() == "raster":
        return [image_of_raster(source)]
    before = len(skipped)
    items = []
    for found in documents.items():
        item = found.item
        if found.alone or not _link(item):
            item = item | {"links": _with_self(item, found.document, alone=found.alone)}
        items.append(item)
    reader = _ItemReader(source, asset, allow_local=allow_local)
    return _all(reader, items, skipped, before)


def images_of(
    items: Iterable[Json],
    *,
    catalog: str,
    asset: Asset = None,
    allow_local: bool = False,
    skipped: list[str] | None = None,
) -> list[Image]:
    """Return the images of items, such as a search found.

    Args:
        items: STAC items as JSON values.
        catalog: URL or path of the catalog that they come from.
        asset: see `open_images`.
        allow_local: believe it wherever it points.
        skipped: gets a line for each item that has no image.

    Raises:
        NoImagesError: none of the items has an image; the message says why.
    """
    skipped = [] if skipped is None else skipped
    reader = _ItemReader(catalog, asset, allow_local=allow_local)
    return _all(reader, items, skipped, len(skipped))


def image_of_raster(source: str) -> Image:
    """Return a raster as an image whose ground is that of its grid.

    Raises:
        SceneError: it cannot be opened, or lies nowhere on Earth.
        NoImagesError: it has no outline in longitude and latitude.
    """
    scene = open_scene(source)
    outline = grid_footprint(scene.grid)
    if outline is None:
        msg = f"{source} has no outline in longitude and latitude: georeference it, or cut it"
        raise NoImagesError(msg)
    acquired = acquisition_from_tags(scene.tags)
    href = _whole_path(source)
    return Image(
        id=Path(source).stem,
        footprint=shape(outline.geometry),
        acquired=acquired.moment.astimezone(UTC) if acquired else None,
        gsd_m=scene.gsd_m,
        sources=(ColourSource(href, None),),
        link=source_href(href, ".") if is_remote(href) else href,
        identity={"id": Path(source).stem, "files": [_state(href)]},
    )


def _all(
    reader: _ItemReader, items: Iterable[Json], skipped: list[str], before: int
) -> list[Image]:
    """Return the images of items, each once.

    Raises:
        NoImagesError: there is none.
    """
    images: dict[tuple[str, tuple[ColourSource, ...]], Image] = {}
    count = 0
    for item in items:
        count += 1
        try:
            image = reader.image(item)
        except CatalogError as error:
            skipped.append(str(error))
        else:
            images.setdefault((image.id, image.sources), image)
    if images:
        return list(images.values())
    reasons = skipped[before:]
    listed = "; ".join(reasons[:NOTHING_MORE])
    more = f"; and {len(reasons) - NOTHING_MORE} more" if len(reasons) > NOTHING_MORE else ""
    said = f"{listed}{more}" if reasons else "expected STAC items with imagery"
    msg = f"{reader.catalog} has no image among {count} items: {said}"
    raise NoImagesError(msg)


class _ItemReader:
    """What makes images of the items of one catalog."""

    def __init__(self, catalog: str, asset: Asset, *, allow_local: bool) -> None:
        """Trust items as far as a catalog from there is trusted."""
        self.catalog, self.asset, self.allow_local = catalog, asset, allow_local

    def image(self, item: Json) -> Image:
        """Return the image of an item.

        Raises:
            CatalogError: it has none; the message says which item, and why.
        """
        name = str(item.get("id"))
        refused: list[str] = []
        kept = vetted(item, self.catalog, refused, allow_local=self.allow_local)
        ground = footprint(item)
        if ground is None or not ground.area > 0:
            msg = f"{name} has no geometry: expected polygons in longitude and latitude"
            raise CatalogError(msg)
        told = _properties(item)
        colours = self._colours(kept, told, refused)
        sources = _sources(kept, colours)
        return Image(
            id=name,
            footprint=ground,
            acquired=_acquired(told),
            cloud=_number(told, CLOUDS),
            gsd_m=_number(kept["assets"][colours.red.asset], ("gsd",)) or _number(told, GSD),
            sun_elevation=_number(told, SUN_ELEVATION),
            off_nadir=_number(told, OFF_NADIR),
            sources=sources,
            signed=needs_signing(kept),
            link=_link(kept) or f"{self.catalog}#{name}",
            identity=_identity(name, told, sources),
        )

    def _colours(self, kept: Json, told: Mapping[str, Any], refused: list[str]) -> ColourAssets:
        """Return where the colours of a vetted item stand.

        Raises:
            CatalogError: there are none, or they lie where the catalog may not point.
        """
        # Only what colours are found by: an item of any version, whatever else it lacks.
        item = pystac.Item(str(kept.get("id")), None, None, datetime.now(UTC), dict(told))
        for name, fields in kept["assets"].items():
            item.add_asset(name, pystac.Asset.from_dict(fields))
        try:
            return find_colours(item, self.asset)
        except CatalogError as error:
            if not refused:
                raise
            msg = f"{error}; left out: {refused[0]}"
            raise CatalogError(msg) from error


def _sources(item: Json, colours: ColourAssets) -> tuple[ColourSource, ...]:
    """Return where the colours of an item stand; one file where nobody tells its bands."""
    bands: list[Band] = [getattr(colours, colour) for colour in COLOURS]
    hrefs = [_whole_path(item["assets"][band.asset]["href"]) for band in bands]
    first = item["assets"][bands[0].asset]
    if len(set(hrefs)) == 1 and not (first.get("bands") or first.get("eo:bands")):
        return (ColourSource(hrefs[0], None),)
    return tuple(ColourSource(href, band.number) for href, band in zip(hrefs, bands, strict=True))


def _properties(item: Json) -> Json:
    """Return the properties of an item, also of one that has them beside its id."""
    properties = item.get("properties")
    beside = {name: value for name, value in item.items() if name != "properties"}
    return beside | (properties if isinstance(properties, dict) else {})


def _number(told: Mapping[str, Any], names: Sequence[str]) -> float | None:
    """Return the first number among properties."""
    for name in names:
        value = told.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def _moment(told: Mapping[str, Any], names: Sequence[str]) -> datetime | None:
    """Return the first date among properties, in UTC."""
    for name in names:
        value = told.get(name)
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            continue
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _acquired(told: Mapping[str, Any]) -> datetime | None:
    """Return when an item was taken: its moment, or the middle of its time."""
    moment = _moment(told, MOMENT)
    start, end = _moment(told, START), _moment(told, END)
    if moment is None and start and end:
        return start + (end - start) / 2
    return moment or start or end


def _link(item: Json) -> str | None:
    """Return the href of an item itself, where it tells it."""
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self" and link.get("href"):
            return str(link["href"])
    return None


def _with_self(item: Json, document: str, *, alone: bool) -> list[Json]:
    """Return the links of an item, with the place from which its relative hrefs lead."""
    links = item.get("links")
    others = [
        link
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict) and link.get("rel") != "self"
    ]
    href = document if alone else f"{document}#{item.get('id')}"
    return [{"rel": "self", "href": href}, *others]


def _identity(name: str, told: Json, sources: tuple[ColourSource, ...]) -> Json:
    """Return what tells one state of an item from another."""
    facts: Json = {"id": name, "bands": [source.band for source in sources]}
    updated = told.get("updated")
    if updated is not None:
        facts["updated"] = str(updated)
    hrefs = dict.fromkeys(source.href for source in sources)
    return facts | {"files": [_state(href) for href in hrefs]}


def _state(href: str) -> Json:
    """Return where a file lies; of one on this machine, its size and when it was changed too."""
    path = Path(href)
    if is_remote(href) or not path.is_file():
        return {"href": source_href(href, ".") if is_remote(href) else href}
    status = path.stat()
    return {"href": href, "size": status.st_size, "changed": status.st_mtime_ns}


def _whole_path(href: str) -> str:
    """Return a local path in full, so that it means the same to every worker."""
    if is_remote(href) or href.startswith("/vsi") or not Path(href).exists():
        return href
    return os.path.abspath(href)  # noqa: PTH100 - Path keeps what .. leads out of
