"""What a correction by footprints is worth on real sites, for maps by models that never saw them.

Run `CANOPY_FIELD_DATA=... python bench/correction_sites.py MODELS`, with MODELS a folder of
`sites-NEON_TEAK`, `sites-NEON_OSBS` and `sites-NEON_MLBS`: models of a cross-validation, each
trained without its site. Footprints are simulated from the airborne lidar of the plots: relative
heights of the energy of the points (Hancock et al. 2019) where a plot has points and is 40 m wide;
for the plots of 20 m, which have a canopy height model alone, its weighted percentile. Each plot is
kept aside in turn: its factor comes from footprints of other plots of the site, more than 50 m
away. The table in docs/correction.md comes from here.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import laspy
import numpy as np
import rasterio
from scipy.interpolate import NearestNDInterpolator

from canopy import load_height_model
from canopy.correction.applying import corrected
from canopy.correction.calibration import Judged
from canopy.correction.factor_field import Ratios, fit_field, outliers
from canopy.correction.footprint_pairs import SIGMA_M, Lookup, log_ratio, shifts_within, usable
from canopy.evaluation.height_source import HeightSource, open_heights
from canopy.supervision.pairs import read_pair
from canopy.supervision.plot_errors import predict_plot
from geo.simulation.footprints import relative_heights

if TYPE_CHECKING:
    from canopy.height_models.height_model import HeightModel

SITES = ("NEON_TEAK", "NEON_OSBS", "NEON_MLBS")
GROUND, NOISE = 2, (7, 18)
REACH_M = 12.5
PERCENTILE = 98.0
LEAST_CHANGE, FEWEST = 0.05, 30
GUARD_M = 50.0
SITE_M = 30_000.0
"""Bandwidth of the kernel: a site's plots lie some kilometres apart and get one factor."""


@dataclass
class Plot:
    """A plot: its map, its lidar, and the footprints in it."""

    name: str
    centre: np.ndarray
    map_m: np.ndarray
    lidar_m: np.ndarray
    rh: np.ndarray
    mapped: np.ndarray
    surface: np.ndarray
    from_points: bool


def read_plot(folder: Path, site: str, model: HeightModel, scratch: Path) -> Plot:
    """Predict a plot as its cross-validation did, and simulate its footprints."""
    pair = read_pair(folder, site=site, gsd_m=model.card.gsd_m)
    predicted = predict_plot(model, pair, model.card.tile_px)
    path = scratch / f"{folder.name}.tif"
    with rasterio.open(folder / "chm.tif") as lidar:
        box = np.array(lidar.bounds)
        profile = {
            "driver": "GTiff", "dtype": "float32", "count": 1, "height": lidar.height,
            "width": lidar.width, "crs": lidar.crs, "transform": lidar.transform,
        }  # fmt: skip
    with rasterio.open(path, "w", **profile) as written:
        written.write(predicted, 1)
    wide = min(box[2] - box[0], box[3] - box[1])
    middle = (box[:2] + box[2:]) / 2
    points = folder / "points.laz"
    reach = wide / 2 - REACH_M
    steps = np.array([-reach, reach]) if reach > 0 else np.zeros(1)
    places = np.array([middle + np.array([east, north]) for east in steps for north in steps])
    from_points = points.exists() and reach > 0
    chm = open_heights(folder / "chm.tif")
    surface = percentiles(chm, places)
    rh = rh_of_points(points, places) if from_points else surface
    return Plot(
        name=folder.name, centre=middle, map_m=predicted,
        lidar_m=np.where(pair.heights_valid, pair.heights, np.nan), rh=rh,
        mapped=percentiles(open_heights(path), places), from_points=from_points, surface=surface,
    )  # fmt: skip


def percentiles(source: HeightSource, places: np.ndarray) -> np.ndarray:
    """Return a raster's weighted percentile in footprints at places in its CRS [m]."""
    look = Lookup.on(source, shifts_within(0.0, 4.0), PERCENTILE)
    back = ~source.grid.transform
    with source.open() as reader:
        return np.array(
            [
                look(
                    reader,
                    (back.a * x + back.c) * source.pixel_m[0],
                    (back.e * y + back.f) * source.pixel_m[1],
                )[0]
                for x, y in places
            ]
        )


