"""The network that ships, on a simulated world from a seed that it never saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio

from canopy.correction_network.correct import correct_by_model
from canopy.correction_network.model import load_correction_model, shipped_corrections
from canopy.correction_network.place_facts import ViewFacts
from canopy.correction_network.settings import ByModelSettings
from canopy.zoo.cache import shipped_folder
from geo.simulation.instruments import LidarSettings
from geo.simulation.presets import find_preset
from geo.simulation.world import nth_world, simulate
from geo.simulation.write import write_world

NAME = "correction-simulated"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A mixed forest of 256 m: its imagery and its true heights."""
    folder = tmp_path_factory.mktemp("world")
    preset = replace(find_preset("mixed"), size_m=256.0, lidar=LidarSettings(per_m2=0.5))
    settings, seed = nth_world(preset, 4711, 2)
    made = simulate(settings, seed)
    write_world(made, folder)
    return folder, made


def corrected(folder, heights, **changes):
    with rasterio.open(folder / "chm.tif") as dataset:
        profile = dataset.profile | {"driver": "GTiff"}
    with rasterio.open(folder / "map.tif", "w", **profile) as dataset:
        dataset.write(heights.astype(np.float32), 1)
    settings = ByModelSettings(preview=False, stac=False, overwrite=True, **changes)
    correct_by_model(
        folder / "map.tif", NAME, str(folder / "imagery.tif"), folder / "out.tif", settings
    )
    with rasterio.open(folder / "out.tif") as dataset:
        return dataset.read(1)


def bias(heights, truth):
    tall = truth > 3
    return heights[tall].sum() / truth[tall].sum() - 1


@pytest.mark.parametrize("factor", [0.7, 1.2])
def test_more_than_half_of_a_bias_goes(world, factor):
    folder, made = world
    view = ViewFacts(sun_elevation=made.settings.sun.elevation_deg)
    before = made.chm * factor
    after = corrected(folder, before, view=view)
    assert abs(bias(after, made.chm)) < 0.4 * abs(bias(before, made.chm))
    assert np.abs(after - made.chm).mean() < 0.5 * np.abs(before - made.chm).mean()


def test_ground_without_trees_stays_bare(world):
    folder, made = world
    assert (corrected(folder, np.zeros_like(made.chm)) == 0).all()


def test_it_says_what_it_is():
    assert NAME in shipped_corrections()
    model = load_correction_model(NAME)
    assert model.card.simulated
    assert "not for real maps" in model.card.notice
    folder = shipped_folder() / NAME
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "model.safetensors", "training.json"
    }  # fmt: skip
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
