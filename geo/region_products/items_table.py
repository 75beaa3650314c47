"""The items of all cells in one table: stac-geoparquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import stac_geoparquet.arrow as stac_arrow

from geo.errors import MapFileError
from geo.region_products.cell_record import ITEM_NAME, folder_of, from_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

CHUNK = 4096
"""Items that are in memory at once."""


def write_items_table(
    items: Iterable[dict[str, Any]], path: Path, absolute: Callable[[str], str] | None
) -> None:
    """Write the items of cells as one table.

    An href in it is relative to the table where the store is a folder, which may be moved, and
    absolute in a bucket, which stays where it is: readers of such tables seldom resolve others.

    Args:
        items: of the cells, as JSON values, at least one; they go by one after the other.
        path: the file; its folder takes temporary files too.
        absolute: returns the URI of a name in the store; None for relative hrefs.

    Raises:
        MapFileError: the items fit in no table.
    """
    moved = (moved_item(item, absolute) for item in items)
    try:
        table = stac_arrow.parse_stac_items_to_arrow(moved, chunk_size=CHUNK, tmpdir=path.parent)
        stac_arrow.to_parquet(table, path)
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        msg = f"the items of the cells fit in no table ({reason}): make the cells anew"
        raise MapFileError(msg) from error


def moved_item(item: dict[str, Any], absolute: Callable[[str], str] | None) -> dict[str, Any]:
    """Return an item as it reads from the root of the store.

    Args:
        item: of a cell, as JSON values; not changed.
        absolute: returns the URI of a name in the store; None for relative hrefs.
    """

    def moved(entry: dict[str, Any]) -> dict[str, Any]:
        href = from_root(entry["href"], item["id"])
        if href == entry["href"] and not href.startswith("."):
            return entry
        if absolute and not href.startswith(("..", "/")) and "://" not in href:
            return entry | {"href": absolute(href)}
        return entry | {"href": href if href.startswith("..") or "://" in href else f"./{href}"}

    links = [moved(link) for link in item["links"]]
    if absolute:
        own = absolute(f"{folder_of(item['id'])}/{ITEM_NAME}")
        links.append({"rel": "self", "href": own, "type": "application/geo+json"})
    assets = {name: moved(asset) for name, asset in item["assets"].items()}
    return item | {"links": links, "assets": assets}
