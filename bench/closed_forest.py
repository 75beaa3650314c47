"""What height a model sees in closed forest: crops of NEON imagery of Harvard Forest, as they are.

There is no lidar of them here. They are wooded all over, in light from bright sun to cloud, so that
a map of a few metres, or one that changes with the light, is wrong.

    python bench/closed_forest.py [--data FOLDER] [--model NAME ...]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from canopy.mapping.map_heights import map_heights
from canopy.mapping.settings import MapSettings
from canopy.weights import load_height_model

CROPS = "unlabelled/neon_harv/*.tif"
LOW_M = 8.0
"""No crop is as low as this in the mean."""


def mean_heights(crops: list[Path], model: str) -> np.ndarray:
    """Return the mean of the map of each crop [m]."""
    loaded, settings = load_height_model(model), MapSettings(preview=False, stac=False)
    with tempfile.TemporaryDirectory() as folder:
        return np.array(
            [
                map_heights(
                    crop, Path(folder) / f"{crop.stem}.tif", model=loaded, settings=settings
                ).heights.mean_m
                for crop in crops
            ]
        )


def main() -> None:
    """Print a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("CANOPY_FIELD_DATA"))
    parser.add_argument("--model", nargs="+", default=["canopy-tiny"])
    arguments = parser.parse_args()
    crops = sorted(Path(arguments.data or "").glob(CROPS))
    if not crops:
        parser.error(f"found no {CROPS} in {arguments.data}: give --data or CANOPY_FIELD_DATA")
    print(f"| model | crops | median | 10 to 90 % | below {LOW_M:g} m |\n|---|---|---|---|---|")
    for model in arguments.model:
        means = mean_heights(crops, model)
        low, middle, high = np.percentile(means, (10, 50, 90))
        few = int((means < LOW_M).sum())
        print(f"| {model} | {len(means)} | {middle:.1f} m | {low:.1f} to {high:.1f} m | {few} |")


if __name__ == "__main__":
    main()
