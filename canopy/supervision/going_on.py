"""Recipes that go on from a model: what it learned before, and whether that may be judged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canopy.errors import SettingsError
from canopy.learning.run_folder import SETTINGS_FILE
from canopy.supervision.start import goes_on
from canopy.weights import zoo_entry
from canopy.zoo.cache import cached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canopy.supervision.pairs import HeightPair
    from canopy.supervision.recipe import Recipe
    from canopy.supervision.start import Start

MOST_PLOTS = 3
"""Plots that an error names."""


def going_on(recipe: Recipe, split: str, earlier: Path | None) -> Recipe:
    """Return the recipe of a split, which goes on from the same split's model of another recipe.

    Args:
        recipe: the recipe that is judged.
        split: its name, such as ``blocks-0``.
        earlier: folder of the validation of the recipe before; None where there was none.

    Raises:
        SettingsError: the recipe does not go on from a model, or that split has none.
    """
    if earlier is None:
        return recipe
    if not goes_on(recipe.start):
        msg = f"--start {earlier}: the recipe begins anew; set its start.model to go on from one"
        raise SettingsError(msg)
    seeded = earlier / f"seed-{recipe.run.seed}" / split
    folder = seeded if seeded.is_dir() else earlier / split
    if not (folder / SETTINGS_FILE).is_file():
        msg = f"--start {earlier}: found no {split} in it; expected a finished validation"
        raise SettingsError(msg)
    return replace(recipe, start=replace(recipe.start, model=str(folder)))


def refuse_seen(start: Start, held_out: Sequence[HeightPair]) -> None:
    """Refuse to judge on plots that the model at the start has learned from, as far as it is known.

    Raises:
        SettingsError: it has.
    """
    learned = learned_before(settings_before(start))
    if seen := [pair.plot for pair in held_out if (pair.box.site, pair.plot) in learned]:
        more = " ..." if len(seen) > MOST_PLOTS else ""
        names = ", ".join(seen[:MOST_PLOTS]) + more
        msg = (
            f"start.model learned from plots that are held out ({names}): judge the recipe it was "
            "made by first, and give that folder as --start"
        )
        raise SettingsError(msg)


def with_before(settings: dict[str, Any], start: Start) -> dict[str, Any]:
    """Return the settings of a run with those of the model that it goes on from as ``before``."""
    before = settings_before(start)
    return settings | ({"before": before} if before else {})


def settings_before(start: Start) -> dict[str, Any]:
    """Return how the model at the start was trained; nothing without one, or where none knows."""
    if not goes_on(start):
        return {}
    entry = zoo_entry(start.model)
    place = cached(entry) if entry else Path(start.model)
    if place is None:
        return {}
    try:
        settings = json.loads((place / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}


def learned_before(settings: dict[str, Any]) -> set[tuple[str, str]]:
    """Return sites and plots that a training and those before it learned from, as settings say."""
    try:
        sites, plots = settings["pairs"]["sites"], settings["learned"]
        own = {(str(site), str(plot)) for site in sites for plot in plots}
    except (KeyError, TypeError):  # it learned from chips, or is none of ours
        own = set()
    before = settings.get("before")
    return own | (learned_before(before) if isinstance(before, dict) else set())
