"""A recipe that learns from tiny plots in a second."""

from __future__ import annotations

from dataclasses import replace

from canopy.learning.settings import RunSettings
from canopy.supervision.examples import ExampleSettings
from canopy.supervision.pairs import PairSettings
from canopy.supervision.recipe import Recipe
from canopy.supervision.start import CardFacts, NetworkSettings

TINY = Recipe(
    evaluation_tile_px=32,
    start=NetworkSettings(
        dim=24, depth=2, heads=2, stem_channels=(8, 16), stem_depth=(1, 1),
        level_channels=(8, 8, 8, 8), width=8, head_channels=8, bins=16,
    ),
    pairs=PairSettings(sites=("A", "B"), unaligned=(), elsewhere=("C",)),
    examples=ExampleSettings(tiles_px=(32,), pixels=2048, shift_px=16),
    run=RunSettings(steps=4, validate_every=2, checkpoint_every=3, log_every=2),
    card=CardFacts(name="tiny", training_data="made by a test"),
)  # fmt: skip


def changed(recipe, **sections):
    """Return a recipe with some fields of its sections changed: ``run={"seed": 1}``."""
    return replace(
        recipe,
        **{name: replace(getattr(recipe, name), **values) for name, values in sections.items()},
    )
