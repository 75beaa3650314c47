"""``canopy train validate``: judge a recipe by plots that its models never saw.

Five folds over blocks of ground, and one site left out at a time; each beside three baselines on
the same folds.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from canopy.errors import OutputError, SettingsError
from canopy.learning.run_folder import CHECKPOINT_FILE, SETTINGS_FILE, RunFolder
from canopy.supervision.baselines import BASELINES, fit_baseline, predict_baseline
from canopy.supervision.plot_errors import (
    bare_heights,
    false_heights,
    model_errors,
    pooled_errors,
    predict_plot,
)
from canopy.supervision.train_plots import fit
from canopy.weights import load_height_model
from geo.spatial_split import leave_one_out, spatial_folds
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from canopy.height_models.height_model import HeightModel
    from canopy.supervision.pairs import HeightPair
    from canopy.supervision.recipe import Recipe

    Progress = Callable[[int, int], None]

__all__ = [
    "Split",
    "elsewhere_errors",
    "judge",
    "load_predictions",
    "make_splits",
    "missing_splits",
    "predict_plot",
    "run_split",
]

log = logging.getLogger(__name__)

FOLDS = 5
GUARD_M = 20.0
"""Plots closer than one small plot's side share a fold."""
PREDICTIONS_FILE, SECONDS_FILE = "predictions.npz", "seconds.json"


@dataclass(frozen=True, kw_only=True)
class Split:
    """One training run: what is held out, and under which name.

    Attributes:
        scheme: ``blocks`` or ``sites``.
        name: of the fold or site.
        held_out: indices of the plots that are evaluated.
    """

    scheme: str
    name: str
    held_out: tuple[int, ...]

    @property
    def folder(self) -> str:
        """Name of its folder: ``blocks-0``, ``sites-NEON_TEAK``."""
        return f"{self.scheme}-{self.name}"


def make_splits(pairs: Sequence[HeightPair], *, seed: int) -> list[Split]:
    """Return the five folds over blocks of ground, then one site left out at a time.

    Raises:
        SettingsError: the plots are too few or too near to one another for so many folds.
    """
    try:
        folds = spatial_folds([pair.box for pair in pairs], folds=FOLDS, guard=GUARD_M, seed=seed)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    blocks = [
        Split(
            scheme="blocks",
            name=str(fold),
            held_out=tuple(np.flatnonzero(np.equal(folds, fold)).tolist()),
        )
        for fold in range(FOLDS)
    ]
    sites = leave_one_out([pair.box.site for pair in pairs])
    if len(sites) == 1:  # nothing would be left to learn from
        return blocks
    return blocks + [
        Split(scheme="sites", name=site, held_out=tuple(indices)) for site, indices in sites.items()
    ]


def run_split(
    pairs: Sequence[HeightPair],
    split: Split,
    recipe: Recipe,
    output: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> None:
    """Train the network and the baselines without the held-out plots; save what they predict there.

    A split whose predictions stand already is left as it is.

    Args:
        pairs: all plots.
        split: which of them are held out.
        recipe: how the network is made.
        output: folder of all splits; this one's has the model with its log and curves,
            ``predictions.npz`` by ``method/plot``, and ``seconds.json``.
        resume: whether to go on with a split that was stopped half-way.
        progress: told the number of steps that are done and of all.

    Raises:
        CanopyError: the split was begun with another recipe, or training fails.
    """
    folder = output / split.folder
    held_out = [pairs[index] for index in split.held_out]
    if (folder / PREDICTIONS_FILE).is_file():
        check_same_run(folder, recipe, held_out)
        log.info("%s: found predictions, kept", split.folder)
        return
    learned = [pair for index, pair in enumerate(pairs) if index not in split.held_out]
    model = fit(learned, recipe, folder, held_out=held_out, resume=resume, progress=progress)
    predictions = predictions_of(model, learned, held_out, recipe)
    seconds = RunFolder(path=folder).read_log()[-1]["seconds"]
    (folder / SECONDS_FILE).write_text(json.dumps(seconds), encoding="utf-8")
    with whole_file(folder / PREDICTIONS_FILE) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **predictions)
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)  # nothing is left to go on with
    log.info("%s: trained in %.0f s", split.folder, seconds)


