"""Learning heights from plots: small ones, mirrored into tiles, with treeless ground among them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from canopy.errors import SettingsError
from canopy.height_models.forward import ForwardSettings
from canopy.height_models.height_model import HeightModel
from canopy.radiometry import normalise
from canopy.supervision.examples import ExampleMaker
from canopy.supervision.height_losses import disagreement_loss
from canopy.supervision.height_outputs import Heights, trained
from canopy.supervision.loss_choice import HeightLoss
from canopy.supervision.plot_errors import model_errors
from canopy.supervision.start import NetworkSettings, goes_on, starting_model
from decoders import HeightBins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from canopy.height_models.network import HeightNetwork
    from canopy.supervision.pairs import HeightPair
    from canopy.supervision.recipe import Recipe


class PlotTask:
    """What is learned from plots."""

    def __init__(
        self, learned: Sequence[HeightPair], held_out: Sequence[HeightPair], recipe: Recipe
    ) -> None:
        """Prepare to learn.

        Args:
            learned: plots to learn from.
            held_out: plots that a run is watched on; none to watch none.
            recipe: everything else.

        Raises:
            SettingsError: there are no plots, or they or the losses are no match for the network.
            ModelError: the network cannot be made.
        """
        self.recipe, self.held_out = recipe, held_out
        self.maker = ExampleMaker(learned, recipe.examples, recipe.augment, recipe.sampling)
        self.model = plot_model(learned, recipe)
        network: HeightNetwork = self.model.network  # type: ignore[assignment]
        check_tiles(self.model, network.multiple_px, recipe)
        self.loss = HeightLoss(recipe.loss, network.head)
        self.network: nn.Module = Heights(network)

    def batch(self, step: int, rank: int) -> dict[str, Tensor]:
        """Return the batch of a step, counted from 0, for one of several devices.

        Returns:
            ``images`` (B, 3, side, side) in 0..255, ``heights`` (B, side, side) [m], ``known``,
            True where they count, and ``corners`` (B, 2) of tiles that come in pairs, (0, 2) where
            they do not.
        """
        rng = np.random.default_rng([self.recipe.run.seed, step, rank])
        paired = step + 1 > self.recipe.run.steps * (1 - self.recipe.examples.paired)
        batch = self.maker.batch(rng, paired=paired)
        return {
            "images": torch.from_numpy(batch.pixels),
            "heights": torch.from_numpy(batch.heights),
            "known": torch.from_numpy(batch.valid),
            "corners": torch.from_numpy(batch.corners),
        }

    def losses(
        self, network: nn.Module, batch: Mapping[str, Tensor], done: float
    ) -> dict[str, Tensor]:
        """Return the weighted terms of the loss after a share of all steps."""
        card, known = self.model.card, batch["known"]
        outputs = network(normalise(batch["images"] / 255, card.mean, card.std))
        terms = self.loss.terms(outputs, batch["heights"], known, done)
        corners = batch["corners"].cpu().numpy()
        apart = disagreement(outputs[0].float(), known, corners)
        return {**terms, "disagreement": self.recipe.loss.disagreement * apart}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return errors on the plots that are held out: MAE, bias [m] and R2; nothing without."""
        if not self.held_out or not isinstance(network, Heights):
            return {}
        model = HeightModel(
            network=network.network,
            card=self.model.card,
            device=next(network.parameters()).device,
            run=ForwardSettings(precision="float32"),
        )
        errors = model_errors(model, self.held_out, self.recipe.evaluation_tile_px, block=1)
        return {"mae_m": errors.mae, "bias_m": errors.bias, "r2": errors.r2}

    def finished(self, average: nn.Module) -> HeightModel:
        """Return the model with the network that training gave.

        Raises:
            ModelError: training gave another kind of network.
        """
        return trained(self.model, average)


def plot_model(learned: Sequence[HeightPair], recipe: Recipe) -> HeightModel:
    """Return the model that learning from plots starts from.

    A network of plain sizes expects pixels of the plots' mean and spread, one of named parts what
    its encoder expects. Bins of a softmax that have learned nothing start from how often each
    height occurs.

    Raises:
        ModelError: the network cannot be made.
    """
    gsd_m, seed = recipe.pairs.gsd_m, recipe.run.seed
    model = starting_model(recipe.start, recipe.card, gsd_m=gsd_m, seed=seed)
    if isinstance(recipe.start, NetworkSettings):
        mean, std = band_statistics(learned)
        model = replace(model, card=replace(model.card, mean=mean, std=std))
    head = model.network.get_submodule("head")
    if isinstance(head, HeightBins) and not goes_on(recipe.start):
        start_at_prior(head, learned)
    return model


def band_statistics(pairs: Sequence[HeightPair]) -> tuple[tuple[float, float, float], ...]:
    """Return mean and spread of red, green and blue over all plots, of pixels in [0, 1]."""
    pixels = np.concatenate([pair.image.reshape(3, -1) for pair in pairs], axis=1) / 255
    red, green, blue = (round(float(value), 4) for value in pixels.mean(axis=1))
    red_std, green_std, blue_std = (round(float(value), 4) for value in pixels.std(axis=1))
    return (red, green, blue), (red_std, green_std, blue_std)


def start_at_prior(head: HeightBins, pairs: Sequence[HeightPair]) -> None:
    """Let the bins of a softmax start from how often each height occurs in the plots."""
    if head.settings.readout != "softmax":
        return
    heights = np.concatenate([pair.heights[pair.heights_valid] for pair in pairs])
    centres = head.centres_m.numpy()
    nearest = np.abs(heights[:, None] - centres[None]).argmin(axis=1)
    counts = np.bincount(nearest, minlength=len(centres)) + 0.001 * max(1, len(heights))
    prior = torch.from_numpy(np.log(counts / counts.sum())).float()
    head.logits.bias = nn.Parameter(prior)


def check_tiles(model: HeightModel, multiple: int, recipe: Recipe) -> None:
    """Refuse plots or tiles that the network cannot learn from.

    Raises:
        SettingsError: they have another pixel, or their side does not suit it.
    """
    if abs(recipe.pairs.gsd_m - model.card.gsd_m) > 1e-3 * model.card.gsd_m:
        msg = (
            f"plots of {recipe.pairs.gsd_m:g} m for a model of {model.card.gsd_m:g} m: set "
            f"pairs.gsd_m to {model.card.gsd_m:g}"
        )
        raise SettingsError(msg)
    if wrong := [side for side in recipe.examples.tiles_px if side % multiple]:
        msg = f"tiles of {wrong[0]} px: the network takes multiples of {multiple} px"
        raise SettingsError(msg)


def disagreement(prediction: Tensor, valid: Tensor, corners: np.ndarray) -> Tensor:
    """Return the mean difference [m] of the two tiles of each canvas over the ground they share.

    Args:
        prediction: heights [m] (2 n, y, x).
        valid: True where ground is shown (2 n, y, x).
        corners: row and column of each tile on its canvas (2 n, 2) [px].
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
    """Return where the overlap of two tiles of a side [px] lies in each, by their corners (2,)."""
    start, stop = np.maximum(first, second), np.minimum(first, second) + side

    def window(corner: np.ndarray) -> tuple[slice, slice]:
        rows, columns = (
            slice(int(a), int(b)) for a, b in zip(start - corner, stop - corner, strict=True)
        )
        return rows, columns

    return window(first), window(second)
