"""Images to feature maps."""

from canopy.encoders.catalogue import (
    AnyEncoderSettings,
    Encoder,
    build_encoder,
    encoder_settings,
)
from canopy.encoders.tap import Levels, Tap
from canopy.encoders.timm_encoder import TimmEncoder, TimmSettings
from canopy.encoders.vision_transformer import EncoderSettings, VisionTransformer

__all__ = [
    "AnyEncoderSettings",
    "Encoder",
    "EncoderSettings",
    "Levels",
    "Tap",
    "TimmEncoder",
    "TimmSettings",
    "VisionTransformer",
    "build_encoder",
    "encoder_settings",
]
