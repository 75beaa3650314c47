"""How much of a bias a correction by footprints removes, on simulated worlds with exact truth.

Run `python bench/correction_worlds.py FOLDER`: simulates a square of worlds of five kinds of
country (once; minutes), shoots GEDI-like footprints over it, biases the true heights on purpose,
corrects them and prints what is left; then, how many true heights lie inside intervals that are
corrected with their heights. The tables in docs/correction.md come from here.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from affine import Affine
from scipy import ndimage

from canopy.correction.correct import correct_map
from canopy.correction.settings import CorrectionSettings
from geo.simulation.footprints import shoot
from geo.simulation.instruments import FootprintSettings, LidarSettings
from geo.simulation.points import PointCloud, join_points
from geo.simulation.presets import find_preset
from geo.simulation.world import World, simulate

CRS = "EPSG:32617"
WEST, SOUTH = 400_000.0, 4_000_000.0
KINDS = ("conifer", "broadleaf", "mixed", "plantation", "savanna")
SIDE_M, GSD_M = 500.0, 1.0
BROKEN, NOISE = 0.05, 0.15
CLOUDS = 0.5
"""Share of broken shots that are far too high; the others are far too low."""
TREE_M = 3.0
LEVEL, TAIL = 0.9, 1.6449
"""Of intervals, and how many standard deviations of the noise their ends lie away."""
CLASSES_M = (TREE_M, 10.0, 20.0, 30.0, np.inf)
BIASES = ("none", "x0.7, x1.2", "x0.8", "wave x0.78 to x1.28")


def forest(
    folder: Path, side: int, kinds: tuple[str, ...] = KINDS
) -> tuple[np.ndarray, PointCloud]:
    """Return canopy heights [m] (rows, columns) and laser points of side x side worlds.

    Points stand above level ground: worlds lie at different elevations, and their heights do not.
    """
    stem = folder / f"{'-'.join(kinds)}-{side}"
    if not stem.with_suffix(".npz").exists():
        rows, clouds = [], []
        for row in range(side):
            line = []
            for column in range(side):
                number = row * side + column
                kind = find_preset(kinds[(row * 2 + column) % len(kinds)])
                settings = replace(
                    kind, size_m=SIDE_M, gsd_m=GSD_M, lidar=LidarSettings(per_m2=3.0),
                    footprints=replace(kind.footprints, along_m=1000.0, across_m=1000.0),
                )  # fmt: skip
                world = simulate(settings, 100 + number)
                line.append(world.chm)
                clouds.append(moved(world, column * world.chm.shape[1] * GSD_M,
                                    (side - 1 - row) * world.chm.shape[0] * GSD_M))  # fmt: skip
                print(f"world {number + 1} of {side * side}", flush=True)
            rows.append(np.concatenate(line, axis=1))
        cloud = join_points(clouds)
        np.savez(stem.with_suffix(".npz"), chm=np.concatenate(rows), **vars(cloud))
    kept = np.load(stem.with_suffix(".npz"))
    return kept["chm"], PointCloud(**{n: kept[n] for n in kept.files if n != "chm"})


def moved(world: World, east: float, north: float) -> PointCloud:
    """Return the points of a world moved, above its ground."""
    points, rows = world.points, world.dtm.shape[0]
    row = np.clip((rows - points.y / GSD_M).astype(int), 0, rows - 1)
    column = np.clip((points.x / GSD_M).astype(int), 0, rows - 1)
    height = points.z - world.dtm[row, column]
    return replace(points, x=points.x + east, y=points.y + north, z=height)


def table_of(
    chm: np.ndarray, points: PointCloud, settings: FootprintSettings, seed: int
) -> geopandas.GeoDataFrame:
    """Return footprints as a table, a share of them broken: clouds, wires, felled trees."""
    shots = shoot(points, np.zeros_like(chm), GSD_M, settings, seed)
    rng = np.random.default_rng(seed)
    rh = shots.rh[:, 98].astype(float).copy()
    bad = rng.random(len(shots)) < BROKEN
    rh[bad] = np.where(rng.random(bad.sum()) < CLOUDS, rng.uniform(40, 90, bad.sum()),
                       rh[bad] * rng.uniform(0.05, 0.4, bad.sum()))  # fmt: skip
    return geopandas.GeoDataFrame(
        {"beam": shots.beam.astype(object), "track": shots.track,
         "quality_flag": shots.quality.astype(int),
         "degrade_flag": 0, "sensitivity": shots.sensitivity, "rh98": rh,
         "rh95": np.where(bad, rh, shots.rh[:, 95])},
        geometry=geopandas.points_from_xy(shots.x + WEST, shots.y + SOUTH), crs=CRS,
    )  # fmt: skip


def write_map(path: Path, bands: np.ndarray) -> None:
    """Write heights [m] (rows, columns), or them and the ends of intervals (3, ...), as GeoTIFF."""
    bands = bands.reshape(-1, *bands.shape[-2:])
    count, height, width = bands.shape
    with rasterio.open(
        path, "w", driver="GTiff", dtype="float32", count=count, height=height, width=width,
        crs=CRS, transform=Affine(GSD_M, 0, WEST, 0, -GSD_M, SOUTH + height * GSD_M),
        nodata=np.nan,
    ) as dataset:  # fmt: skip
        dataset.write(bands.astype(np.float32))
        dataset.units = ("m",) * count
        names = (f"{end} {100 * LEVEL:.0f} %" for end in ("lower", "upper"))
        dataset.descriptions = ("Canopy height", *names)[:count]


def noise_of(shape: tuple[int, int], share: float, size_m: float, seed: int) -> np.ndarray:
    """Return factors about 1 of a standard deviation, alike within some metres."""
    raw = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), size_m / GSD_M)
    return np.exp(share * raw / raw.std())


def biases(shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return factors on the truth (rows, columns), by name."""
    ones = np.ones(shape)
    halves = ones.copy()
    halves[:, : shape[1] // 2], halves[:, shape[1] // 2 :] = 0.7, 1.2
    wave = np.exp(0.25 * np.sin(2 * np.pi * np.arange(shape[1]) / shape[1]))[None] * ones
    return dict(zip(BIASES, (ones, halves, 0.8 * ones, wave), strict=True))


def relative_bias(heights: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    """Return sum of heights over sum of truth, minus one, where trees are taller than 3 m."""
    tall = where & (truth > TREE_M)
    return float(heights[tall].sum() / truth[tall].sum() - 1) if tall.any() else 0.0


def judge(
    folder: Path, truth: np.ndarray, biased: np.ndarray, table: geopandas.GeoDataFrame
) -> dict:
    """Correct a biased map, with intervals or without, and compare it with the truth."""
    write_map(folder / "biased.tif", biased)
    biased = biased.reshape(-1, *truth.shape)[0]
    table.to_parquet(folder / "shots.parquet")
    settings = CorrectionSettings(stac=False, preview=False, overwrite=True)
    places = (folder / name for name in ("biased.tif", "shots.parquet", "out.tif"))
    report = correct_map(*places, settings).findings
    with rasterio.open(folder / "out.tif") as dataset:
        after = dataset.read(1)
    west = np.arange(truth.shape[1])[None] < truth.shape[1] // 2
    west = np.broadcast_to(west, truth.shape)
    aside = report["kept_aside"] or {}
    return {
        "applied": report["applied"],
        "changed": report["pixels_changed"],
        "used": report["shots"]["used"],
        "believed": f"{report['tracks']['believed']}/{report['tracks']['pieces']}",
        "bandwidth": report["field"]["bandwidth_m"],
        "west": [relative_bias(heights, truth, west) for heights in (biased, after)],
        "east": [relative_bias(heights, truth, ~west) for heights in (biased, after)],
        "mae": [float(np.abs(heights - truth).mean()) for heights in (biased, after)],
        "aside_mae": [
            (aside.get(name) or {}).get("mae_m", float("nan")) for name in ("before", "after")
        ],
        "reason": report["reason"],
    }


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        laser: how the footprints are taken.
        noise_m: size of the patches of the map's noise [m].
        bias: name of the factors on the truth.
        seeds: of how many runs the mean is taken.
    """

    laser: str
    noise_m: float
    bias: str
    seeds: int = 1


CASES = [
    *(Case("tracks 10 m off", 30.0, bias, seeds=3) for bias in BIASES),
    *(Case("tracks 10 m off", 8.0, bias) for bias in BIASES),
    *(Case("shots 10 m off", 30.0, bias) for bias in BIASES),
    *(Case("a third of the shots", 30.0, bias) for bias in BIASES),
]


def shots_of(chm: np.ndarray, points: PointCloud, laser: str, seed: int) -> geopandas.GeoDataFrame:
    """Return footprints of a laser, 5 % of them broken."""
    apart = 300.0 if laser == "a third of the shots" else 100.0
    off = 0.0 if laser == "shots 10 m off" else 10.0
    settings = FootprintSettings(across_m=apart, heading_deg=12.0, geolocation_m=off)
    table = table_of(chm, points, settings, seed)
    if laser == "shots 10 m off":
        moved_by = np.random.default_rng(seed).normal(0, 10 / np.sqrt(2), (2, len(table)))
        x, y = table.geometry.x + moved_by[0], table.geometry.y + moved_by[1]
        table = table.set_geometry(geopandas.points_from_xy(x, y), crs=CRS)
    return table


def with_ends(heights: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Return heights and the ends of their intervals (3, rows, columns), which hold the height."""
    low, high = min(ratios[0], 1.0), max(ratios[1], 1.0)
    return np.stack([heights, low * heights, high * heights])


def coverage(path: Path, truth: np.ndarray) -> list[float]:
    """Return the share of true heights inside the intervals of a map: of trees, and by class."""
    with rasterio.open(path) as dataset:
        _, lower, upper = dataset.read()
    inside = (lower <= truth) & (truth <= upper)
    classes = [(TREE_M, np.inf), *pairwise(CLASSES_M)]
    return [float(inside[(truth > low) & (truth <= high)].mean()) for low, high in classes]


def ratios_of(truth: np.ndarray, heights: np.ndarray, noise: float, known: str) -> np.ndarray:
    """Return lower and upper end of an interval over its height.

    Ends either know the noise alone, as those of a model that was calibrated where it is not
    biased, or are the quantiles of truth over map on this very ground.
    """
    if known == "noise":
        return np.exp([-TAIL * noise, TAIL * noise])
    tall = truth > TREE_M
    return np.quantile(truth[tall] / heights[tall], [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])


def judge_intervals(folder: Path, chm: np.ndarray, points: PointCloud) -> list[dict]:
    """Print how many true heights lie inside intervals before and after, as a table."""
    every = []
    for noise, bias, known in product((NOISE, 2 * NOISE), BIASES[:3], ("noise", "noise and bias")):
        if (bias, known) == ("none", "noise and bias"):
            continue
        runs = []
        for seed in range(3):
            heights = chm * biases(chm.shape)[bias] * noise_of(chm.shape, noise, 30.0, seed)
            bands = with_ends(heights, ratios_of(chm, heights, noise, known))
            found = judge(folder, chm, bands, shots_of(chm, points, "tracks 10 m off", seed))
            before, after = (coverage(folder / name, chm) for name in ("biased.tif", "out.tif"))
            runs.append({"applied": found["applied"], "before": before, "after": after})
        every.append({"noise": noise, "bias": bias, "known": known, "runs": runs})
        shares = 100 * np.mean([[*run["before"][:1], *run["after"]] for run in runs], axis=0)
        print(f"| {noise:.0%} | {bias} | {known} | {sum(run['applied'] for run in runs)} of 3 | "
              f"{' | '.join(f'{share:.1f}' for share in shares)} |", flush=True)  # fmt: skip
    return every


def main() -> None:
    """Run every case and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=4, help="worlds along a side, of 500 m each")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    chm, points = forest(chosen.folder, chosen.side)
    every = []
    for case in CASES:
        runs = []
        for seed in range(case.seeds):
            table = shots_of(chm, points, case.laser, seed)
            noise = noise_of(chm.shape, NOISE, case.noise_m, seed)
            biased = chm * biases(chm.shape)[case.bias] * noise
            runs.append(judge(chosen.folder, chm, biased, table))
        every.append({"case": vars(case), "runs": runs})
        show(case, runs)
    bare, bare_points = forest(chosen.folder, 2, ("treeless",))
    found = judge(chosen.folder, bare, bare, shots_of(bare, bare_points, "tracks 10 m off", 0))
    print(f"treeless: {found['changed']} pixels changed, {found['reason']}")
    every.append({"case": {"bias": "treeless"}, "runs": [found]})
    every += judge_intervals(chosen.folder, chm, points)
    (chosen.folder / "table.json").write_text(json.dumps(every, indent=1))


def show(case: Case, runs: list[dict]) -> None:
    """Print the mean of some runs as a row of a table."""

    def pair(name: str, unit: float = 1.0, sign: str = "+") -> str:
        return " -> ".join(
            f"{unit * v:{sign}.2f}" for v in np.mean([r[name] for r in runs], axis=0)
        )

    def percent(name: str) -> str:
        return " -> ".join(f"{100 * v:+.1f}" for v in np.mean([r[name] for r in runs], axis=0))

    moved_share = " ".join(run["believed"] for run in runs)
    print(
        f"| {case.laser} | {case.noise_m:g} m | {case.bias} | "
        f"{np.mean([run['used'] for run in runs]):.0f} | {moved_share} | {percent('west')} | "
        f"{percent('east')} | {pair('mae', sign='')} | {pair('aside_mae', sign='')} | "
        f"{sum(run['applied'] for run in runs)} of {len(runs)} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