def predictions_of(
    model: HeightModel,
    learned: Sequence[HeightPair],
    held_out: Sequence[HeightPair],
    recipe: Recipe,
) -> dict[str, NDArray[np.float32]]:
    """Return what a model, and baselines made of what it learned from, see on held-out plots.

    Returns:
        Heights [m] (v, u) by ``method/plot``.
    """
    predictions = {
        f"network/{pair.plot}": predict_plot(model, pair, recipe.evaluation_tile_px)
        for pair in held_out
    }
    for name in BASELINES:
        baseline = fit_baseline(name, learned, seed=recipe.run.seed)
        predictions |= {
            f"{name}/{pair.plot}": predict_baseline(baseline, pair) for pair in held_out
        }
    return predictions


def check_same_run(folder: Path, recipe: Recipe, held_out: Sequence[HeightPair]) -> None:
    """Refuse a finished split that was made by another recipe, or held out other plots.

    Raises:
        OutputError: it was, or does not say by which.
    """
    settings = {**asdict(recipe), "held_out": [pair.plot for pair in held_out]}
    wanted = json.loads(json.dumps(settings))
    try:
        begun = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        begun = {}
    if other := sorted(name for name in wanted if begun.get(name) != wanted[name]):
        msg = f"{folder} was made with another {', '.join(other)}: name another folder"
        raise OutputError(msg)


def missing_splits(splits: Sequence[Split], output: Path) -> list[str]:
    """Return the names of the splits that have not been run."""
    return [s.folder for s in splits if not (output / s.folder / PREDICTIONS_FILE).is_file()]


def judge(pairs: Sequence[HeightPair], splits: Sequence[Split], output: Path) -> dict[str, object]:
    """Return errors of every method from saved predictions: pooled by scheme, by site and split."""
    report: dict[str, object] = {"plots": len(pairs), "seconds": seconds_of(splits, output)}
    for scheme in dict.fromkeys(split.scheme for split in splits):
        chosen = [split for split in splits if split.scheme == scheme]
        predictions: dict[str, NDArray[np.float32]] = {}
        for split in chosen:
            predictions |= load_predictions(output, split)
        groups = groups_of(pairs, chosen)
        report[scheme] = {
            group: {
                method: {
                    f"{block} m": pooled_errors(members, predictions, method, block).as_dict()
                    for block in (1, 3)
                }
                for method in ("network", *BASELINES)
            }
            for group, members in groups.items()
        }
        report[f"{scheme}: bare ground"] = {
            method: bare_heights(groups["pooled"], predictions, method)
            for method in ("network", *BASELINES)
        }
    report["made scenes"] = made_scenes(splits, output)
    return report


def groups_of(pairs: Sequence[HeightPair], splits: Sequence[Split]) -> dict[str, list[HeightPair]]:
    """Return the held-out plots of some splits together, by split, and by site."""
    each = {f"split {split.name}": [pairs[index] for index in split.held_out] for split in splits}
    pooled = [pair for members in each.values() for pair in members]
    sites = sorted({pair.box.site for pair in pooled})
    by_site = {site: [pair for pair in pooled if pair.box.site == site] for site in sites}
    return {"pooled": pooled, **each, **by_site}


def made_scenes(splits: Sequence[Split], output: Path) -> dict[str, dict[str, float]]:
    """Return false heights on made scenes, by kind, the mean over the models of all splits."""
    each = [false_heights(load_height_model(output / s.folder, device="cpu")) for s in splits]
    return {
        kind: {name: float(np.mean([one[kind][name] for one in each])) for name in each[0][kind]}
        for kind in each[0]
    }


def elsewhere_errors(
    model: HeightModel, pairs: Sequence[HeightPair], tile: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the errors of a finished model on sites that no weights learn from.

    Returns:
        By site, then by side of blocks in pixels of the reference.
    """
    sites = sorted({pair.box.site for pair in pairs})
    members = {site: [pair for pair in pairs if pair.box.site == site] for site in sites}
    return {
        site: {
            f"{block} px": model_errors(model, members[site], tile, block).as_dict()
            for block in (1, 2, 6)
        }
        for site in sites
    }


def seconds_of(splits: Sequence[Split], output: Path) -> dict[str, float]:
    """Return the training time of each split [s]."""
    return {
        split.folder: float(json.loads((output / split.folder / SECONDS_FILE).read_text()))
        for split in splits
    }


def load_predictions(output: Path, split: Split) -> dict[str, NDArray[np.float32]]:
    """Return the saved predictions of a split by ``method/plot`` [m] (v, u)."""
    with np.load(output / split.folder / PREDICTIONS_FILE) as saved:
        return {name: saved[name] for name in saved.files}
