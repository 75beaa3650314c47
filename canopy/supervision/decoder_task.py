"""Learning heights from chips: batches by category, losses, and how good it is on the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from canopy.errors import SettingsError
from canopy.height_errors import height_errors
from canopy.radiometry import normalise
from canopy.supervision import augment
from canopy.supervision.chance import happens
from canopy.supervision.height_losses import bin_loss
from canopy.supervision.published_losses import (
    charbonnier_loss,
    curriculum_losses,
    silog_loss,
)
from decoders import HeightBins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from canopy.chips.chip_set import ChipSet
    from canopy.height_network import HeightNetwork
    from canopy.model_card import ModelCard
    from canopy.supervision.decoder_run import DecoderRun


class Heights(nn.Module):
    """A height network with its weights of bins, which a loss may look at; one forward for all."""

    def __init__(self, network: HeightNetwork) -> None:
        """Wrap a network."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return heights [m] (B, H, W), and weights per bin (B, bins, H, W) where there are any."""
        features = self.network.decoder(self.network.encoder(images))
        head = self.network.head
        if isinstance(head, HeightBins):
            logits = head.logits(features)
            return head.expectation(logits), logits
        return head(features), None


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
        self.categories = categories(chips, settings)
        check_match(card, chips, settings, self.multiple)
        head = network.head
        linear = isinstance(head, HeightBins) and head.settings.spacing == "linear"
        if settings.loss.bins and not linear:
            msg = "a loss on bins needs a head of linear bins: set loss.bins to 0, or head to bins"
            raise SettingsError(msg)
        self.centres = head.centres_m if isinstance(head, HeightBins) else None

    def batch(self, step: int, rank: int) -> dict[str, Tensor]:
        """Return the batch of a step, counted from 0, for one of several devices.

        Returns:
            ``images`` (B, 3, side, side) in 0..255, ``heights`` (B, side, side) [m] and ``known``,
            True where they count.
        """
        rng = np.random.default_rng([self.settings.run.seed, step, rank])
        drawn = [self._example(index, rng) for index in self._draw(rng)]
        images, heights, known = (np.stack(parts) for parts in zip(*drawn, strict=True))
        return {
            "images": torch.from_numpy(images),
            "heights": torch.from_numpy(heights),
            "known": torch.from_numpy(known),
        }

    def losses(
        self, network: nn.Module, batch: Mapping[str, Tensor], done: float
    ) -> dict[str, Tensor]:
        """Return the weighted terms of the loss after a share of all steps."""
        choice, known = self.settings.loss, batch["known"]
        images = normalise(batch["images"] / 255, self.card.mean, self.card.std)
        predicted, logits = network(images)
        predicted, heights = predicted.float(), batch["heights"]
        if choice.main == "curriculum":
            terms = curriculum_losses(predicted, heights, known, done, choice.curriculum)
        elif choice.main == "silog":
            terms = {"silog": silog_loss(predicted, heights, known, choice.curriculum)}
        else:
            knee = choice.curriculum.charbonnier_m
            terms = {"charbonnier": charbonnier_loss(predicted, heights, known, knee)}
        if choice.bins and logits is not None and self.centres is not None:
            centres = self.centres.to(heights.device)
            terms["bins"] = choice.bins * bin_loss(logits.float(), heights, known, centres)
        return terms

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
        low, tall = (round(share * sampling.batch) for share in (sampling.low, sampling.tall))
        chosen: list[int] = []
        for name, count in (("low", low), ("tall", tall)):
            if len(self.categories[name]):
                chosen += rng.choice(self.categories[name], count).tolist()
        rest = rng.integers(0, len(self.chips), sampling.batch - len(chosen))
        return [int(index) for index in (*chosen, *rest)]

    def _example(
        self, index: int, rng: np.random.Generator
    ) -> tuple[augment.Pixels, augment.Heights, augment.Mask]:
        """Return a chip, cut, turned and recoloured."""
        chip, changes = self.chips[index], self.settings.augment
        side = self.settings.sampling.crop_px or chip["heights"].shape[0]
        row, column = rng.integers(0, chip["heights"].shape[0] - side + 1, 2)
        window = (slice(row, row + side), slice(column, column + side))
        pixels = chip["image"].numpy()[:, *window].astype(np.float32)
        heights, known = chip["heights"].numpy()[window], chip["known"].numpy()[window]
        pixels, heights, known = augment.turned(rng, pixels, heights, known)
        if happens(rng, changes.share):
            pixels = augment.recoloured(rng, pixels, changes)
            pixels = augment.resampled(rng, pixels, changes)
        return tuple(map(np.ascontiguousarray, (pixels, heights, known)))  # type: ignore[return-value]


def categories(chips: ChipSet, settings: DecoderRun) -> dict[str, np.ndarray]:
    """Return which training chips are low and which are tall, by their place in the split."""
    rows = chips.index[chips.index["split"] == "train"]
    sampling = settings.sampling
    return {
        "low": np.flatnonzero(rows["height_mean_m"].to_numpy() < sampling.low_m),
        "tall": np.flatnonzero(rows["height_p95_m"].to_numpy() > sampling.tall_m),
    }


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
