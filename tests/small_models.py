"""Height models small enough to be understood: their maps can be computed by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from canopy.encoders import EncoderSettings
from canopy.height_models.card import ModelCard
from canopy.height_models.height_model import HeightModel
from canopy.height_models.network import Architecture, HeightNetwork
from decoders import DPTSettings, HeightBinsSettings

TOP_M = 50.0
"""Height of white under the models that read brightness [m]."""


def card(**changes) -> ModelCard:
    """A card that leaves pixels in [0, 1] as they are; tiles are small, so that scenes can be."""
    facts = {
        "name": "small", "version": "1", "summary": "A model for tests.", "licence": "Apache-2.0",
        "training_data": "none", "gsd_m": 0.6, "maximum_height_m": TOP_M,
        "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0),
        "tile_px": 64, "overlap_px": 16, "multiple_px": 32,
    }  # fmt: skip
    return ModelCard(**(facts | changes))


class LocalMean(nn.Module):
    """Height is the brightness of a pixel's neighbourhood: white is 50 m, black is 0 m."""

    def __init__(self, radius: int = 1) -> None:
        super().__init__()
        self.radius = radius
        self.tiles = 0

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, H, W) [m]."""
        self.tiles += len(images)
        grey = functional.pad(images.mean(1, keepdim=True), (self.radius,) * 4, mode="replicate")
        mean = functional.avg_pool2d(grey, 2 * self.radius + 1, stride=1)
        return TOP_M * mean[:, 0]


class FirstBand(nn.Module):
    """Height is red: 50 m times the first band."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, H, W) [m]."""
        return TOP_M * images[:, 0]


class Constant(nn.Module):
    """The same height everywhere, whatever the image."""

    def __init__(self, height_m: float = 5.0) -> None:
        super().__init__()
        self.height_m = height_m
        self.tiles = 0

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, H, W) [m]."""
        self.tiles += len(images)
        return torch.full_like(images[:, 0], self.height_m)


def model_of(network: nn.Module, **changes) -> HeightModel:
    """A height model of a network, with a card of small tiles."""
    return HeightModel(network=network, card=card(**changes))


def tiny_architecture(**encoder) -> Architecture:
    """The released architecture at the smallest size that exercises every layer."""
    sizes = {"dim": 16, "depth": 4, "heads": 2, "taps": (0, 1, 2, 3), "position_grid": 4}
    return Architecture(
        encoder=EncoderSettings(**(sizes | encoder)),
        decoder=DPTSettings(
            in_channels=(16,) * 4, in_strides=(16,) * 4, level_channels=(4, 4, 8, 8),
            width=8, head_channels=4,
        ),
        head=HeightBinsSettings(bins=16, maximum_m=TOP_M),
    )  # fmt: skip


def tiny_model(seed: int = 0, **changes) -> HeightModel:
    """A real height network with random weights."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    architecture = tiny_architecture()
    network = HeightNetwork(architecture)
    torch.random.set_rng_state(state)
    return HeightModel(network=network, card=card(**changes), architecture=architecture)
