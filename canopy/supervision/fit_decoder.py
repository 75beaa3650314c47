"""Train on imagery and lidar: `python -m canopy.supervision.fit_decoder RECIPE --output DIR`."""

from __future__ import annotations

import argparse
import copy
import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from canopy.errors import CanopyError, RunError
from canopy.height_model import HeightModel
from canopy.height_network import HeightNetwork
from canopy.model_card import ModelCard
from canopy.model_folder import save_height_model
from canopy.supervision.examples import Batch, ExampleMaker
from canopy.supervision.height_losses import (
    LossSettings,
    bin_loss,
    disagreement_loss,
    height_loss,
)
from canopy.supervision.pairs import HeightPair, field_data_root, read_pairs
from canopy.supervision.recipe import OptimiserSettings, Recipe, read_recipe, save_resolved
from decoders import HeightBins

log = logging.getLogger(__name__)

Report = Callable[[int, dict[str, float]], None]
"""Called after a step with its number, from 1, and the terms of its loss."""


def fit(pairs: Sequence[HeightPair], recipe: Recipe, report: Report | None = None) -> HeightModel:
    """Train a height model on plots.

    Args:
        pairs: Plots to learn from; those that the recipe calls unaligned are left out.
        recipe: Everything else. The same recipe, plots and number of threads give the same weights.
        report: Told about every step.

    Returns:
        The model, with the moving average of its weights.

    Raises:
        RunError: If the loss stops being a number.
    """
    torch.manual_seed(recipe.seed)
    learned = [pair for pair in pairs if pair.plot not in recipe.pairs.unaligned]
    maker = ExampleMaker(learned, recipe.examples, recipe.augment, seed=recipe.seed)
    card = make_card(learned, recipe)
    network = HeightNetwork(recipe.network.architecture())
    start_at_prior(network, learned)
    average = copy.deepcopy(network)
    optimiser, schedule = make_optimiser(network, recipe.optimiser, recipe.steps)
    for step in range(1, recipe.steps + 1):
        paired = step > recipe.steps * (1 - recipe.examples.paired)
        terms = losses(network, maker.batch(paired=paired), card, recipe.loss)
        check_finite(terms, step)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), recipe.optimiser.clip)
        optimiser.step()
        schedule.step()
        # Early on the average follows the weights: what they were at random must not stay in it.
        blend(average, network, min(recipe.optimiser.average, step / (step + 10)))
        if report is not None:
            report(step, {name: float(term.detach()) for name, term in terms.items()})
    return HeightModel(network=average, card=card, architecture=recipe.network.architecture())


def losses(
    network: HeightNetwork, batch: Batch, card: ModelCard, settings: LossSettings
) -> dict[str, Tensor]:
    """The weighted terms of the loss of a batch, by name."""
    pixels = torch.from_numpy(batch.pixels)
    heights, valid = torch.from_numpy(batch.heights), torch.from_numpy(batch.valid)
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in (card.mean, card.std))
    head = bins_of(network)
    logits = head.logits(network.decoder(network.encoder((pixels - mean) / std)))
    prediction = head.expectation(logits)
    return {
        "height": height_loss(prediction, heights, valid, settings),
        "bins": settings.bins * bin_loss(logits, heights, valid, head.centres_m),
        "disagreement": settings.disagreement * disagreement(prediction, valid, batch.corners),
    }


def disagreement(prediction: Tensor, valid: Tensor, corners: np.ndarray) -> Tensor:
    """Mean difference [m] of the two tiles of each canvas over the ground they share.

    Args:
        prediction: Heights [m] (2 n, y, x).
        valid: True where ground is shown (2 n, y, x).
        corners: Row and column of each tile on its canvas (2 n, 2) [px].
    """
    if not len(corners):
        return prediction.new_zeros(())
    parts = []
    for first in range(0, len(corners), 2):
        windows = shared_windows(corners[first], corners[first + 1], prediction.shape[-1])
        ours, theirs = (prediction[first + i][windows[i]] for i in range(2))
        shown = valid[first][windows[0]] & valid[first + 1][windows[1]]
        parts.append(disagreement_loss(ours, theirs, shown))
    return torch.stack(parts).mean()


