"""``canopy train plots``: from a recipe and folders of plots to a height model."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from canopy.height_models.folder import save_height_model
from canopy.learning.curves import CURVES_FILE, draw_curves
from canopy.learning.loop import learn
from canopy.learning.run_folder import RunFolder
from canopy.supervision.going_on import with_before
from canopy.supervision.pairs import field_data_root, read_pairs
from canopy.supervision.plot_task import PlotTask
from canopy.supervision.recipe import read_recipe
from canopy.supervision.simulated_plots import simulate_plots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from canopy.height_models.height_model import HeightModel
    from canopy.supervision.pairs import HeightPair
    from canopy.supervision.recipe import Recipe

    Progress = Callable[[int, int], None]


def train_plots(
    config: Path,
    output: Path,
    *,
    data: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> HeightModel:
    """Train a height model on all plots of a recipe.

    Args:
        config: the recipe, YAML.
        output: folder of the run: ``config.json`` and ``model.safetensors`` as any model has them,
            ``training.json``, ``log.jsonl``, ``curves.png``, and the checkpoint.
        data: folder that holds ``pairs/SITE/PLOT/{rgb,chm}.tif``; what ``CANOPY_FIELD_DATA`` names
            where it is not given.
        resume: whether to go on from where a run in that folder was stopped; its end is the same.
        progress: told the number of steps that are done and of all.

    Raises:
        CanopyError: the recipe, the plots, the model or the output do not fit, or the loss stopped
            being a number.
    """
    recipe = read_recipe(config)
    RunFolder(path=output).check(resume=resume)
    pairs = read_pairs(field_data_root(data), recipe.pairs)
    return fit(pairs, recipe, output, resume=resume, progress=progress)


def fit(
    pairs: Sequence[HeightPair],
    recipe: Recipe,
    output: Path,
    *,
    held_out: Sequence[HeightPair] = (),
    resume: bool = False,
    progress: Progress | None = None,
) -> HeightModel:
    """Train a height model on plots, and save it with its log and curves.

    Args:
        pairs: plots to learn from; those that the recipe calls unaligned are left out, those that
            it wants simulated come last.
        recipe: everything else. The same recipe, plots and number of threads give the same weights.
        output: folder of the run.
        held_out: plots that the run is watched on; they decide nothing.
        resume: whether to go on from where a run in that folder was stopped.
        progress: told the number of steps that are done and of all.

    Returns:
        The model, with the moving average of its weights.

    Raises:
        CanopyError: plots, model or output do not fit, or the loss stopped being a number.
    """
    learned = [pair for pair in pairs if pair.plot not in recipe.pairs.unaligned]
    learned += simulate_plots(recipe.simulated, gsd_m=recipe.pairs.gsd_m)
    task = PlotTask(learned, held_out, recipe)
    folder = RunFolder(path=output)
    state = folder.open(resolved(recipe, learned, held_out), resume=resume)
    average = learn(task, recipe.run, folder, state=state, progress=progress)
    model = task.finished(average)
    draw_curves(folder.read_log(), output / CURVES_FILE)
    save_height_model(model, output)
    return model


def resolved(
    recipe: Recipe, learned: Sequence[HeightPair], held_out: Sequence[HeightPair]
) -> dict[str, Any]:
    """Return all that decides the weights of a run, as its folder keeps it."""
    settings = {
        **asdict(recipe),
        "threads": torch.get_num_threads(),  # changes weights by rounding
        "learned": [pair.plot for pair in learned],
        "held_out": [pair.plot for pair in held_out],
    }
    return with_before(settings, recipe.start)
