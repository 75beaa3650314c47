"""How much of a bias the correction network removes, on simulated worlds that it never saw.

    python bench/correction_network.py worlds FOLDER [--worlds 2100]
    canopy train correction FOLDER/run.yaml --output MODEL --threads 1
    python bench/correction_network.py judge FOLDER --model MODEL

The first simulates small worlds of all kinds of country under many suns and shoots them: 5 % of the
footprints are broken, all are 10 m off. The second learns from them. The third simulates larger
worlds from other seeds, biases their true heights on purpose, corrects them by imagery alone and
prints what is left. `correction-simulated` and the table in docs/correction.md come from here.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas
import numpy as np
import rasterio
import yaml
from scipy import ndimage

from canopy.correction_network.correct import correct_by_model
from canopy.correction_network.place_facts import facts_of_item
from canopy.correction_network.settings import ByModelSettings
from geo.height_maps.stac_item import write_item
from geo.simulation.catalogue import describe_world
from geo.simulation.instruments import LidarSettings
from geo.simulation.presets import find_preset
from geo.simulation.world import nth_world, simulate
from geo.simulation.write import write_world

if TYPE_CHECKING:
    from geo.simulation.settings import WorldSettings

KINDS = (
    "conifer", "broadleaf", "mixed", "plantation", "savanna", "urban-edge", "conifer", "broadleaf",
    "mixed", "treeless",
)  # fmt: skip
JUDGED = ("conifer", "broadleaf", "mixed", "plantation", "savanna", "treeless")
LEARN_SEED, JUDGE_SEED = 1, 1001
CHOSEN_ON = 2
"""Worlds of each kind on which settings were chosen: they are not judged on."""
GSD_M, LEARN_M, JUDGE_M = 0.6, 153.6, 614.4
BARE_WORLDS = 430
"""Of the worlds that are learned from none is treeless from this number on."""
SUN_DEG = (35.0, 65.0)
TRACK_OFF_M, SHOT_OFF_M = 5.0, 8.66
"""Errors of places that a track shares, and of each shot: 10 m together."""
BROKEN, CLOUDS = 0.05, 0.5
"""Share of broken shots, and of those that are far too high; the others are far too low."""
NOISE, NOISE_M = 0.15, 8.0
"""Of the map that is corrected: standard deviation of its log error, and its patches [m]."""
TREE_M = 3.0
UNNEEDED = ("dtm.tif", "dsm.tif", "points.laz", "trees.parquet")
CARD = {
    "name": "correction-simulated", "version": "1.1.0",
    "summary": "Correction network that learned from simulated forests alone, for tests.",
    "licence": "Apache-2.0",
    "training_data": "1933 simulated worlds of 154 m (conifer, broadleaf, mixed, plantation, "
    "savanna, urban edge, treeless), footprints 10 m off, 5 % of them broken",
    "simulated": True,
    "notice": "Learned from simulated forests alone: for tests, not for real maps.",
}  # fmt: skip


def make_world(folder: Path, kind: str, number: int, seed: int, size_m: float) -> Path:
    """Simulate a world into a folder, unless it stands there; return its folder."""
    home = folder / f"{kind}-{number:04d}"
    item = home / f"{home.name}.json"
    if item.exists():
        return home
    home.mkdir(parents=True, exist_ok=True)
    settings, own = nth_world(settings_of(kind, number, seed, size_m), seed, number)
    world = simulate(settings, own)
    write_world(world, home)
    for name in UNNEEDED:
        (home / name).unlink()
    told = describe_world(world, home.name)
    for key in [key for key, asset in told.assets.items() if asset.href[2:] in UNNEEDED]:
        del told.assets[key]
    told.set_self_href(str(item.absolute()))
    write_item(told, item)
    return home


def settings_of(kind: str, number: int, seed: int, size_m: float) -> WorldSettings:
    """Return a preset with dense footprints under a sun of its own."""
    preset = find_preset(kind)
    sun = float(np.random.default_rng([seed, number]).uniform(*SUN_DEG))
    shots = replace(preset.footprints, along_m=10.0, across_m=14.0, geolocation_m=TRACK_OFF_M)
    return replace(
        preset, size_m=size_m, gsd_m=GSD_M, lidar=LidarSettings(per_m2=3.0), footprints=shots,
        sun=replace(preset.sun, elevation_deg=sun),
    )  # fmt: skip


def spoil(home: Path, number: int) -> None:
    """Write the footprints of a world with more errors: each is off, some are broken."""
    table = geopandas.read_parquet(home / "footprints.parquet")
    rng = np.random.default_rng([7, number])
    x, y = (
        values + rng.normal(0, SHOT_OFF_M / np.sqrt(2), len(table))
        for values in (table.geometry.x, table.geometry.y)
    )
    bad = rng.random(len(table)) < BROKEN
    rh = table["rh95"].to_numpy(float, copy=True)
    low = rh[bad] * rng.uniform(0.05, 0.4, bad.sum())
    high = rng.uniform(40, 90, bad.sum())
    rh[bad] = np.where(rng.random(bad.sum()) < CLOUDS, high, low)
    table = table.assign(rh95=rh)
    table.set_geometry(geopandas.points_from_xy(x, y), crs=table.crs).to_parquet(
        home / "spoilt.parquet"
    )


def make_worlds(folder: Path, count: int) -> None:
    """Simulate worlds to learn from, and write the configuration that does."""
    pairs = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        if kind == "treeless" and number >= BARE_WORLDS:
            continue
        home = make_world(folder, kind, number, LEARN_SEED, LEARN_M)
        spoil(home, number)
        name = home.name
        pairs.append({"image": f"{name}/imagery.tif", "footprints": f"{name}/spoilt.parquet",
                      "item": f"{name}/{name}.json"})  # fmt: skip
        print(f"world {number + 1} of {count}", flush=True)
    run = {
        "pairs": pairs,
        "samples": {"percentile": 95, "gsd_m": GSD_M, "block_m": 500, "aside": 0.1},
        "network": {"channels": [8, 16, 32, 48, 64]},
        "batch": 32,
        "run": {"steps": 10_000, "learning_rate": 1e-3, "weight_decay": 0.05, "average": 0.995,
                "validate_every": 500, "checkpoint_every": 500, "log_every": 50},
        "card": CARD,
    }  # fmt: skip
    (folder / "run.yaml").write_text(yaml.safe_dump(run, sort_keys=False))


def biases(shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return factors on the truth (rows, columns), by name."""
    halves = np.ones(shape)
    halves[:, : shape[1] // 2], halves[:, shape[1] // 2 :] = 0.7, 1.2
    return {"none": np.ones(shape), "x0.7, x1.2": halves, "x0.7": np.full(shape, 0.7),
            "x1.2": np.full(shape, 1.2)}  # fmt: skip


def noise_of(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return factors about 1, alike within some metres."""
    raw = np.random.default_rng(seed).normal(size=shape)
    smooth = ndimage.gaussian_filter(raw, NOISE_M / GSD_M)
    return np.exp(NOISE * smooth / smooth.std())


def relative_bias(heights: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    """Return sum of heights over sum of truth, minus one, where trees are taller than 3 m."""
    tall = where & (truth > TREE_M)
    return float(heights[tall].sum() / truth[tall].sum() - 1) if tall.any() else float("nan")


def judge_world(home: Path, model: str, bias: str, seed: int) -> dict:
    """Bias the true heights of a world, correct them by imagery, and compare with the truth."""
    with rasterio.open(home / "chm.tif") as dataset:
        truth, profile = dataset.read(1).astype(float), dataset.profile
    bare = home.name.startswith("treeless")
    factors = biases(truth.shape)[bias] * (1 if bare else noise_of(truth.shape, seed))
    profile.update(driver="GTiff", dtype="float32")
    with rasterio.open(home / "biased.tif", "w", **profile) as dataset:
        dataset.write((truth * factors).astype(np.float32), 1)
        dataset.units = ("m",)
    view = facts_of_item(home / f"{home.name}.json")
    settings = ByModelSettings(view=view, stac=False, preview=False, overwrite=True)
    report = correct_by_model(
        home / "biased.tif", model, str(home / "imagery.tif"), home / "out.tif", settings
    ).findings
    with rasterio.open(home / "out.tif") as dataset:
        after = dataset.read(1).astype(float)
    before = truth * factors
    west = np.broadcast_to(np.arange(truth.shape[1])[None] < truth.shape[1] // 2, truth.shape)
    return {
        "world": home.name,
        "changed": report["pixels_changed"],
        "west": [relative_bias(heights, truth, west) for heights in (before, after)],
        "east": [relative_bias(heights, truth, ~west) for heights in (before, after)],
        "mae": [float(np.abs(heights - truth).mean()) for heights in (before, after)],
        "factors": report["field"],
    }


def removed(runs: list[dict], sides: tuple[str, ...] = ("west", "east")) -> float:
    """Return the share of the mean magnitude of biases that is gone."""
    before, after = (
        np.mean([abs(run[side][which]) for run in runs for side in sides]) for which in (0, 1)
    )
    return float(1 - after / before)


def judge(folder: Path, model: str, each: int) -> None:
    """Judge a network on worlds of every kind, and print a table."""
    homes = {
        kind: [
            make_world(
                folder / "judged",
                kind,
                JUDGED.index(kind) + number * len(JUDGED),
                JUDGE_SEED,
                JUDGE_M,
            )
            for number in range(CHOSEN_ON, CHOSEN_ON + each)
        ]
        for kind in JUDGED
    }
    every: dict[str, list[dict]] = {}
    for bias in biases((2, 2)):
        for kind, places in homes.items():
            if kind == "treeless" and bias != "none":
                continue
            runs = [judge_world(home, model, bias, seed) for seed, home in enumerate(places)]
            every.setdefault(bias, []).extend(runs)
            show(kind, bias, runs)
        forests = [run for run in every[bias] if not run["world"].startswith("treeless")]
        gone = "" if bias == "none" else f", {removed(forests):.0%} of the bias gone"
        show("all forests" + gone, bias, forests)
    (folder / "judged.json").write_text(json.dumps(every, indent=1))


def show(kind: str, bias: str, runs: list[dict]) -> None:
    """Print the mean of some runs as a row of a table; biases by their mean magnitude too."""

    def percent(side: str) -> str:
        return " -> ".join(f"{100 * v:+.1f}" for v in np.mean([r[side] for r in runs], axis=0))

    off = " -> ".join(
        f"{100 * np.mean([abs(r[side][which]) for r in runs for side in ('west', 'east')]):.1f}"
        for which in (0, 1)
    )
    mae = " -> ".join(f"{v:.2f}" for v in np.mean([r["mae"] for r in runs], axis=0))
    changed = sum(run["changed"] > 0 for run in runs)
    print(
        f"| {bias} | {kind} | {percent('west')} | {percent('east')} | {off} | {mae} | "
        f"{changed} of {len(runs)} |",
        flush=True,
    )


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("worlds", "judge"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worlds", type=int, default=2100)
    parser.add_argument("--model", default="correction-simulated")
    parser.add_argument("--each", type=int, default=2, help="worlds of each kind that are judged")
    chosen = parser.parse_args()
    if chosen.what == "worlds":
        make_worlds(chosen.folder, chosen.worlds)
    else:
        judge(chosen.folder, chosen.model, chosen.each)


if __name__ == "__main__":
    main()
