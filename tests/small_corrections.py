"""Correction networks small enough to be understood, and imagery with footprints for them."""

from __future__ import annotations

import json
import math

import geopandas
import numpy as np
import rasterio
import torch
import yaml
from affine import Affine

from canopy.correction_network.model import (
    CorrectionCard,
    CorrectionModel,
    save_correction_model,
)
from canopy.correction_network.network import CorrectionArchitecture, CorrectionNetwork

CRS, WEST, NORTH, GSD_M = "EPSG:32633", 500_000.0, 5_400_000.0, 0.6
SMALL = CorrectionArchitecture(window_px=32, channels=(4, 4), hidden=8)


def card(**changes):
    facts = {
        "name": "small", "version": "1", "summary": "A network for tests.", "licence": "Apache-2.0",
        "training_data": "none", "gsd_m": GSD_M, "percentile": 95.0,
        "mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2), "noise": 0.2,
    }  # fmt: skip
    return CorrectionCard(**(facts | changes))


def network(seed=0, architecture=SMALL):
    """A network of random weights that leaves chance as it was."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    made = CorrectionNetwork(architecture).eval()
    torch.random.set_rng_state(state)
    return made


def constant(height_m, architecture=SMALL):
    """A network that predicts the same height whatever it sees."""
    made = network(architecture=architecture)
    with torch.no_grad():
        made.height.weight.zero_()
        made.height.bias.fill_(math.log(math.expm1(height_m / architecture.scale_m)))
    return made


def varied(architecture=SMALL, seed=3):
    """A network whose predictions follow the image strongly, about 12 m."""
    made = network(seed, architecture)
    with torch.no_grad():
        made.height.weight.mul_(4)
        made.height.bias.fill_(0.2)
    return made


def save(made, folder, architecture=SMALL, **changes):
    """Save a network and return its folder."""
    model = CorrectionModel(network=made, card=card(**changes), architecture=architecture)
    save_correction_model(model, folder)
    return folder


def write_scene(path, side=400, seed=0, gsd=GSD_M, level=None):
    """Write an image whose brightness differs from place to place; return its pixels."""
    rng = np.random.default_rng(seed)
    grey = np.repeat(np.repeat(rng.integers(30, 220, (-(-side // 20),) * 2), 20, 0), 20, 1)
    grey = grey[:side, :side] if level is None else np.full((side, side), level)
    noise = rng.integers(-20, 20, (3, side, side))
    pixels = np.clip(grey + noise, 0, 255).astype(np.uint8)
    profile = {
        "driver": "GTiff", "count": 3, "dtype": "uint8", "height": side, "width": side,
        "crs": CRS, "transform": Affine(gsd, 0, WEST, 0, -gsd, NORTH), "photometric": "RGB",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
    return pixels


def write_heights(path, heights, gsd=GSD_M, **changes):
    """Write heights [m] on the pixels of the scene."""
    profile = {
        "driver": "GTiff", "count": 1, "dtype": "float32", "height": heights.shape[0],
        "width": heights.shape[1], "crs": CRS, "nodata": np.nan,
        "transform": Affine(gsd, 0, WEST, 0, -gsd, NORTH),
    } | changes  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(heights.astype(profile["dtype"]), 1)
    return path


def write_footprints(path, pixels, step_m=8.0, **columns):
    """Write footprints whose RH95 is the brightness around them: 40 m is white."""
    side_m = pixels.shape[1] * GSD_M
    places = np.arange(12.0, side_m - 12, step_m)
    right, down = (values.ravel() for values in np.meshgrid(places, places))
    grey = pixels.mean(axis=0)
    rows, cols = (down / GSD_M).astype(int), (right / GSD_M).astype(int)
    rh = [40 * grey[r - 8 : r + 8, c - 8 : c + 8].mean() / 255
          for r, c in zip(rows, cols, strict=True)]  # fmt: skip
    table = {"rh95": rh, "quality_flag": 1, "degrade_flag": 0, "sensitivity": 0.97} | columns
    points = geopandas.points_from_xy(WEST + right, NORTH - down)
    geopandas.GeoDataFrame(table, geometry=points, crs=CRS).to_parquet(path)
    return np.array(rh)


def write_run(folder, *, steps=6, **changes):
    """Write a scene with footprints, and a configuration that learns from them."""
    pixels = write_scene(folder / "scene.tif")
    write_footprints(folder / "shots.parquet", pixels)
    item = {"properties": {"view:sun_elevation": 41.0}}
    (folder / "scene.json").write_text(json.dumps(item))
    run = {
        "pairs": [{"image": "scene.tif", "footprints": "shots.parquet", "item": "scene.json"}],
        "samples": {"block_m": 40, "aside": 0.2},
        "network": {"window_px": 32, "channels": [4, 4], "hidden": 8},
        "batch": 8,
        "run": {"steps": steps, "validate_every": 3, "checkpoint_every": 2, "log_every": 1},
    }  # fmt: skip
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(run | changes))
    return path
