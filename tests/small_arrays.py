"""Labelled arrays as others make them: a file as rioxarray reads it, and a lazy one that counts."""

from __future__ import annotations

from threading import Lock
from types import SimpleNamespace

import dask
import dask.array as da
import numpy as np
import rasterio
import torch
import xarray as xr
from small_models import TOP_M, model_of
from small_scenes import geographic, noise, write_scene
from torch import Tensor, nn

import canopy


class Tilted(nn.Module):
    """Height is brightness, and rises across each tile: where tiles begin shows in the map."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, H, W) [m]."""
        rows, columns = (torch.arange(side) / side for side in images.shape[-2:])
        return TOP_M * images.mean(1) + 10 * rows[:, None] + 20 * columns


def centres(corner: float, step: float, count: int) -> np.ndarray:
    """Coordinates of the centres of pixels."""
    return corner + step * (np.arange(count) + 0.5)


def array_of(path, chunks=None, *, geotransform: bool = True) -> xr.DataArray:
    """A file as rioxarray reads it with ``masked=False``."""
    with rasterio.open(path) as dataset:
        transform, pixels, nodata = dataset.transform, dataset.read(), dataset.nodata
        mapping = {"crs_wkt": dataset.crs.to_wkt(), "spatial_ref": dataset.crs.to_wkt()}
    if geotransform:
        mapping["GeoTransform"] = " ".join(map(repr, transform.to_gdal()))
    array = xr.DataArray(
        pixels, dims=("band", "y", "x"), name="image",
        coords={
            "band": np.arange(1, len(pixels) + 1),
            "y": centres(transform.f, transform.e, pixels.shape[1]),
            "x": centres(transform.c, transform.a, pixels.shape[2]),
            "spatial_ref": ((), 0, mapping),
        },
    )  # fmt: skip
    if nodata is not None:
        array.attrs["_FillValue"] = nodata
    return array if chunks is None else array.chunk(chunks)


DEGREES = geographic("degrees", 24.6, 60.4, "EPSG:32635", gsd=0.5)


def holed_images(folder) -> dict[str, SimpleNamespace]:
    """Images with a hole, one on the model's axes and one to be warped, and their heights."""
    pixels = noise(170, 300)
    pixels[:, 60:100, 90:160] = 0
    arrays = {
        "aligned": array_of(write_scene(folder / "a.tif", pixels, pixel=0.5, nodata=0)),
        "warped": array_of(DEGREES.write(folder / "b.tif", pixels, nodata=0)),
    }
    model = model_of(Tilted())
    with dask.config.set(scheduler="synchronous"):
        return {
            name: SimpleNamespace(array=array, heights=canopy.predict(array, model=model).values)
            for name, array in arrays.items()
        }


class CountedBlocks:
    """A lazy copy of an array that remembers which of its blocks were computed."""

    def __init__(self, array: xr.DataArray, chunks: tuple[int, int, int]) -> None:
        self.computed: list[tuple[int, ...]] = []
        self.lock = Lock()

        def note(block, block_info=None):
            with self.lock:
                self.computed.append(tuple(block_info[0]["chunk-location"]))
            return block

        pixels = da.from_array(array.values, chunks=chunks)
        counted = da.map_blocks(note, pixels, dtype=pixels.dtype, meta=pixels._meta)
        self.array = array.copy(data=counted)
