"""Judge a recipe honestly: `python -m canopy.supervision.cross_validation RECIPE --output DIR`.

Five folds over blocks of ground, and one site left out at a time; each beside three baselines on
the same folds.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from canopy.errors import CanopyError
from canopy.height_errors import HeightErrors, block_means, height_errors
from canopy.model_folder import save_height_model
from canopy.supervision.baselines import BASELINES, fit_baseline, predict_baseline
from canopy.supervision.fit_decoder import fit, log_every
from canopy.supervision.pairs import HeightPair, PairSettings, field_data_root, read_pairs
from canopy.supervision.recipe import Recipe, read_recipe, save_resolved
from canopy.supervision.zero_height import KINDS, bare_ground, make_scene, mirrored
from canopy.weights import load_height_model
from geo.spatial_split import leave_one_out, spatial_folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from canopy.height_model import HeightModel

log = logging.getLogger(__name__)

FOLDS = 5
GUARD_M = 20.0
"""Plots closer than one small plot's side share a fold."""
MADE_SCENES = 200
MADE_SIDE_PX = 96
MADE_SEED = 7_777_777
"""Made scenes for evaluation come from a seed that no training run uses."""
EVALUATION_ONLY = "CA_Kootenay"


@dataclass(frozen=True, kw_only=True)
class Split:
    """One training run: what is held out, and under which name.

    Attributes:
        scheme: `blocks` or `sites`.
        name: Of the fold or site.
        held_out: Indices of the plots that are evaluated.
    """

    scheme: str
    name: str
    held_out: tuple[int, ...]


def make_splits(pairs: Sequence[HeightPair], *, seed: int) -> list[Split]:
    """The five folds over blocks of ground, then one site left out at a time."""
    folds = spatial_folds([pair.box for pair in pairs], folds=FOLDS, guard=GUARD_M, seed=seed)
    blocks = [
        Split(
            scheme="blocks",
            name=str(fold),
            held_out=tuple(np.flatnonzero(np.equal(folds, fold)).tolist()),
        )
        for fold in range(FOLDS)
    ]
    sites = leave_one_out([pair.box.site for pair in pairs])
    return blocks + [
        Split(scheme="sites", name=site, held_out=tuple(indices)) for site, indices in sites.items()
    ]


def predict_plot(model: HeightModel, pair: HeightPair, tile: int) -> NDArray[np.float32]:
    """Heights [m] of a plot on its lidar grid (v, u); a plot smaller than a tile is mirrored."""
    rows, columns = pair.image.shape[-2:]
    side = max(tile, rows, columns)
    images = (mirrored(pair.image, side, (0, 0)) / np.float32(255))[None]
    return pair.on_height_grid(model.predict(images)[0, :rows, :columns])


