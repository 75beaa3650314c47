"""A height map made of another one, told: its heights in brief, its style, its STAC item."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.windows import Window

from canopy.version import SOFTWARE, __version__
from geo.acquisition import acquisition_from_tags
from geo.grid import Grid
from geo.ground import ground_pixel_m
from geo.height_maps.encoding import find_encoding
from geo.height_maps.height_statistics import summarise_heights
from geo.height_maps.map_facts import HeightMapFacts
from geo.height_maps.stac_item import describe_height_map
from geo.height_maps.style import display_maximum, write_qml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pystac
    from rasterio.io import DatasetReader

    from geo.height_maps.map_facts import HeightSummary, IntervalFacts, MethodReference
    from geo.raster import Pixels

STRIP_PX = 512


@dataclass(frozen=True, kw_only=True)
class Change:
    """What was made of a height map.

    Attributes:
        title: of the item.
        source: the map, and what else the change was made from.
        method: what was done.
        style: where the QGIS style is to be written.
        preview: the picture, where one was drawn.
        interval: the intervals around the heights, where the map has them.
    """

    title: str
    source: Path | tuple[Path | str, ...]
    method: MethodReference
    style: Path
    preview: Path | None = None
    interval: IntervalFacts | None = None


def describe_changed(made: Path, home: Path | None, change: Change) -> pystac.Item | None:
    """Write the style of a changed map, and describe it.

    Args:
        made: the map, in the folder where its companions wait too.
        home: where its item will stand; None where none is wanted.
        change: what was made of which map.

    Returns:
        The item, not yet written; None where none is wanted.

    Raises:
        MapFileError: a file cannot be read or written.
    """
    with rasterio.open(made) as dataset:
        heights = summary_of(dataset, 1)
        grid = Grid.of(dataset)
        acquired = acquisition_from_tags(dataset.tags())
    top = display_maximum(heights.percentiles_m[98])
    write_qml(change.style, top)
    if home is None:
        return None
    facts = HeightMapFacts(
        item_id=home.stem,
        title=change.title,
        source=change.source,
        method=change.method,
        software=SOFTWARE,
        software_version=__version__,
        processed=datetime.now(UTC),
        pixel_m=sum(ground_pixel_m(grid)) / 2,
        heights=heights,
        display_maximum_m=top,
        interval=change.interval,
        acquired=acquired,
        preview=change.preview,
        style=change.style,
        staged_in=made.parent,
    )
    return describe_height_map(made, facts, home)


def summary_of(dataset: DatasetReader, band: int) -> HeightSummary:
    """Return the statistics of a band, to 1/64 m."""
    return summarise_heights(encoded_strips(dataset, band), find_encoding("float32"))


def encoded_strips(dataset: DatasetReader, band: int) -> Iterator[Pixels]:
    """Yield heights as maps keep them in float32: metres to 1/64 m, NaN where there is none."""
    encoding = find_encoding("float32")
    for row in range(0, dataset.height, STRIP_PX):
        window = Window(0, row, dataset.width, min(STRIP_PX, dataset.height - row))
        stored = dataset.read(band, window=window, masked=True)
        metres = stored.filled(0).astype(np.float32) * np.float32(dataset.scales[band - 1])
        metres += np.float32(dataset.offsets[band - 1])
        known = ~np.ma.getmaskarray(stored) & np.isfinite(metres)
        yield encoding.encode(np.where(known, metres, np.float32(np.nan)))
