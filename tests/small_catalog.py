"""Two overlapping images of different dates and CRSs on a server, and every catalog of them."""

from __future__ import annotations

import datetime as dt
import json

import rasterio
import torch
from affine import Affine
from rasterio.warp import transform_bounds
from shapely.geometry import mapping, shape
from small_models import tiny_model
from small_regions import COLUMN, ROW, UTM, smooth, write_image
from small_stac_api import stac_item

from geo.footprint import grid_footprint
from geo.grid import Grid

CELLS_DOWN, CELLS_ACROSS, CELL_PX = 2, 3, 512
NEAR = 32632
"""The neighbouring zone: its pixels are turned by a few degrees and a little smaller here."""

DATES = {"old": "2021-06-01T10:00:00Z", "new": "2023-07-02T09:30:00Z"}


def write_images(folder):
    """Write `old.tif` under all cells, and `new.tif`, in another CRS, over those of the east."""
    rows, columns = CELLS_DOWN * CELL_PX, CELLS_ACROSS * CELL_PX
    write_image(folder / "old.tif", smooth(rows, columns, 1))
    first = COLUMN + columns - 600
    south, north = ROW + rows + 20, ROW - 20
    bounds = (first * 0.6, -south * 0.6, (COLUMN + columns) * 0.6, -north * 0.6)
    west, south, east, north = transform_bounds(UTM, NEAR, *bounds)
    height, width = round((north - south) / 0.6), round((east - west) / 0.6)
    profile = {
        "driver": "GTiff", "count": 3, "height": height, "width": width, "dtype": "uint8",
        "crs": f"EPSG:{NEAR}", "transform": Affine(0.6, 0, west, 0, -0.6, north), "tiled": True,
        "photometric": "RGB",
    }  # fmt: skip
    with rasterio.open(folder / "new.tif", "w", **profile) as target:
        target.write(smooth(height, width, 2))


def items_of(folder, url, *, relative=False):
    """Return the items of the images, as a server at a URL has them."""
    items = []
    for name, date in DATES.items():
        ground = footprint(folder / f"{name}.tif")
        href = f"./{name}.tif" if relative else f"{url}/{name}.tif"
        assets = {"image": {"href": href, "type": "image/tiff; application=geotiff"}}
        links = [{"rel": "self", "href": f"{url}/{name}.json"}]
        items.append(
            stac_item(
                name, ground.bounds, geometry=mapping(ground), datetime=date, assets=assets,
                links=links, **{"eo:cloud_cover": 5.0, "view:sun_elevation": 50.0},
            )
        )  # fmt: skip
    return items


def footprint(path):
    """Return the ground of an image in longitude and latitude."""
    with rasterio.open(path) as source:
        grid = Grid(
            crs=source.crs, transform=source.transform, height=source.height, width=source.width
        )
    return shape(grid_footprint(grid).geometry)


def write_static_catalog(folder, url):
    """Write a catalog, a collection and items whose hrefs are all relative."""
    items = items_of(folder, url, relative=True)
    for item in items:
        record = item | {"links": [{"rel": "parent", "href": "./collection.json"}]}
        (folder / f"{item['id']}.json").write_text(json.dumps(record))
    links = [{"rel": "item", "href": f"./{item['id']}.json"} for item in items]
    collection = {
        "type": "Collection", "stac_version": "1.0.0", "id": "aerial", "description": "aerial",
        "license": "CC0-1.0", "links": links,
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]},
                   "temporal": {"interval": [[None, None]]}},
    }  # fmt: skip
    (folder / "collection.json").write_text(json.dumps(collection))
    catalog = {
        "type": "Catalog", "stac_version": "1.0.0", "id": "small", "description": "small",
        "links": [{"rel": "child", "href": "./collection.json"}],
    }  # fmt: skip
    (folder / "catalog.json").write_text(json.dumps(catalog))


def write_area(path, images):
    """Write the ground of all cells, a few metres smaller, as GeoJSON."""
    ground = footprint(images / "old.tif").buffer(-1e-4)
    feature = {"type": "Feature", "properties": {}, "geometry": mapping(ground)}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def day_of(name):
    """Return the day of an image since 1970."""
    return (dt.datetime.fromisoformat(DATES[name]).date() - dt.date(1970, 1, 1)).days


def vivid_model():
    """Return a network of random weights whose heights differ by metres from place to place."""
    model = tiny_model()
    with torch.no_grad():
        for layer in model.network.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                layer.weight *= 3
    return model
