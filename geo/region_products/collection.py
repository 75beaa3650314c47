"""A STAC collection over the cells of a region."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pystac

from geo.region_products.cell_record import ITEM_NAME, folder_of, refuse_different

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from geo.region_products.cell_record import CellRecord

STAC_VERSION = "1.1.0"
PARQUET_TYPE = "application/vnd.apache.parquet"
ONE_FILE = (
    "file:size", "file:checksum", "href", "statistics",
    "proj:bbox", "proj:code", "proj:shape", "proj:transform",
)  # fmt: skip
"""Fields of an asset that tell of one file, not of all of a kind."""

BBox = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class RegionFacts:
    """What the cells do not tell of their region.

    Attributes:
        id: of the collection; the items name it too.
        title: one line.
        description: what it is and how it was made; CommonMark.
        licence: an SPDX identifier, or ``other``.
        keywords: for searches.
        drawn: whether a map of the run stands beside it.
        summaries: what all cells have in common, beside CRS and GSD: name and version of the model.
    """

    id: str
    title: str
    description: str
    licence: str = "other"
    keywords: tuple[str, ...] = ("canopy height", "forest")
    drawn: bool = True
    summaries: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass(kw_only=True)
class CollectionDraft:
    """A collection while its items go by: only what it needs is kept of them.

    Attributes:
        facts: what the cells do not tell.
        cells: the cells so far.
        gsds: their GSDs [m].
        item_assets: what assets they have.
        extensions: STAC extensions that these use.
    """

    facts: RegionFacts
    cells: list[CellRecord] = field(default_factory=list)
    gsds: set[float] = field(default_factory=set)
    item_assets: dict[str, Any] = field(default_factory=dict)
    extensions: set[str] = field(default_factory=set)

    def add(self, cell: CellRecord, item: dict[str, Any]) -> None:
        """Add a cell.

        Args:
            cell: what the joint products need of it.
            item: its STAC item as JSON values.

        Raises:
            MapFileError: it is not of the kind of the others.
        """
        refuse_different(self.cells[0] if self.cells else cell, cell)
        self.cells.append(cell)
        if (gsd := item["properties"].get("gsd")) is not None:
            self.gsds.add(gsd)
        self.extensions.update(item.get("stac_extensions", ()))
        for name, asset in item["assets"].items():
            if name not in self.item_assets:
                self.item_assets[name] = _of_kind(asset)

    def record(self, beside: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """Return the collection as JSON values; of at least one cell.

        Args:
            beside: assets of the collection itself, by key.
        """
        facts = self.facts
        return {
            "type": "Collection",
            "stac_version": STAC_VERSION,
            "stac_extensions": self._used_extensions(),
            "id": facts.id,
            "title": facts.title,
            "description": facts.description,
            "keywords": list(facts.keywords),
            "license": facts.licence,
            "extent": {
                "spatial": {"bbox": [list(joined_bbox([cell.bbox for cell in self.cells]))]},
                "temporal": {"interval": [_interval(self.cells)]},
            },
            "summaries": self._summaries(),
            "item_assets": self.item_assets,
            "assets": dict(beside),
            "links": [_link("root", "./collection.json"), *map(_item_link, self.cells)],
        }

    def _used_extensions(self) -> list[str]:
        """Return the extensions of the items that the collection itself uses a field of."""
        told = json.dumps([self.item_assets, self._summaries()])
        return [url for url in sorted(self.extensions) if f'"{_field_prefix(url)}:' in told]

    def _summaries(self) -> dict[str, Any]:
        """Return what can be said of all items."""
        codes = sorted({cell.code for cell in self.cells})
        pixels = sorted(self.gsds or {cell.pixel[0] for cell in self.cells})
        return {"proj:code": codes, "gsd": pixels} | dict(self.facts.summaries)


def joined_bbox(boxes: Sequence[BBox]) -> BBox:
    """Return the smallest bbox around others.

    Args:
        boxes: west, south, east, north [degrees]; west > east across the antimeridian.

    Returns:
        Likewise; from -180 to 180 where the boxes leave no gap around the globe.
    """
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    spans = sorted((west, east if east >= west else east + 360) for west, _, east, _ in boxes)
    # The bbox is all longitudes but the widest gap between the boxes, once around the globe.
    end, gap, gap_ends = max(east for _, east in spans) - 360, 0.0, spans[0][0]
    for west, east in spans:
        if west - end > gap:
            gap, gap_ends = west - end, west
        end = max(end, east)
    if gap <= 0:
        return -180.0, south, 180.0, north
    east = gap_ends + 360 - gap
    return _turned(gap_ends), south, _turned(east), north


def _field_prefix(url: str) -> str:
    """Return what the fields of an extension begin with, from the URL of its schema."""
    name = url.removesuffix("/schema.json").split("/")[-2]
    return {"projection": "proj"}.get(name, name)


def _turned(longitude: float) -> float:
    """Return a longitude within -180..180 degrees."""
    return longitude - 360 if longitude > 180 else longitude  # noqa: PLR2004 - half a turn


def _interval(cells: Iterable[CellRecord]) -> list[str]:
    """Return the first start and the last end of acquisitions."""
    starts, ends = zip(*(cell.times for cell in cells), strict=True)
    return [min(starts, key=_without_zone), max(ends, key=_without_zone)]


def _without_zone(moment: str) -> str:
    """Return an ISO 8601 time in UTC so that the order of texts is that of times."""
    return moment.rstrip("Z")


def _link(relation: str, href: str) -> dict[str, str]:
    """Return a link to a JSON file."""
    return {"rel": relation, "href": href, "type": pystac.MediaType.JSON}


def _item_link(cell: CellRecord) -> dict[str, str]:
    """Return the link to a cell's item."""
    href = f"./{folder_of(cell.id)}/{ITEM_NAME}"
    return {"rel": "item", "href": href, "type": pystac.MediaType.GEOJSON}


def _of_kind(asset: dict[str, Any]) -> dict[str, Any]:
    """Return what of an asset holds for the same one of every cell."""
    kept: dict[str, Any] = {}
    for name, value in asset.items():
        if name in ONE_FILE:
            continue
        listed = isinstance(value, list) and value and isinstance(value[0], dict)
        kept[name] = [_of_kind(entry) for entry in value] if listed else value
    return kept
