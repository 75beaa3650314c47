"""The demo: map two real scenes with the default model, then say where the files are.

``make demo`` runs it. It starts the same ``canopy map`` that a user types and reads its ``--json``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCENES = (
    ("OSBS_029.tif", "longleaf pine in Florida (NEON OSBS), georeferenced", ()),
    (
        "2019_YELL_2_528000_4978000_image_crop2.png",
        "conifers in Yellowstone (NEON YELL), 0.1 m pixels, no georeference",
        ("--pixel-size", "0.1"),
    ),
)
"""File, what it shows, and the options that ``canopy map`` needs for it."""

WRITTEN = {
    "map": "heights in metres: a cloud-optimised GeoTIFF for any GIS",
    "preview": "the image, the map and its scales side by side",
    "stac": "the STAC item: where, when, from what, by which model",
    "style": "colours for QGIS, picked up when the map is opened",
}
"""What ``canopy map`` writes, by the name it gives each path."""

HEIGHTS = {"mean": "mean", "p50": "median", "p95": "95 % below", "max": "highest"}
"""How a person calls the statistics of a map."""


def main() -> None:
    """Map each scene and describe the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True, help="folder that holds the scenes")
    parser.add_argument("--output", type=Path, required=True, help="folder for the maps")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    reports = []
    for name, title, options in SCENES:
        scene = find_scene(arguments.scenes, name)
        output = arguments.output / f"{scene.stem}_height.tif"
        reports.append(describe(title, map_scene(scene, output, options)))
    print("\n\n".join(["", *reports]))


def find_scene(folder: Path, name: str) -> Path:
    """Return the file of that name below the folder.

    Raises:
        SystemExit: where there is none.
    """
    found = sorted(folder.rglob(name))
    if not found:
        sys.exit(f"{folder}: no {name} in it; remove the folder and run make demo again")
    return found[0]


def map_scene(scene: Path, output: Path, options: tuple[str, ...]) -> dict[str, Any]:
    """Run ``canopy map`` and return its summary.

    Raises:
        SystemExit: with the exit code of ``canopy map`` where it failed; it has said why.
    """
    canopy = Path(sys.executable).with_name("canopy")
    command = ["map", str(scene), "--output", str(output), *options, "--overwrite", "--json"]
    print("$ canopy", *command, flush=True)
    run = subprocess.run([canopy, *command], stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        sys.exit(run.returncode)
    summary: dict[str, Any] = json.loads(run.stdout)
    return summary


def describe(title: str, summary: dict[str, Any]) -> str:
    """Return a few lines: where the files lie, what is in them, how long it took."""
    paths, height, grid = summary["paths"], summary["height"], summary["grid"]
    heights = ", ".join(f"{word} {height[key]:.1f} m" for key, word in HEIGHTS.items())
    (rows, columns), pixel = grid["shape"], abs(grid["transform"][0])
    place = grid["crs"] or "no georeference"
    return "\n  ".join(
        [
            title,
            f"canopy height: {heights}",
            f"grid: {columns} x {rows} pixels of {pixel:.2g} m, {place}",
            f"run: {summary['seconds']:.1f} s, model {summary['model']['name']}",
            *(f"{paths[kind]}\n      {what}" for kind, what in WRITTEN.items() if paths.get(kind)),
        ]
    )


if __name__ == "__main__":
    main()