def rh_of_points(path: Path, places: np.ndarray) -> np.ndarray:
    """Return RH98 of the energy of lidar points within footprints [m] above their mean ground."""
    cloud = laspy.read(path)
    xyz = np.stack([cloud.x, cloud.y, cloud.z], axis=1)
    kind = np.asarray(cloud.classification)
    real = ~np.isin(kind, NOISE)
    ground = NearestNDInterpolator(xyz[kind == GROUND, :2], xyz[kind == GROUND, 2])
    found = []
    for place in places:
        away = np.hypot(*(xyz[:, :2] - place).T)
        near = real & (away <= REACH_M)
        energy = np.exp(-0.5 * (away[near] / SIGMA_M) ** 2)
        energy /= np.maximum(np.asarray(cloud.number_of_returns)[near], 1)
        level = ground(xyz[near, :2])
        mean = np.average(level, weights=energy)
        found.append(relative_heights(xyz[near, 2] - mean, energy)[int(PERCENTILE)])
    return np.array(found)


def judge_site(plots: list[Plot]) -> dict:
    """Correct each plot by the others and return the errors before and after."""
    owner = np.concatenate([np.full(len(plot.rh), i) for i, plot in enumerate(plots)])
    places = np.concatenate([np.tile(plot.centre, (len(plot.rh), 1)) for plot in plots])
    rh = np.maximum(np.concatenate([plot.rh for plot in plots]), 0)
    mapped = np.concatenate([plot.mapped for plot in plots])
    tall = np.isfinite(mapped) & usable(rh, mapped, 3.0)
    factors = np.ones(len(plots))
    for index, plot in enumerate(plots):
        far = np.hypot(*(places - plot.centre).T) > GUARD_M
        ratios = Ratios(places=places[far & tall], values=log_ratio(rh, mapped)[far & tall])
        ratios = ratios.part(~outliers(ratios))
        field = fit_field(ratios, SITE_M, (0.5, 2.0))
        factors[index] = np.exp(field.at(plot.centre[None])[0][0])
    after = corrected(mapped, factors[owner], 1.0)
    judged = Judged(
        rh=rh, before=mapped, after=after, counted=tall, tall=tall, blocks=owner, block_m=0.0,
        folds=len(plots),
    )  # fmt: skip
    before_px = np.concatenate([plot.map_m.ravel() for plot in plots])
    after_px = np.concatenate(
        [corrected(p.map_m, f, 1.0).ravel() for p, f in zip(plots, factors, strict=True)]
    )
    true_px = np.concatenate([plot.lidar_m.ravel() for plot in plots])
    fine = np.isfinite(before_px) & np.isfinite(true_px)
    gain, error = judged.gain
    change = float(np.sqrt(np.mean(np.log(factors) ** 2)))
    return {
        "plots": len(plots),
        "shots": int(tall.sum()),
        "shots_from_points": int(sum(len(p.rh) for p in plots if p.from_points)),
        "rh_over_lidar": float(np.nanmedian(rh / np.concatenate([p.surface for p in plots]))),
        "factor": [float(value) for value in (factors.min(), np.median(factors), factors.max())],
        "shot_before": summary(mapped[tall], rh[tall]),
        "shot_after": summary(after[tall], rh[tall]),
        "gain": gain, "gain_error": error,
        "would_apply": bool(judged.is_better and change >= LEAST_CHANGE and tall.sum() >= FEWEST),
        "pixel_before": summary(before_px[fine], true_px[fine]),
        "pixel_after": summary(after_px[fine], true_px[fine]),
    }  # fmt: skip


def summary(heights: np.ndarray, truth: np.ndarray) -> dict:
    """Return MAE and bias [m]."""
    return {"mae": float(np.abs(heights - truth).mean()), "bias": float((heights - truth).mean())}


def main() -> None:
    """Run all sites and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--output", type=Path, help="JSON of the results")
    chosen = parser.parse_args()
    root = Path(os.environ["CANOPY_FIELD_DATA"]) / "pairs"
    every = {}
    for site in SITES:
        model = load_height_model(chosen.models / f"sites-{site}")
        with tempfile.TemporaryDirectory() as scratch:
            folders = sorted(path for path in (root / site).iterdir() if path.is_dir())
            plots = [read_plot(folder, site, model, Path(scratch)) for folder in folders]
        every[site] = judge_site(plots)
        every[site]["with_points"] = None
        if any(plot.from_points for plot in plots) and not all(p.from_points for p in plots):
            every[site]["with_points"] = judge_site([p for p in plots if p.from_points])
        print(site, json.dumps(every[site]), flush=True)
    if chosen.output:
        chosen.output.write_text(json.dumps(every, indent=1))


if __name__ == "__main__":
    main()
