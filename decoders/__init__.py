"""Tokens to heights, without geography."""

from decoders.dpt import DPTDecoder, DPTSettings
from decoders.height_bins import HeightBins, HeightBinsSettings

__all__ = ["DPTDecoder", "DPTSettings", "HeightBins", "HeightBinsSettings"]
