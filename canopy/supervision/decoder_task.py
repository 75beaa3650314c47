"""Learning heights from chips: batches by category, losses, and how good it is on the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from canopy.errors import SettingsError
from canopy.height_errors import height_errors
from canopy.radiometry import normalise
from canopy.supervision.canvas import Canvas, altered, cut
from canopy.supervision.height_outputs import Heights
from canopy.supervision.loss_choice import HeightLoss
from canopy.supervision.treeless import TreelessGround

if TYPE_CHECKING:
    from collections.abc import Mapping

    from canopy.chips.chip_set import ChipSet
    from canopy.height_models.card import ModelCard
    from canopy.height_models.network import HeightNetwork
    from canopy.supervision.categories import SamplingSettings
    from canopy.supervision.decoder_run import DecoderRun


class DecoderTask:
    """What is learned from a set of chips."""

    def __init__(
        self, network: HeightNetwork, card: ModelCard, chips: ChipSet, settings: DecoderRun
    ) -> None:
        """Prepare to learn.

        Raises:
            SettingsError: the chips are no match for the network, or a split is empty.
        """
        self.network: nn.Module = Heights(network)
        self.card, self.settings = card, settings
        self.chips, self.kept = chips.chips("train"), chips.chips("val")
        self.multiple = network.multiple_px
        self.categories = categories(chips, settings.sampling)
        check_match(card, chips, settings, self.multiple)
        self.loss = HeightLoss(settings.loss, network.head)
        self.ground = TreelessGround(settings.treeless, chips.settings.gsd_m)
        self.blank = 255 * np.array(card.mean, np.float32)

    def batch(self, step: int, rank: int) -> dict[str, Tensor]:
        """Return the batch of a step, counted from 0, for one of several devices.

        Returns:
            ``images`` (B, 3, side, side) in 0..255, ``heights`` (B, side, side) [m] and ``known``,
            True where they count.
        """
        rng = np.random.default_rng([self.settings.run.seed, step, rank])
        drawn = [self._example(index, rng) for index in self._draw(rng)]
        return {
            "images": torch.from_numpy(np.stack([canvas.pixels for canvas in drawn])),
            "heights": torch.from_numpy(np.stack([canvas.heights for canvas in drawn])),
            "known": torch.from_numpy(np.stack([canvas.valid for canvas in drawn])),
        }

    def losses(
        self, network: nn.Module, batch: Mapping[str, Tensor], done: float
    ) -> dict[str, Tensor]:
        """Return the weighted terms of the loss after a share of all steps."""
        images = normalise(batch["images"] / 255, self.card.mean, self.card.std)
        return self.loss.terms(network(images), batch["heights"], batch["known"], done)

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return errors on the chips that are kept aside: MAE, bias [m] and R2."""
        device = next(network.parameters()).device
        predicted, true = [], []
        for index in range(len(self.kept)):
            chip = self.kept[index]
            images = normalise(chip["image"][None].to(device), self.card.mean, self.card.std)
            heights, _ = network(images)
            known = chip["known"].numpy()
            predicted.append(heights[0].float().cpu().numpy()[known])
            true.append(chip["heights"].numpy()[known])
        errors = height_errors(np.concatenate(predicted), np.concatenate(true))
        return {"mae_m": errors.mae, "bias_m": errors.bias, "r2": errors.r2}

    def _draw(self, rng: np.random.Generator) -> list[int]:
        """Return which chips make a batch, by category."""
        sampling = self.settings.sampling
        low = round(sampling.low * sampling.batch)
        tall = min(round(sampling.tall * sampling.batch), sampling.batch - low)
        chosen: list[int] = []
        for name, count in (("low", low), ("tall", tall)):
            if len(self.categories[name]):
                chosen += rng.choice(self.categories[name], count).tolist()
        rest = rng.integers(0, len(self.chips), sampling.batch - len(chosen))
        return [int(index) for index in (*chosen, *rest)]

    def _example(self, index: int, rng: np.random.Generator) -> Canvas:
        """Return a chip, cut, perhaps without its trees, turned and recoloured."""
        chip = self.chips[index]
        side = self.settings.sampling.crop_px or chip["heights"].shape[0]
        row, column = rng.integers(0, chip["heights"].shape[0] - side + 1, 2)
        whole = Canvas(
            pixels=chip["image"].numpy(),
            heights=chip["heights"].numpy(),
            valid=chip["known"].numpy(),
        )
        window = cut(whole, (int(row), int(column)), side)
        window = replace(window, pixels=window.pixels.astype(np.float32))
        return altered(rng, self.ground.among(rng, window), self.settings.augment, self.blank)


def categories(chips: ChipSet, sampling: SamplingSettings) -> dict[str, np.ndarray]:
    """Return which training chips are low and which are tall, by their place in the split."""
    rows = chips.index[chips.index["split"] == "train"]
    return dict(sampling.members(rows["height_mean_m"].to_numpy(), rows["height_p95_m"].to_numpy()))


def check_match(card: ModelCard, chips: ChipSet, settings: DecoderRun, multiple: int) -> None:
    """Refuse chips that the network cannot learn from.

    Raises:
        SettingsError: they have another pixel, or their side or that of a crop does not suit it.
    """
    cut = chips.settings
    if abs(cut.gsd_m - card.gsd_m) > 1e-3 * card.gsd_m:
        msg = (
            f"chips of {cut.gsd_m:g} m for a model of {card.gsd_m:g} m: cut them anew with "
            f"canopy chips --gsd {card.gsd_m:g}"
        )
        raise SettingsError(msg)
    for name, side in (("chips", cut.tile_px), ("crops", settings.sampling.crop_px)):
        if side % multiple or side > cut.tile_px:
            msg = (
                f"{name} of {side} px: the network takes multiples of {multiple} px, up to the "
                f"{cut.tile_px} px of a chip"
            )
            raise SettingsError(msg)
