"""The decoders and heads that can be asked for by name.

A new decoder is one file and one line here. The file holds its settings (frozen, with a ``kind``
that is its name, ``in_channels`` and ``in_strides``, ``for_levels`` and ``build``) and its module
(with ``out_channels`` and ``multiple_px``); the line adds the settings to `DecoderSettings`.
Configurations, model building and the table test read the names from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from decoders.convolutional import (
    ConvolutionalDecoder,
    FPNSettings,
    SmpDPTSettings,
    UnetSettings,
    UPerNetSettings,
)
from decoders.dpt import DPTDecoder, DPTSettings
from decoders.height_bins import CHMV2_BINS, HeightBins, HeightBinsSettings
from decoders.linear import LinearDecoder, LinearSettings
from decoders.regression import HeightRegression, RegressionSettings

if TYPE_CHECKING:
    from decoders.levels import Levels

DecoderSettings = (
    DPTSettings | LinearSettings | UnetSettings | FPNSettings | UPerNetSettings | SmpDPTSettings
)
"""Settings of any decoder; a configuration that does not name its kind has the first."""

HeadSettings = HeightBinsSettings | RegressionSettings
"""Settings of any head; a configuration that does not name its kind has the first."""

Decoder = DPTDecoder | LinearDecoder | ConvolutionalDecoder
Head = HeightBins | HeightRegression

HEADS: dict[str, HeadSettings] = {
    "bins": HeightBinsSettings(),
    "bins-mixlog": CHMV2_BINS,
    "regression": RegressionSettings(),
}
"""Heads by name: linear bins as in CHMv1, mixed log-linear bins as in CHMv2, one number."""


def kinds(settings: Any) -> dict[str, type[Any]]:  # noqa: ANN401 - a union has no type
    """Return the classes of a union of settings by the names they go by.

    Args:
        settings: a union of dataclasses, each with a ``kind`` that is a literal.
    """
    return {
        kind: member
        for member in get_args(settings)
        for kind in get_args(get_type_hints(member)["kind"])
    }


def decoder_settings(name: str, levels: Levels) -> DecoderSettings:
    """Return the settings of a decoder in proportion to what an encoder advertises.

    Args:
        name: the decoder's.
        levels: the taps that it will receive.

    Raises:
        ValueError: there is no decoder of that name, or it cannot take these taps.
    """
    known = kinds(DecoderSettings)
    if name not in known:
        msg = f"no decoder {name}: expected one of {', '.join(known)}"
        raise ValueError(msg)
    settings: DecoderSettings = known[name].for_levels(levels)
    return settings


def head_settings(name: str) -> HeadSettings:
    """Return the settings of a head.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in HEADS:
        msg = f"no head {name}: expected one of {', '.join(HEADS)}"
        raise ValueError(msg)
    return HEADS[name]


def build_decoder(settings: DecoderSettings) -> Decoder:
    """Return a decoder with random weights.

    Raises:
        ValueError: no layer brings a tap to the stride that the decoder wants.
    """
    return settings.build()


def build_head(settings: HeadSettings, channels: int) -> Head:
    """Return a head on maps of some channels, with random weights."""
    return settings.build(channels)
