"""What height a model sees on meadows: open ground outlined by eye in a NEON scene of Yellowstone.

There is no lidar of the scene; the truth is taken for 0, though sagebrush stands half a metre tall.

    python bench/meadow.py SCENE [--model NAME] [--picture OUTLINES.png]

SCENE is ``2019_YELL_2_528000_4978000_image_crop2.png`` of the package deepforest, 0.1 m a pixel.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image, ImageDraw
from rasterio.errors import NotGeoreferencedWarning

from canopy.mapping.map_heights import map_heights
from canopy.mapping.settings import MapSettings
from canopy.weights import load_height_model

PIXEL_M = 0.1
SIZE = (2299, 2472)
TREE_M = 2.0
MEADOWS = {
    "sagebrush": [
        (20, 20), (500, 20), (580, 150), (600, 400),
        (560, 620), (540, 1000), (470, 1150), (20, 1300),
    ],
    "grass": [
        (1000, 1240), (1360, 1240), (1350, 1400), (1280, 1480), (1360, 1640),
        (1370, 1740), (1040, 1740), (1030, 1540), (920, 1420),
    ],
}  # fmt: skip
"""Corners of the outlines, column and row in the scene [px]."""


def inside(corners: list[tuple[int, int]], shape: tuple[int, int]) -> np.ndarray:
    """Return which pixels of a map of the scene lie in an outline (y, x)."""
    mask = Image.new("1", (shape[1], shape[0]))
    scale = shape[1] / SIZE[0], shape[0] / SIZE[1]
    ImageDraw.Draw(mask).polygon([(x * scale[0], y * scale[1]) for x, y in corners], fill=1)
    return np.asarray(mask)


def heights_of(scene: Path, model: str) -> np.ndarray:
    """Return the map of a scene [m] (y, x)."""
    settings = MapSettings(pixel_size_m=PIXEL_M, preview=False, stac=False)
    with tempfile.TemporaryDirectory() as folder:
        report = map_heights(
            scene, Path(folder) / "height.tif", model=load_height_model(model), settings=settings
        )
        with rasterio.open(report.map) as dataset:
            heights: np.ndarray = dataset.read(1)
    return heights


def draw_outlines(scene: Path, picture: Path) -> None:
    """Write the scene with its outlines."""
    image = Image.open(scene).convert("RGB")
    for corners in MEADOWS.values():
        ImageDraw.Draw(image).polygon(corners, outline=(255, 220, 0), width=6)
    image.save(picture)


def main() -> None:
    """Print a row for each meadow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("--model", default="canopy-tiny")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    with rasterio.open(arguments.scene) as dataset:
        if (dataset.width, dataset.height) != SIZE:
            parser.error(f"found {dataset.width} x {dataset.height} px, expected {SIZE}")
    if arguments.picture:
        draw_outlines(arguments.scene, arguments.picture)
    heights = heights_of(arguments.scene, arguments.model)
    print("| meadow | pixels | mean | 95th percentile | above 2 m |\n|---|---|---|---|---|")
    masks = {name: inside(corners, heights.shape) for name, corners in MEADOWS.items()}
    for name, mask in {**masks, "both": np.logical_or(*masks.values())}.items():
        seen = heights[mask]
        figures = (
            f"{seen.mean():.2f} m | {np.percentile(seen, 95):.2f} m | {(seen > TREE_M).mean():.0%}"
        )
        print(f"| {name} | {seen.size} | {figures} |")


if __name__ == "__main__":
    main()
