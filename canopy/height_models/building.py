"""Height models from names: an encoder, a decoder and a head, in proportion to each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from canopy.encoders import TimmEncoder, encoder_settings
from canopy.errors import ModelError
from canopy.height_models.card import ModelCard
from canopy.height_models.encoder_weights import load_encoder_weights
from canopy.height_models.height_model import HeightModel
from canopy.height_models.network import Architecture, HeightNetwork
from decoders import decoder_settings, head_settings

if TYPE_CHECKING:
    from pathlib import Path

    from canopy.encoders import Encoder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, of pixels in [0, 1]: what an encoder expects that does not say otherwise."""


def build_height_model(
    encoder: str,
    decoder: str,
    head: str = "bins",
    *,
    card: ModelCard | None = None,
    encoder_weights: str | Path | None = None,
    device: str = "cpu",
) -> HeightModel:
    """Build a height model from names, to be trained.

    Args:
        encoder: ``vit-tiny`` to ``vit-huge``, ``hybrid-tiny`` or ``hybrid-small``, or any
            architecture of timm that takes images of any size, such as
            ``vit_large_patch16_dinov3.sat493m``, ``vit_small_patch14_dinov2`` or ``convnext_tiny``.
        decoder: ``dpt``, ``linear``, ``unet``, ``fpn``, ``upernet`` or ``smp-dpt``.
        head: ``bins`` as in CHMv1, ``bins-mixlog`` as in CHMv2, or ``regression``.
        card: what the model expects and is; None for one that says that it is untrained. Its
            ``multiple_px`` and sizes of tiles are made to fit the network.
        encoder_weights: released weights of an encoder of timm: a file, or ``hub``; None for
            random ones.
        device: of torch: ``cpu``, ``cuda``.

    Returns:
        The model; its decoder and head have random weights.

    Raises:
        ModelError: a name is unknown, the three do not fit each other, or the encoder's weights
            cannot be loaded.
    """
    try:
        architecture = design(encoder, decoder, head)
        network = HeightNetwork(architecture)
    except ValueError as error:
        raise ModelError(str(error)) from error
    if encoder_weights is not None:
        load_encoder_weights(network.encoder, encoder_weights)
    card = card or untrained_card(
        f"{encoder}_{decoder}_{head}", network.encoder, architecture.head.maximum_m
    )
    return HeightModel(
        network=network,
        card=fitted(card, network.multiple_px),
        architecture=architecture,
        device=torch.device(device),
    )


def design(encoder: str, decoder: str, head: str = "bins") -> Architecture:
    """Return an architecture from names, its sizes in proportion to the encoder.

    Raises:
        ValueError: a name is unknown, or the three do not fit each other.
    """
    chosen = encoder_settings(encoder)
    return Architecture(
        encoder=chosen,
        decoder=decoder_settings(decoder, chosen.levels),
        head=head_settings(head),
    )


def untrained_card(name: str, encoder: Encoder, maximum_height_m: float) -> ModelCard:
    """Return the card of a model that has learnt nothing yet."""
    mean, std = pixel_statistics(encoder)
    return ModelCard(
        name=name,
        version="0",
        summary="Untrained height model.",
        licence="Apache-2.0",
        training_data="none",
        gsd_m=0.6,
        maximum_height_m=maximum_height_m,
        mean=mean,
        std=std,
        notice="This model is untrained: its heights mean nothing.",
    )


def pixel_statistics(encoder: Encoder) -> tuple[tuple[float, float, float], ...]:
    """Return mean and spread of red, green and blue that an encoder expects, pixels in [0, 1]."""
    facts = getattr(encoder.model, "pretrained_cfg", {}) if isinstance(encoder, TimmEncoder) else {}
    return tuple(facts.get("mean", MEAN)), tuple(facts.get("std", STD))


def fitted(card: ModelCard, multiple_px: int) -> ModelCard:
    """Return a card whose multiple and side of a tile suit a network [px]."""
    if card.multiple_px % multiple_px == 0 and card.tile_px % card.multiple_px == 0:
        return card
    tile_px = max(1, card.tile_px // multiple_px) * multiple_px
    overlap_px = min(card.overlap_px, tile_px // 2)
    return replace(card, multiple_px=multiple_px, tile_px=tile_px, overlap_px=overlap_px)
