"""How many true heights do intervals hold? On simulated forests, and on a site never learned from.

Intervals are calibrated on some worlds and judged on others, by the maps and evaluations that
anyone makes. With the folder of field data, those that ship with the model are judged at Kootenay.

    python bench/intervals.py [--model NAME] [--worlds 16] [--data FOLDER]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from canopy.calibration.calibrate import calibrate_intervals
from canopy.evaluation.evaluate import evaluate_map
from canopy.mapping.map_heights import map_heights
from canopy.mapping.settings import MapSettings
from canopy.weights import load_height_model
from geo.simulation.worlds import WorldsRequest, make_worlds

if TYPE_CHECKING:
    from canopy.height_models.height_model import HeightModel

PRESETS = ("conifer", "broadleaf", "mixed", "savanna")
SIZE_M = 128.0
LEVELS, PIXELS_M = (0.8, 0.9), (None, 5.0)
ELSEWHERE = Path("pairs/CA_Kootenay")


def simulated(folder: Path, seed: int, worlds: int) -> list[Path]:
    """Return the folders of simulated forests."""
    output = folder / f"seed-{seed}"
    make_worlds(
        WorldsRequest(output=output, seed=seed, worlds=worlds, presets=PRESETS, size_m=SIZE_M)
    )
    return sorted(path.parent for path in output.glob("*/chm.tif"))


def coverage(
    image: Path, truth: Path, model: HeightModel, settings: MapSettings
) -> dict[str, float]:
    """Return count, coverage and width [m] of the intervals of a map of an image."""
    with tempfile.TemporaryDirectory() as folder:
        map_heights(image, Path(folder) / "height.tif", model=model, settings=settings)
        report = evaluate_map(Path(folder) / "height.tif", [truth], Path(folder) / "report")
    found: dict[str, float] = report.content["comparisons"][0]["interval"]
    return found


def pooled(found: list[dict[str, float]]) -> str:
    """Return the cells of a row: pooled coverage, that of single maps, and the mean width."""
    count = sum(one["count"] for one in found)
    held, width = (
        sum(one["count"] * one[name] for one in found) / count for name in ("coverage", "width_m")
    )
    single = sorted(one["coverage"] for one in found)
    return f"{held:.1%} | {single[0]:.1%} to {single[-1]:.1%} | {width:.1f} m"


def print_rows(
    ground: str, pairs: list[tuple[Path, Path]], model: HeightModel, calibration: Path | None
) -> None:
    """Print a row for each pixel and level; without a calibration, by the model's own."""
    for pixel, level in product(PIXELS_M, LEVELS):
        settings = MapSettings(
            interval=level, calibration=calibration, resolution_m=pixel, preview=False, stac=False
        )
        found = [coverage(*pair, model, settings) for pair in pairs]
        print(f"| {ground} | {level} | {pixel or model.card.gsd_m:g} m | {pooled(found)} |")


def main() -> None:
    """Print the coverage of each ground."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="canopy-tiny")
    parser.add_argument("--worlds", type=int, default=16)
    parser.add_argument("--data", type=Path, default=os.environ.get("CANOPY_FIELD_DATA"))
    arguments = parser.parse_args()
    model = load_height_model(arguments.model)
    print("| ground | level | pixel | coverage | single maps | width |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        calibration = Path(made) / "intervals.json"
        learned = simulated(Path(made), 1, arguments.worlds)
        calibrate_intervals([str(path) for path in learned], calibration, model=model)
        judged = simulated(Path(made), 2, arguments.worlds)
        pairs = [(one / "imagery.tif", one / "chm.tif") for one in judged]
        print_rows("simulated", pairs, model, calibration)
    if arguments.data:
        plot = Path(arguments.data) / ELSEWHERE
        print_rows("Kootenay", [(plot / "rgb.tif", plot / "chm.tif")], model, None)


if __name__ == "__main__":
    main()
