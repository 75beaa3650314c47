"""Tokens to heights, without geography."""

from decoders.catalogue import (
    DecoderSettings,
    HeadSettings,
    build_decoder,
    build_head,
    decoder_settings,
    head_settings,
    kinds,
)
from decoders.dpt import DPTDecoder, DPTSettings
from decoders.height_bins import HeightBins, HeightBinsSettings
from decoders.levels import Levels
from decoders.regression import HeightRegression, RegressionSettings

__all__ = [
    "DPTDecoder",
    "DPTSettings",
    "DecoderSettings",
    "HeadSettings",
    "HeightBins",
    "HeightBinsSettings",
    "HeightRegression",
    "Levels",
    "RegressionSettings",
    "build_decoder",
    "build_head",
    "decoder_settings",
    "head_settings",
    "kinds",
]
