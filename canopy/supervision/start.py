"""The network that learning starts from: named parts, a model to go on from, or plain sizes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeGuard

import torch

from canopy.encoders import EncoderSettings
from canopy.errors import ModelError
from canopy.height_models.building import build_height_model, untrained_card
from canopy.height_models.height_model import HeightModel
from canopy.height_models.network import Architecture, HeightNetwork
from canopy.weights import load_height_model
from decoders import DPTSettings, HeightBinsSettings


@dataclass(frozen=True, kw_only=True)
class StartSettings:
    """A network of named parts, or a model to go on from.

    Attributes:
        model: a model to go on from, as ``canopy map --model`` takes it; empty to build one.
        encoder: otherwise its encoder, see :func:`canopy.build_height_model`.
        decoder: its decoder.
        head: its head.
        encoder_weights: released weights of an encoder of timm: a file, or ``hub``; empty for none.
        tuned: whether the encoder learns too; frozen it keeps what it is.
    """

    kind: Literal["parts"] = "parts"
    model: str = ""
    encoder: str = "hybrid-tiny"
    decoder: str = "dpt"
    head: str = "bins"
    encoder_weights: str = ""
    tuned: bool = True

    def __post_init__(self) -> None:
        """Refuse parts beside a model, which has its own.

        Raises:
            ValueError: both are named.
        """
        parts = (self.encoder, self.decoder, self.head, self.encoder_weights)
        if self.model and parts != ("hybrid-tiny", "dpt", "bins", ""):
            msg = f"model {self.model} has its own parts: name it, or encoder, decoder and head"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """A network of plain sizes; see `EncoderSettings` and `DPTSettings`.

    Attributes:
        dim: channels of a token.
        depth: transformer blocks; the middle one and the last are tapped.
        heads: attention heads.
        stem_channels: channels of the convolutional stem at strides 4 and 8.
        stem_depth: blocks of the stem at strides 4 and 8.
        level_channels: channels of the decoder's levels before fusion.
        width: channels while levels are fused.
        head_channels: channels of the decoder's output.
        bins: number of height bins, 1 m apart from 0 m.
        batch_norm: whether stem and decoder are normed over the batch. Without any norm many of
            the decoder's rectifiers died early in training.
    """

    kind: Literal["sizes"] = "sizes"
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
        """Return this size: convolutional stem, replicated borders, softmax bins."""
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


Start = StartSettings | NetworkSettings


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What the model's card says beyond what training knows."""

    name: str = "my-height-model"
    version: str = "1"
    summary: str = "Canopy height model trained with canopy."
    licence: str = "unknown"
    training_data: str = ""
    imagery: Literal["satellite", "aerial", "any"] = "any"
    notice: str = ""
    url: str = ""


def starting_model(start: Start, facts: CardFacts, *, gsd_m: float, seed: int) -> HeightModel:
    """Return the model that learning starts from, its card told of, its encoder frozen or not.

    Args:
        start: which.
        facts: what its card is to say.
        gsd_m: pixel that a model without one is to learn [m].
        seed: source of weights at random: the same seed gives the same.

    Raises:
        ModelError: a name is unknown, sizes make no network, or the model cannot be trained.
    """
    torch.manual_seed(seed)
    model = model_of_sizes(start) if isinstance(start, NetworkSettings) else model_of_parts(start)
    if not goes_on(start):
        model = replace(model, card=replace(model.card, gsd_m=gsd_m))
    return replace(model, card=replace(model.card, **asdict(facts)), fingerprint="")


def goes_on(start: Start) -> TypeGuard[StartSettings]:
    """Whether learning goes on from a model that has learned before."""
    return isinstance(start, StartSettings) and bool(start.model)


def model_of_sizes(sizes: NetworkSettings) -> HeightModel:
    """Return an untrained model of plain sizes.

    Raises:
        ModelError: no network has them.
    """
    try:
        architecture = sizes.architecture()
        network = HeightNetwork(architecture)
    except (ValueError, RuntimeError, ArithmeticError) as error:
        msg = f"start: no network has these sizes ({' '.join(str(error).split())})"
        raise ModelError(msg) from error
    card = untrained_card("sizes", network.encoder, architecture.head.maximum_m)
    return HeightModel(network=network, card=card, architecture=architecture)


def model_of_parts(start: StartSettings) -> HeightModel:
    """Return a model to go on from, or one of named parts.

    Raises:
        ModelError: a name is unknown, or the model is a network of another library.
    """
    if start.model:
        model = load_height_model(start.model, device="cpu")
    else:
        weights = start.encoder_weights or None
        model = build_height_model(
            start.encoder, start.decoder, start.head, encoder_weights=weights
        )
    if model.architecture is None:
        msg = f"{start.model} is a network of another library: only those built here can be trained"
        raise ModelError(msg)
    encoder = model.network.get_submodule("encoder")
    encoder.requires_grad_(requires_grad=start.tuned)
    return model
