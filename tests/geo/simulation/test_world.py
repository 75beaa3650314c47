"""A world is exact, and the same wherever, whenever and in whatever company it is made."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_worlds import PLAIN_CAMERA, pixels_of, settings_of, sun_at, world_of

from geo.simulation import world as world_module
from geo.simulation.crowns import top_at
from geo.simulation.place import Points
from geo.simulation.presets import PRESETS
from geo.simulation.scenery import make_site, relief_of
from geo.simulation.settings import SimulationError
from geo.simulation.terrain import TerrainSettings
from geo.simulation.world import nth_world, simulate

ROOT = Path(__file__).parents[3]
TINY = {"size_m": 30.0, "gsd_m": 0.6}


def digest(world):
    """One number for all that a world holds."""
    parts = [world.imagery, world.chm, world.dtm, world.dsm, world.trees.x, world.trees.height_m]
    parts += [world.points.x, world.points.z, world.points.kind, world.footprints.rh]
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
    ).hexdigest()


def test_the_same_seed_makes_the_same_world_and_another_makes_another():
    settings = settings_of("mixed", **TINY)
    assert digest(simulate(settings, 1)) == digest(simulate(settings, 1))
    assert digest(simulate(settings, 1)) != digest(simulate(settings, 2))


def test_another_process_makes_the_same_world():
    program = (
        "import sys; sys.path[:0] = ['tests', 'tests/geo/simulation', '.']\n"
        "from test_world import TINY, digest, settings_of, simulate\n"
        "print(digest(simulate(settings_of('urban-edge', **TINY), 3)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == digest(simulate(settings_of("urban-edge", **TINY), 3))


def test_a_world_does_not_depend_on_those_made_before_it():
    settings = settings_of("conifer", **TINY)
    alone = simulate(*nth_world(settings, 9, 2))
    for number in (0, 1, 2):
        last = simulate(*nth_world(settings, 9, number))
    assert digest(alone) == digest(last)
    west = [nth_world(settings, 9, number)[0].west_m for number in range(3)]
    assert np.diff(west).min() > settings.side_m


def test_heights_do_not_depend_on_the_tiles(monkeypatch):
    settings = settings_of("mixed", size_m=48)
    whole = simulate(settings, 2)
    monkeypatch.setattr(world_module, "TILE_M", 20.0)
    tiled = simulate(settings, 2)
    for name in ("chm", "dtm", "dsm"):
        np.testing.assert_allclose(getattr(tiled, name), getattr(whole, name), rtol=0, atol=1e-3)
    difference = np.abs(tiled.imagery.astype(int) - whole.imagery)
    # Skylight is sampled on pixels of its own for each tile: a few grey values, and no seam.
    assert difference.mean() < 1
    columns = difference.mean((0, 1))
    assert columns.max() < 6


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_exact(name):
    world = world_of(name)
    assert world.imagery.shape == (3, 100, 100)
    assert world.chm.min() >= 0
    assert np.isfinite(world.dsm).all()
    x, y = pixel_centres(world, 400)
    ground = make_site(world.settings, world.seed).terrain.elevation(Points(x=x, y=y))
    canopy = np.maximum(top_at(world.trees, x, y) - ground, 0)
    rows, columns = pixels_of(world, x, y)
    np.testing.assert_allclose(world.dtm[rows, columns], ground, rtol=0, atol=1e-3)
    found = world.chm[rows, columns]
    on_roof = world.dsm[rows, columns] - world.dtm[rows, columns] > found + 1e-3
    np.testing.assert_allclose(found[~on_roof], canopy[~on_roof], rtol=0, atol=2e-3)
    assert (found[on_roof] == 0).all()


def pixel_centres(world, count):
    """Centres of some pixels [m]."""
    rows, columns = np.random.default_rng(0).integers(0, world.settings.pixels, (2, count))
    gsd = world.settings.gsd_m
    return (columns + 0.5) * gsd, (world.settings.pixels - rows - 0.5) * gsd


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_surface_is_ground_and_canopy_but_for_buildings(name):
    world = world_of(name)
    site = make_site(world.settings, world.seed)
    x = (np.arange(100) + 0.5) * 0.6
    grid_x, grid_y = np.meshgrid(x, x[::-1])
    off = np.ones(grid_x.shape, bool)
    for house in site.layout.buildings:
        along, side = house.axes(grid_x, grid_y)
        off &= ~((np.abs(along) <= house.half_long_m) & (np.abs(side) <= house.half_wide_m))
    above = world.dsm - world.dtm
    np.testing.assert_allclose(above[off], world.chm[off], rtol=0, atol=1e-4)
    roofs = ~off & (world.chm == 0)
    assert (above[roofs] > 2).all()


def test_buildings_are_in_the_surface_and_not_in_the_canopy():
    settings = settings_of("urban-edge", size_m=100)
    world = simulate(replace(settings, ground=replace(settings.ground, buildings_per_ha=12)), 1)
    roofs = (world.dsm - world.dtm > 2) & (world.chm == 0)
    assert roofs.mean() > 0.02


def test_water_lies_level_and_bare():
    settings = settings_of("treeless", size_m=90, terrain=TerrainSettings(water=0.3))
    site = make_site(settings, 2)
    world = simulate(settings, 2)
    x = (np.arange(settings.pixels) + 0.5) * settings.gsd_m
    grid_x, grid_y = np.meshgrid(x, x[::-1])
    wet = site.terrain.is_water(Points(x=grid_x.ravel(), y=grid_y.ravel())).reshape(grid_x.shape)
    assert wet.mean() == pytest.approx(0.3, abs=0.06)
    assert np.ptp(world.dtm[wet]) < 1e-3
    assert (world.chm[wet] == 0).mean() > 0.98
    assert world.imagery[:, wet].mean() < 0.7 * world.imagery[:, ~wet].mean()


def test_shaded_ground_is_darker_in_the_photograph():
    settings = settings_of("savanna", size_m=90, camera=PLAIN_CAMERA, sun=sun_at(90, 35))
    world = simulate(settings, 2)
    tall = world.chm > 4
    steps = round(4 / np.tan(np.radians(35)) / 0.6 / 2)
    west_of_trees = np.roll(tall, -steps, 1) & (world.chm == 0)
    east_of_trees = np.roll(tall, steps, 1) & (world.chm == 0)
    assert west_of_trees.sum() > 50
    grey = world.imagery.mean(0)
    assert grey[west_of_trees].mean() < 0.8 * grey[east_of_trees].mean()


@pytest.mark.parametrize("gsd", [0.3, 0.5, 1.0])
def test_other_pixels_see_the_same_world(gsd):
    world, usual = simulate(settings_of("mixed", size_m=30, gsd_m=gsd), 4), world_of("mixed", 4, 30)
    assert world.settings.fine_per_pixel % 2 == 1
    assert world.chm.mean() == pytest.approx(usual.chm.mean(), rel=0.03)
    assert world.imagery.mean() == pytest.approx(usual.imagery.mean(), rel=0.06)


def test_closed_forest_is_closed_and_as_high_as_such_forests_are():
    world = simulate(settings_of("broadleaf", size_m=120), 3)
    assert (world.chm > 2).mean() > 0.9
    middle, upper = np.quantile(world.chm, (0.5, 0.95))
    assert 14 < middle < 26
    assert middle + 3 < upper < 38


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gsd_m": 0.01}, "pixel of 0.01 m: expected 0.1 to 5 m"),
        ({"size_m": 3.0}, "size of 3 m: expected 16 to 4000 m"),
        ({"sun": sun_at(10, 5)}, "sun's elevation of 5 degrees: expected 15 to 85 degrees"),
        ({"crs": "EPSG:4326"}, "CRS EPSG:4326: expected a projected one in metres"),
        ({"crs": "nonsense"}, "CRS nonsense: expected a projected one in metres"),
    ],
)
def test_what_cannot_be_a_world_is_refused(change, message):
    with pytest.raises(SimulationError, match=message):
        simulate(replace(settings_of("mixed"), **change), 1)


def test_relief_of_a_part_is_that_of_the_window():
    site = make_site(settings_of("mixed"), 3)
    window = world_module.Window(west=0, north=150, rows=150, columns=150, pitch=0.2)
    relief = relief_of(site, window)
    part, own = relief.part(10, 20, 30, 40), relief_of(site, window.grown(-20, -10, -90, -110))
    assert part.window == own.window
    np.testing.assert_allclose(part.height, own.height, rtol=0, atol=1e-3)
