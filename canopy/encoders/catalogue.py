"""The encoders that can be asked for by name: this project's own, and all that timm has."""

from __future__ import annotations

from difflib import get_close_matches

from canopy.encoders.timm_encoder import TimmEncoder, TimmSettings
from canopy.encoders.vision_transformer import EncoderSettings, VisionTransformer

AnyEncoderSettings = EncoderSettings | TimmSettings
"""Settings of any encoder; a configuration that does not name its kind has the first."""

Encoder = VisionTransformer | TimmEncoder

VIT_SIZES = {
    "vit-tiny": (192, 12, 3, (2, 5, 8, 11)),
    "vit-small": (384, 12, 6, (2, 5, 8, 11)),
    "vit-base": (768, 12, 12, (2, 5, 8, 11)),
    "vit-large": (1024, 24, 16, (4, 11, 17, 23)),
    "vit-huge": (1280, 32, 20, (9, 16, 22, 29)),
}
"""Channels, blocks, heads and taps of the usual sizes; large and huge are those of CHMv1."""

HYBRID_SIZES = {"hybrid-tiny": (192, 4, 3), "hybrid-small": (384, 12, 6)}
"""Channels, blocks and heads behind a convolutional stem; for learning from little data."""


def encoder_settings(name: str) -> AnyEncoderSettings:
    """Return the settings of an encoder.

    Args:
        name: ``vit-SIZE`` or ``hybrid-SIZE`` for the project's own, else an architecture of timm.

    Raises:
        ValueError: there is none of that name.
    """
    if name in VIT_SIZES:
        dim, depth, heads, taps = VIT_SIZES[name]
        return EncoderSettings(dim=dim, depth=depth, heads=heads, taps=taps)
    if name in HYBRID_SIZES:
        dim, depth, heads = HYBRID_SIZES[name]
        return EncoderSettings(
            dim=dim,
            depth=depth,
            heads=heads,
            taps=(depth // 2 - 1, depth - 1),
            position_grid=0,
            stem="convolutional",
            stem_norm="batch",
        )
    own = [*VIT_SIZES, *HYBRID_SIZES]
    if get_close_matches(name, own, n=1, cutoff=0.8) or "-" in name:
        msg = f"no encoder {name}: expected one of {', '.join(own)}, or an architecture of timm"
        raise ValueError(msg)
    return TimmSettings(architecture=name)


def build_encoder(settings: AnyEncoderSettings) -> Encoder:
    """Return an encoder with random weights.

    Raises:
        ValueError: timm's architecture takes images of one size only, or lacks four taps.
    """
    return settings.build()