def run_split(pairs: Sequence[HeightPair], split: Split, recipe: Recipe, output: Path) -> None:
    """Train the network and the baselines without the held-out plots; save what they predict there.

    A split whose predictions are already saved is left as it is, so that a broken run can go on.
    """
    folder = output / f"{split.scheme}-{split.name}"
    if (folder / "predictions.npz").is_file():
        log.info("%s: found predictions, kept", folder.name)
        return
    held_out = [pairs[index] for index in split.held_out]
    learned = [pair for index, pair in enumerate(pairs) if index not in split.held_out]
    start = time.monotonic()
    model = fit(learned, recipe, log_every(max(1, recipe.steps // 5)))
    seconds = time.monotonic() - start
    save_height_model(model, folder)
    predictions = {
        f"network/{pair.plot}": predict_plot(model, pair, recipe.evaluation_tile_px)
        for pair in held_out
    }
    for name in BASELINES:
        baseline = fit_baseline(name, learned, seed=recipe.seed)
        predictions |= {
            f"{name}/{pair.plot}": predict_baseline(baseline, pair) for pair in held_out
        }
    (folder / "seconds.json").write_text(json.dumps(seconds))
    np.savez_compressed(folder / "predictions.npz", allow_pickle=False, **predictions)
    log.info("%s: trained in %.0f s", folder.name, seconds)


def pooled_errors(
    pairs: Sequence[HeightPair],
    predictions: dict[str, NDArray[np.float32]],
    method: str,
    block: int,
) -> HeightErrors:
    """Errors over all pixels (block 1) or block means of the plots together."""
    predicted, true = [], []
    for pair in pairs:
        means, kept = block_means(
            predictions[f"{method}/{pair.plot}"], pair.heights_valid, size=block
        )
        reference, _ = block_means(pair.heights, pair.heights_valid, size=block)
        predicted.append(means[kept])
        true.append(reference[kept])
    return height_errors(np.concatenate(predicted), np.concatenate(true))


def false_heights(model: HeightModel) -> dict[str, dict[str, float]]:
    """Heights that a model sees on made scenes without trees, by kind of ground [m]."""
    rng = np.random.default_rng(MADE_SEED)
    scenes = [make_scene(rng, MADE_SIDE_PX) for _ in range(MADE_SCENES)]
    images = (np.stack([scene.pixels for scene in scenes]) / 255).astype(np.float32)
    heights = np.concatenate([model.predict(part) for part in np.array_split(images, 10)])
    kinds = np.stack([scene.kinds for scene in scenes])
    return {
        name: summary(heights[kinds == number])
        for number, name in enumerate(KINDS)
        if (kinds == number).any()
    }


def summary(heights: NDArray[np.floating]) -> dict[str, float]:
    """Mean and 95th percentile of false heights [m], and the share above 2 m."""
    return {
        "mean_m": float(heights.mean()),
        "p95_m": float(np.percentile(heights, 95)),
        "share_above_2m": float((heights > 2).mean()),  # noqa: PLR2004 - the usual height of a tree
    }


def bare_heights(
    pairs: Sequence[HeightPair], predictions: dict[str, NDArray[np.float32]], method: str
) -> dict[str, float]:
    """False heights on the bare ground of held-out plots."""
    found = []
    for pair in pairs:
        bare = pair.on_height_grid(bare_ground(pair).astype(np.float32)) > 0.99  # noqa: PLR2004 - whole pixels
        found.append(predictions[f"{method}/{pair.plot}"][bare & pair.heights_valid])
    return summary(np.concatenate(found)) | {"pixels": sum(part.size for part in found)}


def judge(pairs: Sequence[HeightPair], splits: Sequence[Split], output: Path) -> dict[str, object]:
    """Errors of every method from saved predictions: pooled by scheme, and by site and split."""
    report: dict[str, object] = {"plots": len(pairs), "seconds": seconds_of(splits, output)}
    for scheme in dict.fromkeys(split.scheme for split in splits):
        predictions: dict[str, NDArray[np.float32]] = {}
        groups: dict[str, list[HeightPair]] = {"pooled": []}
        for split in (split for split in splits if split.scheme == scheme):
            predictions |= load_predictions(output, split)
            held_out = [pairs[index] for index in split.held_out]
            groups["pooled"] += held_out
            groups[f"split {split.name}"] = held_out
        for site in sorted({pair.box.site for pair in groups["pooled"]}):
            groups[site] = [pair for pair in groups["pooled"] if pair.box.site == site]
        report[scheme] = {
            group: {
                method: {
                    "1 m": pooled_errors(members, predictions, method, 1).as_dict(),
                    "3 m": pooled_errors(members, predictions, method, 3).as_dict(),
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


def made_scenes(splits: Sequence[Split], output: Path) -> dict[str, dict[str, float]]:
    """False heights on made scenes, by kind, the mean over the models of all splits."""
    each = [
        false_heights(load_height_model(output / f"{split.scheme}-{split.name}", device="cpu"))
        for split in splits
    ]
    return {
        kind: {name: float(np.mean([one[kind][name] for one in each])) for name in each[0][kind]}
        for kind in each[0]
    }


def seconds_of(splits: Sequence[Split], output: Path) -> dict[str, float]:
    """Training time of each split [s]."""
    names = [f"{split.scheme}-{split.name}" for split in splits]
    return {name: float(json.loads((output / name / "seconds.json").read_text())) for name in names}


def load_predictions(output: Path, split: Split) -> dict[str, NDArray[np.float32]]:
    """Saved predictions of a split by `method/plot` [m] (v, u)."""
    with np.load(output / f"{split.scheme}-{split.name}" / "predictions.npz") as saved:
        return {name: saved[name] for name in saved.files}


def evaluate_elsewhere(
    model: HeightModel, root: Path, recipe: Recipe
) -> dict[str, dict[str, float]]:
    """Errors on the site that no shipped weights learn from."""
    settings = PairSettings(gsd_m=recipe.pairs.gsd_m, sites=(EVALUATION_ONLY,))
    pairs = read_pairs(root, settings)
    predictions = {f"network/{pair.plot}": predict_plot(model, pair, 256) for pair in pairs}
    return {
        f"{block} px": pooled_errors(pairs, predictions, "network", block).as_dict()
        for block in (1, 2, 6)
    }


def as_markdown(report: dict[str, object]) -> str:
    """The errors as Markdown tables, one for each scheme, pooled first."""
    lines = []
    for scheme in ("blocks", "sites"):
        groups = report.get(scheme)
        if not isinstance(groups, dict):
            continue
        lines += [
            f"### {scheme}",
            "",
            "| held out | method | MAE | RMSE | bias | R2 | MAE 3 | RMSE 3 | bias 3 | R2 3 |",
        ]
        lines += ["|---" * 10 + "|"]
        lines += [
            f"| {group} | {method} | {_cells(errors['1 m'])} | {_cells(errors['3 m'])} |"
            for group, methods in groups.items()
            for method, errors in methods.items()
        ]
        lines.append("")
    return "\n".join(lines)


def _cells(errors: dict[str, float]) -> str:
    """Four cells of a table."""
    return (
        f"{errors['mae']:.2f} | {errors['rmse']:.2f} | {errors['bias']:+.2f} | {errors['r2']:.2f}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen splits, and judge them all once every one has been run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path, help="YAML file")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for models, predictions and tables"
    )
    parser.add_argument(
        "--only",
        nargs="*",
        help="splits to run now, such as blocks-0 sites-NEON_TEAK; all by default",
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    try:
        recipe = read_recipe(options.recipe)
        pairs = read_pairs(field_data_root(), recipe.pairs)
        splits = make_splits(pairs, seed=recipe.seed)
        run_and_judge(pairs, splits, recipe, options.output, options.only)
    except (CanopyError, OSError, ValueError) as error:
        log.error("%s", error)  # noqa: TRY400 - one line, no traceback
        return 1
    return 0


def run_and_judge(
    pairs: Sequence[HeightPair],
    splits: Sequence[Split],
    recipe: Recipe,
    output: Path,
    only: Sequence[str] | None,
) -> None:
    """Run the named splits; when none is missing any more, write `errors.json` and `errors.md`."""
    for split in splits:
        if not only or f"{split.scheme}-{split.name}" in only:
            run_split(pairs, split, recipe, output)
    missing = [
        s for s in splits if not (output / f"{s.scheme}-{s.name}" / "predictions.npz").is_file()
    ]
    if missing:
        log.info("%d splits still to run", len(missing))
        return
    report = judge(pairs, splits, output)
    (output / "errors.json").write_text(json.dumps(report, indent=2) + "\n")
    (output / "errors.md").write_text(as_markdown(report))
    save_resolved(recipe, output / "recipe.json")


if __name__ == "__main__":
    sys.exit(main())
