"""Simulated plots are those that `canopy simulate` writes, learned from and never judged."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from small_recipes import TINY

from canopy.errors import ModelError
from canopy.supervision.pairs import read_pair
from canopy.supervision.recipe import Recipe, read_recipe
from canopy.supervision.simulated_plots import SimulatedSettings, simulate_plots
from canopy.supervision.train_plots import fit
from geo.simulation.worlds import WorldsRequest, make_worlds

SMALL = SimulatedSettings(presets=("conifer", "savanna"), suns_deg=(30, 50), side_m=18.0, seed=4)
NAMES = [f"simulated-{sun}-{name}" for sun in (30, 50) for name in ("conifer-0000", "savanna-0001")]


def test_they_are_the_worlds_that_are_written_under_the_same_sun(tmp_path):
    plots = {plot.plot: plot for plot in simulate_plots(SMALL, gsd_m=0.6)}
    assert list(plots) == NAMES
    request = WorldsRequest(
        output=tmp_path / "worlds", seed=54, worlds=2, presets=SMALL.presets,
        size_m=18.0, gsd_m=0.6, sun_elevation_deg=50,
    )  # fmt: skip
    make_worlds(request)
    for name in ("conifer-0000", "savanna-0001"):
        folder = tmp_path / "worlds" / name
        (folder / "imagery.tif").rename(folder / "rgb.tif")
        written, plot = read_pair(folder, site="any", gsd_m=0.6), plots[f"simulated-50-{name}"]
        for part in ("image", "image_heights", "heights", "image_valid", "heights_valid"):
            np.testing.assert_array_equal(getattr(plot, part), getattr(written, part), part)
        assert replace(written.box, site=plot.box.site) == plot.box
        assert np.ptp(plot.heights) > 2
        assert plot.heights_valid.all()


def test_every_sun_has_trees_of_its_own_and_another_seed_others():
    low, _, high, _ = simulate_plots(SMALL, gsd_m=0.6)
    other = simulate_plots(replace(SMALL, seed=5), gsd_m=0.6)[0]
    assert not np.array_equal(low.heights, high.heights)
    assert not np.array_equal(low.heights, other.heights)


def test_they_are_learned_from_beside_the_plots_and_never_held_out(pairs, tmp_path):
    recipe = replace(TINY, simulated=SMALL)
    model = fit(pairs[2:], recipe, tmp_path / "run", held_out=pairs[:2])
    settings = json.loads((tmp_path / "run" / "training.json").read_text())
    assert settings["learned"] == ["B_0", "B_1", *NAMES]
    assert settings["simulated"]["suns_deg"] == [30, 50]
    assert settings["held_out"] == ["A_0", "A_1"]
    seen = [*pairs[2:], *simulate_plots(SMALL, gsd_m=0.6)]
    pixels = np.concatenate([pair.image.reshape(3, -1) for pair in seen], axis=1) / 255
    np.testing.assert_allclose(model.card.mean, pixels.mean(axis=1), atol=1e-3)


def test_without_a_kind_there_are_none():
    assert Recipe().simulated.presets == ()
    assert simulate_plots(Recipe().simulated, gsd_m=0.6) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("presets: [jungle]", "simulated is refused .preset jungle: expected one of conifer"),
        ("presets: [mixed]\n  suns_deg: [5]", "sun's elevation of 5 degrees: expected 15 to 85"),
        ("presets: [mixed]\n  suns_deg: []", "found seed 0 and suns .*expected .* one sun or more"),
        ("presets: [mixed]\n  seed: -1", "found seed -1"),
        ("presets: [mixed]\n  side_m: 2", "size of 2 m: expected 16"),
        ("suns: [30]", "simulated has unknown fields"),
        ("presets: [mixed]\npairs: {gsd_m: 6}", "pairs.gsd_m 6: pixel of 6 m: expected 0.1 to 5 m"),
    ],
)
def test_what_cannot_be_simulated_is_told_when_the_recipe_is_read(tmp_path, text, told):
    (tmp_path / "recipe.yaml").write_text(f"simulated:\n  {text}\n")
    with pytest.raises(ModelError, match=told):
        read_recipe(tmp_path / "recipe.yaml")
