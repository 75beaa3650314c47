"""How much of a bias a correction network removes in a region whose footprints it learned on from.

    python bench/correction_region.py FOLDER [--seeds 3] [--start correction-simulated]

Simulates 4 km2 of sixteen forests, five kinds of country, each varied as `canopy simulate` does;
shoots GEDI-like footprints over them, 10 m off, 5 % of them broken; lets the network learn on from
these; biases the true heights on purpose, corrects them by the imagery, with the network as it was
and as it is then, and by the footprints themselves, and prints what is left. The table in
docs/correction.md comes from here.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import correction_network as network
import correction_worlds as worlds
import numpy as np
import rasterio
import yaml
from affine import Affine

from canopy.correction.correct import correct_map
from canopy.correction.settings import CorrectionSettings
from canopy.correction_network.correct import correct_by_model
from canopy.correction_network.place_facts import ViewFacts
from canopy.correction_network.settings import ByModelSettings
from canopy.correction_network.train import train_correction
from geo.simulation.instruments import FootprintSettings
from geo.simulation.points import join_points
from geo.simulation.world import nth_world, simulate

SIDE, SQUARE_M, GSD_M = 4, 499.2, 0.6
SUN_DEG = 50.0
SEED = 2001
BIASES = ("none", "x0.7, x1.2", "x0.7", "x1.2")
NOISE_M = 8.0
BLOCK_M, ASIDE, STEPS, RATE = 250.0, 0.2, 600, 3e-4

worlds.GSD_M = GSD_M


def region(folder: Path, seed: int) -> None:
    """Simulate the forests of a region, unless they stand there: imagery, heights, points."""
    if (folder / "forest.npz").exists():
        return
    rows, pictures, clouds = [], [], []
    for row in range(SIDE):
        line, seen = [], []
        for column in range(SIDE):
            number = row * SIDE + column
            kind = worlds.KINDS[(row * 2 + column) % len(worlds.KINDS)]
            settings, own = nth_world(
                network.settings_of(kind, number, seed, SQUARE_M), seed, number
            )
            world = simulate(
                replace(settings, sun=replace(settings.sun, elevation_deg=SUN_DEG)), own
            )
            line.append(world.chm)
            seen.append(world.imagery)
            side_m = len(world.chm) * GSD_M
            clouds.append(worlds.moved(world, column * side_m, (SIDE - 1 - row) * side_m))
            print(f"forest {number + 1} of {SIDE * SIDE}", flush=True)
        rows.append(np.concatenate(line, axis=1))
        pictures.append(np.concatenate(seen, axis=2))
    folder.mkdir(parents=True, exist_ok=True)
    write_imagery(folder / "imagery.tif", np.concatenate(pictures, axis=1))
    np.savez(folder / "forest.npz", chm=np.concatenate(rows), **vars(join_points(clouds)))


def write_imagery(path: Path, pixels: np.ndarray) -> None:
    """Write imagery (3, rows, columns) where the maps will lie."""
    _, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", count=3, height=height, width=width,
        crs=worlds.CRS, photometric="rgb", tiled=True, compress="deflate",
        transform=Affine(GSD_M, 0, worlds.WEST, 0, -GSD_M, worlds.SOUTH + height * GSD_M),
    ) as dataset:  # fmt: skip
        dataset.write(pixels)


def learn_on(
    folder: Path, chm: np.ndarray, points: worlds.PointCloud, start: str, seed: int
) -> None:
    """Let a network learn on from the footprints of a region."""
    shots = FootprintSettings(across_m=100.0, heading_deg=12.0, geolocation_m=10.0)
    worlds.table_of(chm, points, shots, seed).to_parquet(folder / "shots.parquet")
    run = {
        "pairs": [{"image": "imagery.tif", "footprints": "shots.parquet",
                   "sun_elevation": SUN_DEG}],
        "samples": {"percentile": 95, "gsd_m": GSD_M, "block_m": BLOCK_M, "aside": ASIDE},
        "start": start,
        "run": {"steps": STEPS, "learning_rate": RATE, "weight_decay": 0.05, "average": 0.99,
                "validate_every": 50, "checkpoint_every": STEPS, "log_every": 50},
        "card": {"name": "region", "simulated": True},
    }  # fmt: skip
    (folder / "run.yaml").write_text(yaml.safe_dump(run, sort_keys=False))
    shutil.rmtree(folder / "network", ignore_errors=True)
    trained = train_correction(folder / "run.yaml", folder / "network")
    card = trained.model.card
    print(
        f"{folder.name}: {trained.footprints} footprints learned from and kept aside, errors "
        f"there {trained.validation}, noise {card.noise}, forest_noise {card.forest_noise}",
        flush=True,
    )


def corrections(folder: Path, start: str) -> dict[str, tuple[Path, dict]]:
    """Correct a biased map in three ways; return each map and what is told of it, by name."""
    biased, image = folder / "biased.tif", str(folder / "imagery.tif")
    by_model = ByModelSettings(
        view=ViewFacts(sun_elevation=SUN_DEG), stac=False, preview=False, overwrite=True
    )
    by_shots = CorrectionSettings(stac=False, preview=False, overwrite=True)
    was, learned, shots = (folder / f"{name}.tif" for name in ("was", "learned", "shots"))
    shot_table, network_folder = folder / "shots.parquet", folder / "network"
    return {
        "as it was": (was, correct_by_model(biased, start, image, was, by_model).findings),
        "learned on": (
            learned, correct_by_model(biased, network_folder, image, learned, by_model).findings
        ),
        "footprints": (shots, correct_map(biased, shot_table, shots, by_shots).findings),
    }  # fmt: skip


def judge(folder: Path, chm: np.ndarray, bias: str, start: str, seed: int) -> dict[str, dict]:
    """Bias the true heights, correct them, and compare them with the truth."""
    factors = network.biases(chm.shape)[bias]
    biased = chm * factors * worlds.noise_of(chm.shape, worlds.NOISE, NOISE_M, seed)
    worlds.write_map(folder / "biased.tif", biased)
    west = np.broadcast_to(np.arange(chm.shape[1])[None] < chm.shape[1] // 2, chm.shape)
    told = {}
    for name, (path, found) in corrections(folder, start).items():
        with rasterio.open(path) as dataset:
            after = dataset.read(1)
        told[name] = {
            "changed": found["pixels_changed"],
            "west": [worlds.relative_bias(each, chm, west) for each in (biased, after)],
            "east": [worlds.relative_bias(each, chm, ~west) for each in (biased, after)],
            "forests": [off_by_forest(each, chm) for each in (biased, after)],
            "mae": [float(np.abs(each - chm).mean()) for each in (biased, after)],
        }
    return told


def off_by_forest(heights: np.ndarray, chm: np.ndarray) -> float:
    """Return the mean magnitude of the biases of single forests."""
    side = len(chm) // SIDE
    number = np.indices(chm.shape) // side
    forests = SIDE * number[0] + number[1]
    biases = [worlds.relative_bias(heights, chm, forests == each) for each in range(SIDE**2)]
    return float(np.mean(np.abs(biases)))


def show(bias: str, name: str, runs: list[dict]) -> None:
    """Print the mean of some regions as a row of a table."""

    def percent(side: str) -> str:
        return " -> ".join(f"{100 * v:+.1f}" for v in np.mean([r[side] for r in runs], axis=0))

    mae = " -> ".join(f"{v:.2f}" for v in np.mean([r["mae"] for r in runs], axis=0))
    forests = " -> ".join(f"{100 * v:.1f}" for v in np.mean([r["forests"] for r in runs], axis=0))
    gone = "" if bias == "none" else f"{network.removed(runs):.0%}"
    changed = sum(run["changed"] > 0 for run in runs)
    print(f"| {bias} | {name} | {percent('west')} | {percent('east')} | {gone} | {forests} | "
          f"{mae} | {changed} of {len(runs)} |", flush=True)  # fmt: skip


def main() -> None:
    """Judge some regions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="regions")
    parser.add_argument("--start", default="correction-simulated")
    chosen = parser.parse_args()
    every: dict[tuple[str, str], list[dict]] = {}
    for number in range(chosen.seeds):
        folder, seed = chosen.folder / f"region-{number}", SEED + number
        region(folder, seed)
        kept = np.load(folder / "forest.npz")
        points = worlds.PointCloud(**{name: kept[name] for name in kept.files if name != "chm"})
        learn_on(folder, kept["chm"], points, chosen.start, seed)
        for bias in BIASES:
            for name, run in judge(folder, kept["chm"], bias, chosen.start, seed).items():
                every.setdefault((bias, name), []).append(run)
                show(bias, name, every[bias, name])
    text = json.dumps([[*key, runs] for key, runs in every.items()], indent=1)
    (chosen.folder / "table.json").write_text(text)


if __name__ == "__main__":
    main()
