"""A training recipe: everything that decides which weights come out, read from YAML."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import yaml

from canopy.encoders import EncoderSettings
from canopy.errors import SettingsError
from canopy.height_network import Architecture
from canopy.model_folder import build
from canopy.supervision.augment import AugmentSettings
from canopy.supervision.examples import ExampleSettings
from canopy.supervision.height_losses import LossSettings
from canopy.supervision.pairs import PairSettings
from decoders import DPTSettings, HeightBinsSettings

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Size of a network; see `EncoderSettings` and `DPTSettings`.

    Attributes:
        dim: Channels of a token.
        depth: Transformer blocks; the middle one and the last are tapped.
        heads: Attention heads.
        stem_channels: Channels of the convolutional stem at strides 4 and 8.
        stem_depth: Blocks of the stem at strides 4 and 8.
        level_channels: Channels of the decoder's levels before fusion.
        width: Channels while levels are fused.
        head_channels: Channels of the decoder's output.
        bins: Number of height bins, 1 m apart from 0 m.
        batch_norm: Whether stem and decoder are normed over the batch. Without any norm many of
            the decoder's rectifiers died early in training.
    """

    dim: int = 192
    depth: int = 4
    heads: int = 3
    stem_channels: tuple[int, int] = (64, 128)
    stem_depth: tuple[int, int] = (1, 2)
    level_channels: tuple[int, int, int, int] = (64, 64, 96, 128)
    width: int = 64
    head_channels: int = 32
    bins: int = 64
    batch_norm: bool = True

    def architecture(self) -> Architecture:
        """The architecture of this size: convolutional stem, replicated borders, softmax bins."""
        encoder = EncoderSettings(
            dim=self.dim,
            depth=self.depth,
            heads=self.heads,
            taps=(self.depth // 2 - 1, self.depth - 1),
            position_grid=0,
            stem="convolutional",
            stem_channels=self.stem_channels,
            stem_depth=self.stem_depth,
            stem_norm="batch" if self.batch_norm else "channel",
        )
        decoder = DPTSettings(
            in_channels=encoder.tap_channels,
            in_strides=encoder.tap_strides,
            level_channels=self.level_channels,
            width=self.width,
            head_channels=self.head_channels,
            readout=(False, False, True, True),
            padding="replicate",
            norm="batch" if self.batch_norm else "none",
        )
        bins = HeightBinsSettings(
            bins=self.bins, minimum_m=0.0, maximum_m=self.bins - 1.0, readout="softmax"
        )
        return Architecture(encoder=encoder, decoder=decoder, head=bins)


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """AdamW with linear warm-up and cosine decay (Loshchilov and Hutter 2017, 2019).

    Attributes:
        learning_rate: Its peak.
        weight_decay: Decay of weights; norms, biases and scales do not decay.
        warm_up: Share of the steps until the peak.
        clip: Largest norm of the gradient.
        average: Decay of the moving average of the weights, which is what is kept.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: float = 0.05
    clip: float = 1.0
    average: float = 0.995


@dataclass(frozen=True, kw_only=True)
class CardSettings:
    """What the model card in `config.json` says beyond what training measures."""

    name: str = "canopy-tiny"
    version: str = "1.0.0"
    summary: str = "Small model for trying canopy; take released weights for real maps."
    licence: str = "Apache-2.0"
    training_data: str = ""
    tile_px: int = 256
    overlap_px: int = 32
    url: str = ""
    notice: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides which weights a training run makes.

    Attributes:
        seed: Source of chance of weights and examples.
        steps: Optimiser steps.
        evaluation_tile_px: Side to which plots are mirrored when they are evaluated [px].
    """

    seed: int = 0
    steps: int = 2000
    evaluation_tile_px: int = 96
    network: NetworkSettings = field(default_factory=NetworkSettings)
    pairs: PairSettings = field(default_factory=PairSettings)
    examples: ExampleSettings = field(default_factory=ExampleSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    card: CardSettings = field(default_factory=CardSettings)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from YAML; what it does not name has its default, unknown names are refused.

    Raises:
        SettingsError: If the file cannot be read as a mapping.
        ModelError: If a name or value is refused.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        message = f"found a recipe that cannot be read ({reason}); expected a YAML file at {path}"
        raise SettingsError(message) from error
    return build(Recipe, values or {}, path)


def save_resolved(recipe: Recipe, path: Path, **outcome: object) -> None:
    """Write the recipe with all defaults filled in, and what came of it, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"recipe": asdict(recipe), **outcome}, indent=2) + "\n")
