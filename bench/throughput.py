"""Tiled inference against the bare network, in one process: time, pixels forwarded, memory.

The limit is an eager float32 forward of the tiles that cover the scene once, with the same network,
batch and threads. The network is a ViT-Ti/16 with a DPT decoder of segmentation-models-pytorch
(7.3 M parameters, 6.3 GFLOP a tile of 256 px), random weights: speed does not depend on learning.

    python bench/throughput.py [--side 4096] [--memory-side 16384] [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import segmentation_models_pytorch as smp
import torch
from affine import Affine
from rasterio.windows import Window
from torch import Tensor, nn

from canopy.height_models.card import ModelCard
from canopy.height_models.height_model import HeightModel
from canopy.mapping.map_heights import map_heights
from canopy.mapping.settings import MapSettings

if TYPE_CHECKING:
    from canopy.mapping.report import MapReport

TILE = 256
BATCH = 4
OVERLAP = 16


class ViTTinyDPT(nn.Module):
    """ViT-Ti/16 with a DPT decoder; heights are its positive output."""

    def __init__(self) -> None:
        """Build it with random weights."""
        super().__init__()
        self.network = smp.DPT(
            "tu-vit_tiny_patch16_224",
            encoder_weights=None,
            dynamic_img_size=True,
            decoder_intermediate_channels=(32, 64, 128, 192),
            decoder_fusion_channels=64,
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> heights (B, H, W)."""
        return torch.relu(self.network(images))[:, 0] * 20


def make_model() -> HeightModel:
    """Return the network under the card of a model at 0.6 m."""
    torch.manual_seed(0)
    card = ModelCard(
        name="vit-ti-dpt",
        version="random",
        summary="speed only",
        licence="Apache-2.0",
        training_data="none",
        gsd_m=0.6,
        maximum_height_m=100.0,
        mean=(0.42, 0.41, 0.30),
        std=(0.21, 0.16, 0.14),
        tile_px=TILE,
        overlap_px=OVERLAP,
    )
    return HeightModel(network=ViTTinyDPT(), card=card)


def make_scene(path: Path, side: int, *, empty_share: float = 0.0) -> Path:
    """Write a textured uint8 scene; its lower rows are nodata by the share asked for."""
    generator = np.random.default_rng(0)
    options: dict[str, Any] = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": 3,
        "dtype": "uint8",
        "crs": "EPSG:32611",
        "transform": Affine(0.6, 0, 500000, 0, -0.6, 4000000),
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "nodata": 0,
    }
    first_empty = round(side * (1 - empty_share))
    with rasterio.open(path, "w", **options) as dataset:
        for row in range(0, side, 256):
            coarse = generator.integers(40, 200, (3, 8, side // 32), dtype=np.uint8)
            strip = coarse.repeat(32, 1).repeat(32, 2) + generator.integers(
                1, 40, (3, 256, side), dtype=np.uint8
            )
            strip[:, max(0, first_empty - row) :] = 0
            dataset.write(strip, window=Window(0, row, side, 256))
    return path


def forward_once(model: HeightModel, side: int) -> float:
    """Return the seconds of a bare forward of the tiles that cover the scene once."""
    tiles = math.ceil(side / TILE) ** 2
    images = torch.rand(BATCH, 3, TILE, TILE)
    began = time.perf_counter()
    with torch.inference_mode():
        for _ in range(math.ceil(tiles / BATCH)):
            model.network(images)
    return time.perf_counter() - began


def map_once(model: HeightModel, scene: Path, folder: Path) -> MapReport:
    """Make one map with its COG; preview and item are no part of the limit and left out."""
    settings = MapSettings(batch=BATCH, preview=False, stac=False, overwrite=True)
    return map_heights(scene, folder / "height.tif", model=model, settings=settings)


def peak_memory(scene: Path, folder: Path, connection: Any) -> None:  # noqa: ANN401 - a pipe's end
    """Send the peak resident memory [MiB] of a process that makes one map."""
    map_once(make_model(), scene, folder)
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure_memory(scene: Path, folder: Path) -> float:
    """Return the peak resident memory [MiB] of one map in a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=peak_memory, args=(scene, folder, sender))
    process.start()
    process.join()
    return float(receiver.recv())


def measure(side: int, memory_side: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Return every figure; times in turn, so that a drift of the machine meets both alike."""
    model = make_model()
    scene = make_scene(folder / "scene.tif", side)
    sparse = make_scene(folder / "sparse.tif", side, empty_share=0.7)
    forward_once(model, side // 4)
    limits, maps, sparse_maps = [], [], []
    for _ in range(repeats):
        limits.append(forward_once(model, side))
        report = map_once(model, scene, folder)
        maps.append(report.seconds)
        sparse_maps.append(map_once(model, sparse, folder).seconds)
    forwarded = report.tiles_run * TILE**2 / side**2
    small = measure_memory(scene, folder)
    large = memory_side and measure_memory(make_scene(folder / "large.tif", memory_side), folder)
    return {
        "threads": torch.get_num_threads(),
        "side_px": side,
        "limit_s": statistics.median(limits),
        "map_s": statistics.median(maps),
        "wall_over_limit": statistics.median(
            ours / limit for ours, limit in zip(maps, limits, strict=True)
        ),
        "pixels_forwarded_over_pixels": forwarded,
        "sparse_over_full": statistics.median(
            part / whole for part, whole in zip(sparse_maps, maps, strict=True)
        ),
        "peak_rss_mib": {str(side): small, str(memory_side): large},
        "rss_ratio": large / small if large else None,
    }


def main() -> None:
    """Measure and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--memory-side", type=int, default=16384, help="0 to leave it out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(arguments.side, arguments.memory_side, arguments.repeats, Path(folder))
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
