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


KINDS = ("conifer", "mixed", "plantation")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Forests of 256 m of three kinds: their imagery and their true heights."""
    made = []
    for number, kind in enumerate(KINDS):
        folder = tmp_path_factory.mktemp(kind)
        preset = replace(find_preset(kind), size_m=256.0, lidar=LidarSettings(per_m2=0.5))
        world = simulate(*nth_world(preset, 4711, number))
        write_world(world, folder)
        made.append((folder, world))
    return made


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


def test_more_than_half_of_a_bias_goes(worlds):
    """Over all of them: on a single small forest the network may err as much as the map."""
    biases, errors = [], []
    for folder, made in worlds:
        view = ViewFacts(sun_elevation=made.settings.sun.elevation_deg)
        for factor in (0.7, 1.2):
            pair = made.chm * factor, corrected(folder, made.chm * factor, view=view)
            biases.append([abs(bias(heights, made.chm)) for heights in pair])
            errors.append([np.abs(heights - made.chm).mean() for heights in pair])
    before, after = np.mean(biases, axis=0)
    assert after < 0.5 * before
    before, after = np.mean(errors, axis=0)
    assert after < 0.6 * before


def test_ground_without_trees_stays_bare(worlds):
    folder, made = worlds[1]
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
