"""Images to feature maps."""

from canopy.encoders.vision_transformer import EncoderSettings, Tap, VisionTransformer

__all__ = ["EncoderSettings", "Tap", "VisionTransformer"]
