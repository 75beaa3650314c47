"""Does a map show where its tiles were joined? The phase-matched seam index.

Mean absolute step between neighbouring pixels at the borders of tiles, over the mean absolute step
at columns (rows) of the same position within the model's patch, away from any border. One means
that a seam cannot be told from the rest of the map; matching the position takes out the pattern of
patches that a vision transformer draws inside a tile too.

A border is either end of the strip over which one tile takes over from the next. The scene is
mapped several times, cut a little differently each time, so that seams fall on other ground.

    python bench/seams.py SCENE [--pixel-size 0.1] [--model NAME] [--tile PX] [--overlap PX]

On a scene that is little larger than a tile the evenly spread tiles overlap by far more than was
asked for; ``--tile 128`` gives more borders, with overlaps near the least.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from canopy.mapping.map_heights import map_heights
from canopy.mapping.plan import plan_map
from canopy.mapping.settings import MapSettings
from canopy.weights import load_height_model
from geo.scene import open_scene

if TYPE_CHECKING:
    from canopy.height_models.height_model import HeightModel
    from geo.tiles import Span

    Heights = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

PATCH = 16
CUTS = range(0, 96, 8)
"""Pixels of the map cut off at the upper left, one map each."""


@dataclass(kw_only=True)
class Steps:
    """Absolute steps [m] at borders and away from them, by position in the patch."""

    border: list[list[float]] = field(default_factory=lambda: [[] for _ in range(PATCH)])
    inside: list[list[float]] = field(default_factory=lambda: [[] for _ in range(PATCH)])

    def index(self) -> float:
        """Return the mean over border steps of what they are to the steps they are matched with."""
        at_borders = sum(sum(steps) for steps in self.border)
        matched = sum(
            len(steps) * float(np.mean(inside))
            for steps, inside in zip(self.border, self.inside, strict=True)
            if steps
        )
        return at_borders / matched

    def add(self, heights: Heights, spans: tuple[Span, ...]) -> None:
        """Sort the steps along the first axis of a map whose tiles are cut by spans."""
        steps = np.abs(np.diff(heights, axis=0))
        means = np.nanmean(steps, axis=1)
        borders = {end for span in spans[1:] for end in span.rise}
        near = {end + off for end in borders for off in range(-2, 3)}
        zones = {row for span in spans[1:] for row in range(*span.rise)}
        for row in range(1, len(heights)):
            owner = next(span for span in reversed(spans) if span.rise[0] <= row)
            phase = (row - owner.start) % PATCH
            if row in borders:
                self.border[phase].append(float(means[row - 1]))
            elif row not in near and row not in zones:
                self.inside[phase].append(float(means[row - 1]))


def cut_scene(source: Path, target: Path, pixels: int) -> Path:
    """Write a scene without some of its pixels at the upper left."""
    with rasterio.open(source) as scene:
        window = Window(pixels, pixels, scene.width - pixels, scene.height - pixels)
        options = {"driver": "GTiff", "count": 3, "dtype": scene.dtypes[0], "crs": scene.crs}
        size = {"width": window.width, "height": window.height}
        transform = scene.window_transform(window)
        with rasterio.open(target, "w", **options, **size, transform=transform) as cut:
            cut.write(scene.read((1, 2, 3), window=window))
    return target


def measure(
    source: Path, model: HeightModel, settings: MapSettings, folder: Path
) -> dict[str, float | list[float]]:
    """Return the seam index of a model on a scene, along columns and rows together."""
    steps, overlaps = Steps(), []
    scale = model.card.gsd_m / open_scene(source, pixel_size_m=settings.pixel_size_m).gsd_m
    for pixels in CUTS:
        scene = cut_scene(source, folder / "cut.tif", round(pixels * scale))
        report = map_heights(scene, folder / "height.tif", model=model, settings=settings)
        plan = plan_map(open_scene(scene, pixel_size_m=settings.pixel_size_m), model, settings)
        with rasterio.open(report.map) as dataset:
            heights = dataset.read(1)
        steps.add(heights, plan.tiles.rows)
        steps.add(heights.T, plan.tiles.columns)
        for spans in (plan.tiles.rows, plan.tiles.columns):
            overlaps += [before.stop - after.start for before, after in pairwise(spans)]
    mean_step = float(np.mean([step for steps in steps.inside for step in steps]))
    return {
        "tile_px": model.card.tile_px,
        "overlap_px": [min(overlaps), float(np.mean(overlaps)), max(overlaps)],
        "seam_index": steps.index(),
        "mean_step_m": mean_step,
        "borders": sum(len(found) for found in steps.border),
    }


def main() -> None:
    """Measure and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--pixel-size", type=float)
    parser.add_argument("--model", default="canopy-tiny")
    parser.add_argument("--tile", type=int)
    parser.add_argument("--overlap", type=int)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    settings = MapSettings(
        pixel_size_m=arguments.pixel_size,
        overlap_px=arguments.overlap,
        preview=False,
        stac=False,
        overwrite=True,
    )
    model = load_height_model(arguments.model)
    if arguments.tile:
        model = replace(model, card=replace(model.card, tile_px=arguments.tile))
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(measure(arguments.scene, model, settings, Path(folder)), indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