def shared_windows(
    first: np.ndarray, second: np.ndarray, side: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the overlap of two tiles of a side [px] lies in each, from their corners (2,)."""
    start, stop = np.maximum(first, second), np.minimum(first, second) + side

    def window(corner: np.ndarray) -> tuple[slice, slice]:
        rows, columns = (
            slice(int(a), int(b)) for a, b in zip(start - corner, stop - corner, strict=True)
        )
        return rows, columns

    return window(first), window(second)


def make_card(pairs: Sequence[HeightPair], recipe: Recipe) -> ModelCard:
    """The model card, with the mean and spread of the plots' bands."""
    pixels = np.concatenate([pair.image.reshape(3, -1) for pair in pairs], axis=1) / 255
    red, green, blue = (round(float(value), 4) for value in pixels.mean(axis=1))
    red_std, green_std, blue_std = (round(float(value), 4) for value in pixels.std(axis=1))
    card = recipe.card
    return ModelCard(
        name=card.name,
        version=card.version,
        summary=card.summary,
        licence=card.licence,
        training_data=card.training_data,
        gsd_m=recipe.pairs.gsd_m,
        maximum_height_m=recipe.network.bins - 1.0,
        mean=(red, green, blue),
        std=(red_std, green_std, blue_std),
        tile_px=card.tile_px,
        overlap_px=card.overlap_px,
        url=card.url,
        notice=card.notice,
        imagery="aerial",  # NEON's camera
    )


def start_at_prior(network: HeightNetwork, pairs: Sequence[HeightPair]) -> None:
    """Let the bins start from how often each height occurs in the plots."""
    heights = np.concatenate([pair.heights[pair.heights_valid] for pair in pairs])
    head = bins_of(network)
    centres = head.centres_m.numpy()
    nearest = np.abs(heights[:, None] - centres[None]).argmin(axis=1)
    counts = np.bincount(nearest, minlength=len(centres)) + 0.001 * len(heights)
    prior = torch.from_numpy(np.log(counts / counts.sum())).float()
    head.logits.bias = nn.Parameter(prior)


def bins_of(network: HeightNetwork) -> HeightBins:
    """The height bins of a network.

    Raises:
        RunError: If it has another head, which has no likelihood to learn from.
    """
    if not isinstance(network.head, HeightBins):
        found = f"found a head of kind {network.head.settings.kind}"
        message = f"{found}; expected bins, on whose likelihood the loss rests; take a head of bins"
        raise RunError(message)
    return network.head


def make_optimiser(
    network: nn.Module, settings: OptimiserSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """AdamW, and its schedule of warm-up and cosine decay to zero."""
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
    warm = max(1, round(settings.warm_up * steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, steps - warm))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


@torch.no_grad()
def blend(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average of the weights towards the weights."""
    for kept, new in zip(average.parameters(), network.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)
    for statistic, latest in zip(average.buffers(), network.buffers(), strict=True):
        statistic.copy_(latest)


def check_finite(terms: dict[str, Tensor], step: int) -> None:
    """Stop when a term of the loss is no number.

    Raises:
        RunError: Naming the term and the step.
    """
    for name, term in terms.items():
        if not torch.isfinite(term):
            found = f"found a {name} loss of {float(term)} at step {step}"
            message = f"{found}; expected a number; lower the learning rate of the recipe"
            raise RunError(message)


def log_every(interval: int) -> Report:
    """A report that logs the mean of each term over so many steps."""
    sums: dict[str, float] = {}

    def report(step: int, terms: dict[str, float]) -> None:
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + term
        if step % interval == 0:
            means = ", ".join(f"{name} {total / interval:.3f}" for name, total in sums.items())
            log.info("step %d: %s", step, means)
            sums.clear()

    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Train by a recipe, save the model and the resolved recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path, help="YAML file")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model")
    parser.add_argument(
        "--threads", type=int, default=2, help="CPU threads; changes weights by rounding"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    try:
        recipe = read_recipe(options.recipe)
        pairs = read_pairs(field_data_root(), recipe.pairs)
        start = time.monotonic()
        model = fit(pairs, recipe, log_every(100))
        save_height_model(model, options.output)
    except (CanopyError, OSError, ValueError) as error:
        log.error("%s", error)  # noqa: TRY400 - one line, no traceback
        return 1
    seconds = round(time.monotonic() - start, 1)
    save_resolved(
        recipe,
        options.output / "training.json",
        seconds=seconds,
        threads=options.threads,
        plots=len(pairs),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
